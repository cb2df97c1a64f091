import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { temporaryFolder } from "../test/e2e/cluster.ts";
import { atEnd } from "../test/e2e/process.ts";
import { renderPart, renderReport } from "./markdown.ts";
import { readAssets, renderPage } from "./page.ts";
import type { Part, PartOptions } from "./part.ts";
import { core } from "./parts/core.ts";
import { failover } from "./parts/failover.ts";
import { largeStore, largeStore5m } from "./parts/large-store.ts";
import { leases } from "./parts/leases.ts";
import { pauses } from "./parts/pauses.ts";
import { rollingRestart } from "./parts/rolling-restart.ts";
import { snapshotJoin } from "./parts/snapshot-join.ts";
import { soak } from "./parts/soak.ts";
import { start } from "./parts/start.ts";
import { watch } from "./parts/watch.ts";
import { wide } from "./parts/wide.ts";
import { loadResults, machineName, storeResult } from "./results.ts";

/** All parts, in the order in which they run and are reported. */
const parts: readonly Part[] = [
  core,
  wide,
  start,
  failover,
  rollingRestart,
  watch,
  leases,
  largeStore,
  largeStore5m,
  snapshotJoin,
  pauses,
  soak,
];

/** Takes too long to run unless asked for by name. */
const onlyByName: ReadonlySet<Part> = new Set([largeStore5m]);

const usage = `npm run bench -- [options]
  --parts a,b    only these parts, in the order below; default: all
                 but ${[...onlyByName].map(({ name }) => name).join(", ")}
  --quick        one short round of each, for a look; writes no results
  --repeats N    rounds, default 3
  --seconds N    of each measurement, default 3
  --report       measures nothing: writes the report and the charts from the kept results

${parts.map(({ name, about }) => `  ${name.padEnd(16)} ${about}`).join("\n")}`;

interface Options {
  readonly chosen: readonly Part[];
  readonly quick: boolean;
  readonly repeats: number;
  readonly seconds: number;
  readonly report: boolean;
  /** Runs the one chosen part in this very process. */
  readonly here: boolean;
}

function options(): Options {
  const { values } = parseArgs({
    options: {
      parts: { type: "string" },
      quick: { type: "boolean", default: false },
      repeats: { type: "string" },
      seconds: { type: "string" },
      report: { type: "boolean", default: false },
      here: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const names =
    values.parts?.split(",") ?? parts.filter((part) => !onlyByName.has(part)).map(({ name }) => name);
  const unknown = names.filter((name) => !parts.some((part) => part.name === name));
  if (unknown.length > 0)
    throw new Error(`there is no part ${unknown.join(", ")}: ${parts.map(({ name }) => name).join(", ")}`);
  const { quick, report, here } = values;
  return {
    chosen: parts.filter(({ name }) => names.includes(name)),
    repeats: positive("repeats", values.repeats ?? (quick ? "1" : "3")),
    seconds: positive("seconds", values.seconds ?? (quick ? "1" : "3")),
    ...{ quick, report, here },
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} ${text}: a whole number from 1`);
  return value;
}

/** Runs a part in this process, and keeps what it found. */
async function runHere(part: Part, { quick, repeats, seconds }: Options): Promise<void> {
  const folder = temporaryFolder(`bench-${part.name}`);
  const log = (line: string): void => console.log(line);
  const given: PartOptions = { quick, repeats, seconds, folder, log };
  const result = await part.run(given);
  if (result.part !== part.name) throw new Error(`part ${part.name} calls its result ${result.part}`);
  console.log(`\n${renderPart({ ...result, machine: machineName() })}`);
  if (quick) return;
  storeResult(result);
  if (result.versions.coracle?.includes("-modified"))
    log("coracle was compiled from files that no commit has: nobody can measure this again");
}

/**
 * Runs a part in a process of its own: when that ends, however, its members are gone. Resolves to
 * `undefined`, or to how it failed.
 */
function runApart(part: Part, { quick, repeats, seconds }: Options): Promise<string | undefined> {
  const flags = [
    ...["--here", "--parts", part.name, "--repeats", String(repeats), "--seconds", String(seconds)],
    ...(quick ? ["--quick"] : []),
  ];
  const child = spawn(process.execPath, [resolve(import.meta.dirname, "main.ts"), ...flags], {
    stdio: "inherit",
    // It leads a group of processes, which can be ended as one when it could not end its members itself.
    detached: true,
  });
  const forget = atEnd(() => child.kill("SIGTERM"));
  return new Promise((done) => {
    const end = (failure: string | undefined): void => {
      forget();
      endGroup(child.pid);
      done(failure);
    };
    child.once("error", (error) => end(error.message));
    child.once("exit", (code, signal) => end(code === 0 ? undefined : (signal ?? `exit code ${code}`)));
  });
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nobody was left.
  }
}

/** The report and the chart page, from whatever results are kept. */
function report(): void {
  const results = loadResults(parts.map(({ name }) => name));
  if (results.length === 0) throw new Error("there are no results in bench/results to report");
  const dist = resolve(import.meta.dirname, "../dist");
  mkdirSync(dist, { recursive: true });
  writeFileSync(resolve(import.meta.dirname, "RESULTS.md"), renderReport(results));
  writeFileSync(resolve(dist, "bench.html"), renderPage(results, readAssets()));
  console.log(`wrote bench/RESULTS.md and dist/bench.html from ${results.length} of ${parts.length} parts`);
}

async function main(chosen: Options): Promise<boolean> {
  if (chosen.here) {
    for (const part of chosen.chosen) await runHere(part, chosen);
    return true;
  }
  const failed: string[] = [];
  if (!chosen.report) {
    for (const part of chosen.chosen) {
      console.log(`\n=== ${part.name}: ${part.about}`);
      const startedAt = performance.now();
      const failure = await runApart(part, chosen);
      if (failure !== undefined) failed.push(part.name);
      const minutes = (performance.now() - startedAt) / 60_000;
      console.log(
        `=== ${part.name} ${failure === undefined ? "took" : `FAILED (${failure}) after`} ${minutes.toFixed(1)} minutes`,
      );
    }
  }
  if (!chosen.quick) report();
  if (failed.length > 0) console.log(`failed: ${failed.join(", ")}`);
  return failed.length === 0;
}

function optionsOrUsage(): Options {
  try {
    return options();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`);
    process.exit(2);
  }
}

try {
  process.exit((await main(optionsOrUsage())) ? 0 : 1);
} catch (error) {
  // An error of the runtime itself, as of a fetch that took too long, may have no stack.
  console.error(error instanceof Error ? error.stack || String(error) : error);
  process.exit(1);
}
