import { parseArgs } from "node:util";
import { clockFaults } from "./faults/clock-faults.ts";
import { diskFaults } from "./faults/disk-faults.ts";
import type { Fault } from "./faults/fault.ts";
import { networkFaults } from "./faults/network-faults.ts";
import { perform, type Row } from "./faults/perform.ts";
import { processFaults } from "./faults/process-faults.ts";
import { type Report, runScript } from "./report.ts";

/**
 * Faults on real processes: the compiled executable under load while something goes wrong, one fault
 * at a time on a cluster of its own. Clients record what they saw; the simulator's checkers judge it.
 */

const faults: readonly Fault[] = [...processFaults, ...networkFaults, ...diskFaults, ...clockFaults];

function chosen(): readonly Fault[] {
  const { values } = parseArgs({
    options: {
      short: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      only: { type: "string", multiple: true },
    },
  });
  if (values.list) {
    for (const { name, text } of faults) console.log(`${name.padEnd(22)} ${text}`);
    process.exit(0);
  }
  const names = (values.only ?? []).flatMap((text) => text.split(","));
  const unknown = names.find((name) => !faults.some((fault) => fault.name === name));
  if (unknown !== undefined) throw new Error(`There is no fault "${unknown}"; --list shows them.`);
  if (names.length > 0) return faults.filter(({ name }) => names.includes(name));
  return values.short ? faults.filter(({ short }) => short === true) : faults;
}

function cells({ fault, acknowledged, lost, unknown, gapMs, operations, verdict, notes }: Row): string[] {
  return [
    fault.name,
    `${acknowledged}`,
    `${lost}`,
    `${unknown}`,
    `${gapMs.toFixed(0)} (${fault.gapMsMax})`,
    `${operations}`,
    verdict,
    notes.join("; "),
  ];
}

function printTable(rows: readonly Row[]): void {
  const head = ["fault", "acknowledged", "lost", "unknown", "gap ms (most)", "judged", "verdict", "notes"];
  const lines = [head, ...rows.map(cells)];
  const widths = head.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  console.log("");
  for (const line of lines) {
    console.log(
      line
        .map((cell, at) =>
          at === 0 || at > 5 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    );
  }
  console.log("");
}

async function runOne(fault: Fault, report: Report, rows: Row[]): Promise<void> {
  const reason = fault.lacking?.();
  if (reason !== undefined) {
    report.note(`${fault.name} skipped: ${reason}`);
    return;
  }
  const startMs = performance.now();
  const row = await perform(fault);
  rows.push(row);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  const how = row.network === undefined ? "" : `, ${row.network}`;
  const detail = `${row.acknowledged} acknowledged, ${row.lost} lost, ${row.unknown} unknown, ${row.gapMs.toFixed(0)} ms gap, ${row.verdict} (${seconds} s${how})`;
  report.check(
    row.failures.length === 0,
    `${fault.name}: ${fault.text}`,
    [...row.failures, detail].join("; "),
  );
}

await runScript(async (report) => {
  const rows: Row[] = [];
  for (const fault of chosen()) {
    await report.part(fault.name, () => runOne(fault, report, rows));
  }
  printTable(rows);
});
