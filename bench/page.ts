import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Table, Target } from "./part.ts";
import type { StoredResult } from "./results.ts";
import { askedText, factsOf, isNumeric, isReached, sumUp, withUnit, wordOf } from "./wording.ts";

/** The results with their charts as one HTML file that needs nothing beside it. */

export interface PageAssets {
  /** Of uPlot. */
  readonly script: string;
  readonly style: string;
  /** page-client.mjs: draws the charts. */
  readonly client: string;
}

export function readAssets(): PageAssets {
  const uplot = dirname(fileURLToPath(import.meta.resolve("uplot")));
  const read = (...path: string[]): string => readFileSync(join(...path), "utf8");
  return {
    script: read(uplot, "uPlot.iife.min.js"),
    style: read(uplot, "uPlot.min.css"),
    client: read(import.meta.dirname, "page-client.mjs"),
  };
}

const ownStyle = `
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2330; background: #fff; margin: 0 auto; max-width: 1240px; padding: 24px; }
h1 { margin: 0 0 4px; } h2 { margin: 48px 0 8px; border-top: 2px solid #dde3ec; padding-top: 16px; } h3 { margin: 16px 0 4px; font-size: 15px; }
nav a { margin-right: 14px; } a { color: #1f5fbf; }
table { border-collapse: collapse; font-size: 13px; margin: 4px 0 12px; }
td, th { border-bottom: 1px solid #dde3ec; padding: 3px 10px; text-align: left; vertical-align: top; }
th { background: #f3f5f9; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.reached { color: #17703a; } .missed { color: #b3261e; font-weight: 600; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(520px, 1fr)); gap: 12px 24px; }
.facts, .note { color: #56607a; font-size: 13px; } .u-legend { font-size: 12px; text-align: left; } .u-title { font-size: 14px; }
details > summary { cursor: pointer; margin: 8px 0; }
`;

export function renderPage(results: readonly StoredResult[], assets: PageAssets): string {
  const charts = results.map(({ part, charts: own }) => ({ part, charts: own }));
  const links = results.map(({ part }) => `<a href="#${escapeHtml(part)}">${escapeHtml(part)}</a>`);
  const body = [
    "<h1>coracle beside etcd</h1>",
    "<p class=\"facts\">Three members each, side by side in the same run on the same machine. A ratio (x) is coracle's figure by the other's. Point at a chart for its figures.</p>",
    `<nav>${links.join("")}</nav>`,
    renderTargets(results),
    ...results.map(renderPart),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>coracle beside etcd</title>
<style>${assets.style}${ownStyle}</style>
</head>
<body>
${body.join("\n")}
<script type="application/json" id="charts">${JSON.stringify(charts).replaceAll("<", "\\u003c")}</script>
<script>${assets.script}</script>
<script type="module">${assets.client}</script>
</body>
</html>
`;
}

function renderTargets(results: readonly StoredResult[]): string {
  const all = results.flatMap(({ part, targets }) => targets.map((target) => ({ part, target })));
  if (all.length === 0) return "";
  const rows = all.map(({ part, target }) => [
    `<a href="#${escapeHtml(part)}">${escapeHtml(part)}</a>`,
    escapeHtml(target.what),
    askedText(target),
    withUnit(target.measured, target.unit),
    verdictOf(target),
  ]);
  const columns = ["part", "what", "asked", "measured", "verdict"];
  return `<h2>Targets</h2>\n<p>${sumUp(all.map(({ target }) => target))}</p>\n${tableOf(columns, rows)}`;
}

function verdictOf(target: Target): string {
  const word = isReached(target) ? "reached" : "missed";
  return `<span class="${word}">${word}</span>`;
}

function renderPart(result: StoredResult): string {
  const { part, title, tables, charts } = result;
  const facts = factsOf(result).map((fact) => `<li>${withCode(escapeHtml(fact))}</li>`);
  const places = charts.map(
    (_, at) => `<div class="chart" data-part="${escapeHtml(part)}" data-at="${at}"></div>`,
  );
  // Without charts the tables are all there is to see.
  const open = charts.length === 0 ? " open" : "";
  return [
    `<h2 id="${escapeHtml(part)}">${escapeHtml(title)}</h2>`,
    `<ul class="facts">${facts.join("")}</ul>`,
    `<div class="charts">${places.join("")}</div>`,
    `<details${open}><summary>Figures</summary>${tables.map(renderTable).join("\n")}</details>`,
  ].join("\n");
}

function renderTable({ title, note, columns, rows }: Table): string {
  const said = note === undefined ? "" : `<p class="note">${withCode(escapeHtml(note))}</p>`;
  const cells = rows.map((row) => columns.map((_, at) => escapeHtml(wordOf(row[at] ?? null))));
  const right = columns.map((_, at) => isNumeric(rows.map((row) => row[at] ?? null)));
  return `<h3>${escapeHtml(title)}</h3>${said}${tableOf(columns.map(escapeHtml), cells, right)}`;
}

/** Of HTML cells. */
function tableOf(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly boolean[] = [],
): string {
  const line = (tag: "td" | "th", cells: readonly string[]): string =>
    `<tr>${cells.map((cell, at) => `<${tag}${right[at] ? ' class="number"' : ""}>${cell}</${tag}>`).join("")}</tr>`;
  return `<table>${line("th", columns)}${rows.map((row) => line("td", row)).join("")}</table>`;
}

/** What stands between backticks, as in the report. */
function withCode(html: string): string {
  return html.replace(/`([^`]+)`/g, "<code>$1</code>");
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
