import type { Table, Target } from "./part.ts";
import type { StoredResult } from "./results.ts";
import { askedText, factsOf, isNumeric, isReached, sumUp, withUnit, wordOf } from "./wording.ts";

/** The report as Markdown, from results alone: the same results give the same text. */

export function renderReport(results: readonly StoredResult[]): string {
  const sections = ["# coracle beside etcd", ...summaryOf(results), ...results.map(renderSection)];
  return `${sections.join("\n\n")}\n`;
}

function summaryOf(results: readonly StoredResult[]): string[] {
  if (results.length === 0) return ["No part has been measured: `npm run bench`."];
  const targets = results.flatMap(({ part, targets }) => targets.map((target) => ({ part, target })));
  const rows = targets.map(({ part, target }) => [
    `[${part}](#${anchor(headingOf(part, results))})`,
    target.what,
    askedText(target),
    withUnit(target.measured, target.unit),
    isReached(target) ? "reached" : "**missed**",
  ]);
  const table: Table = {
    title: "",
    columns: ["part", "what", "asked", "measured", "verdict"],
    rows,
  };
  return [
    "Written by `npm run bench`; [how it is measured](../docs/internals/benchmark.md). A ratio (x) is coracle's figure by the other's, side by side in the same run on the same machine. Absolute figures drift by a fifth from run to run, ratios less.",
    "## Targets",
    sumUp(targets.map(({ target }) => target)),
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

/** A part alone, with its verdicts. */
export function renderPart(result: StoredResult): string {
  return [renderSection(result), result.targets.map(targetLine).join("\n")].join("\n\n");
}

/** Of the report, which begins with the verdicts of all parts. */
function renderSection(result: StoredResult): string {
  const { part, title, tables } = result;
  const facts = factsOf(result).map((fact) => `- ${fact}`);
  return [`## ${part}: ${title}`, facts.join("\n"), ...tables.map(renderTable)].join("\n\n");
}

function targetLine(target: Target): string {
  const { what, measured, unit } = target;
  const verdict = isReached(target) ? "reached" : "**missed**";
  return `- ${what}: ${withUnit(measured, unit)}, asked ${askedText(target)}: ${verdict}`;
}

export function renderTable(table: Table): string {
  const note = table.note === undefined ? [] : [table.note];
  return [`### ${table.title}`, ...note, renderRows(table)].join("\n\n");
}

function renderRows({ columns, rows }: Table): string {
  const right = columns.map((_, at) => isNumeric(rows.map((row) => row[at] ?? null)));
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [
    line(columns.map(escapeCell)),
    `|${right.map((is) => (is ? "--:" : "---")).join("|")}|`,
    ...rows.map((row) => line(columns.map((_, at) => cellText(row[at] ?? null)))),
  ].join("\n");
}

function cellText(cell: string | number | null): string {
  return escapeCell(wordOf(cell));
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}
