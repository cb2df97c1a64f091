import type { Target } from "./part.ts";
import type { StoredResult } from "./results.ts";

/** How figures and verdicts are put, in the report and on the chart page alike. */

export function isReached({ measured, atLeast, atMost }: Target): boolean {
  if (!Number.isFinite(measured)) return false;
  return (atLeast === undefined || measured >= atLeast) && (atMost === undefined || measured <= atMost);
}

export function askedText({ atLeast, atMost, unit }: Target): string {
  return atLeast === undefined
    ? `at most ${withUnit(atMost ?? Number.NaN, unit)}`
    : `at least ${withUnit(atLeast, unit)}`;
}

export function withUnit(value: number, unit: Target["unit"]): string {
  if (!Number.isFinite(value)) return "–";
  return unit === "x" ? `${value.toFixed(2)}x` : `${numberText(value)} ${unit}`;
}

/** As many digits as are worth reading. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

/** A cell of a table. */
export function wordOf(cell: string | number | null): string {
  if (cell === null) return "";
  return typeof cell === "number" ? numberText(cell) : cell;
}

/** Whether a column holds numbers, or texts that are numbers with a unit: then it stands to the right. */
export function isNumeric(cells: readonly (string | number | null)[]): boolean {
  const filled = cells.filter((cell) => cell !== null);
  return filled.length > 0 && filled.every((cell) => /^[-–\d.,]+ ?(%|x|ms|MiB)?$/.test(String(cell)));
}

export function sumUp(targets: readonly Target[]): string {
  const reached = targets.filter(isReached).length;
  return `${reached} of ${targets.length} reached, ${targets.length - reached} missed.`;
}

/** When, where and what was measured, and how. */
export function factsOf({ about, measuredOn, versions, machine }: StoredResult): string[] {
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [`Measured on ${measuredOn}, ${machine}: ${named.join("; ")}.`, ...about];
}
