import type { Table, Target } from "./part.ts";
import type { StoredResult } from "./results.ts";

/** The report as Markdown, from results alone: the same results give the same text. */

export function renderReport(results: readonly StoredResult[]): string {
  const sections = ["# coracle beside etcd", ...summaryOf(results), ...results.map(renderPart)];
  return `${sections.join("\n\n")}\n`;
}

function summaryOf(results: readonly StoredResult[]): string[] {
  if (results.length === 0) return ["No part has been measured: `npm run bench`."];
  const targets = results.flatMap(({ part, targets }) => targets.map((target) => ({ part, target })));
  const missed = targets.filter(({ target }) => !isReached(target)).length;
  const rows = targets.map(({ part, target }) => [
    target.what,
    askedText(target),
    withUnit(target.measured, target.unit),
    isReached(target) ? "reached" : "**missed**",
    `[${part}](#${anchor(headingOf(part, results))})`,
  ]);
  const table: Table = {
    title: "",
    columns: ["what", "asked", "measured", "verdict", "part"],
    rows,
  };
  return [
    "Written by `npm run bench`; [how it is measured](../docs/internals/benchmark.md). A ratio (x) is coracle's figure by the other's, side by side in the same run on the same machine. Absolute figures drift by a fifth from run to run, ratios less.",
    "## Targets",
    `${targets.length - missed} of ${targets.length} reached, ${missed} missed.`,
    renderRows(table),
  ];
}

function headingOf(part: string, results: readonly StoredResult[]): string {
  const title = results.find((result) => result.part === part)?.title ?? part;
  return `${part}: ${title}`;
}

/** As GitHub makes them of headings. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}

/** A part's section: what was done, its targets, its tables. */
export function renderPart(result: StoredResult): string {
  const { part, title, about, measuredOn, versions, machine, tables, targets } = result;
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const facts = [`Measured on ${measuredOn}, ${machine}: ${named.join("; ")}.`, ...about];
  const blocks = [
    `## ${part}: ${title}`,
    facts.map((fact) => `- ${fact}`).join("\n"),
    ...(targets.length === 0 ? [] : [targets.map(targetLine).join("\n")]),
    ...tables.map(renderTable),
  ];
  return blocks.join("\n\n");
}

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
  return unit === "x" ? `${value.toFixed(2)}x` : `${numberText(value)} ${unit}`;
}

function targetLine(target: Target): string {
  const { what, measured, unit } = target;
  const verdict = isReached(target) ? "reached" : "**missed**";
  return `- ${what}: ${withUnit(measured, unit)}, asked ${askedText(target)}: ${verdict}`;
}

/** As many digits as are worth reading. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

export function renderTable(table: Table): string {
  const note = table.note === undefined ? [] : [table.note];
  return [`### ${table.title}`, ...note, renderRows(table)].join("\n\n");
}

function renderRows({ columns, rows }: Table): string {
  // A column of numbers, and of texts that are numbers with a unit, stands to the right.
  const right = columns.map(
    (_, at) =>
      rows.length > 0 && rows.every((row) => row[at] == null || /^[-–\d.,]+ ?[%x]?$/.test(String(row[at]))),
  );
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    line(columns.map(escapeCell)),
    `|${right.map((is) => (is ? "--:" : "---")).join("|")}|`,
    ...rows.map((row) => line(columns.map((_, at) => cellText(row[at] ?? null)))),
  ].join("\n");
}

function cellText(cell: string | number | null): string {
  if (cell === null) return "";
  return typeof cell === "number" ? numberText(cell) : escapeCell(cell);
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}
