import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Coverage } from "../engine/coverage.ts";
import type { FoundFailure, Report } from "./seeds.ts";

export interface SearchOptions {
  readonly first: number;
  readonly last: number;
  readonly untilMs: number;
  readonly stopAtFailure: boolean;
  readonly mutant?: string;
  readonly processes?: number;
  progress(totals: Totals): void;
}

export interface Totals {
  seeds: number;
  simulatedMs: number;
  events: number;
  readonly coverage: Coverage;
  readonly failures: FoundFailure[];
}

/** Searches with one process a core; each takes every n-th seed. */
export async function searchParallel(options: SearchOptions): Promise<Totals> {
  const processes = options.processes ?? availableParallelism();
  const totals: Totals = { seeds: 0, simulatedMs: 0, events: 0, coverage: new Coverage(), failures: [] };
  const children: ReturnType<typeof spawn>[] = [];
  const stop = (): void => {
    for (const child of children) child.kill();
  };
  const take = (report: Report): void => {
    totals.seeds += report.seeds;
    totals.simulatedMs += report.simulatedMs;
    totals.events += report.events;
    totals.coverage.merge(report.coverage);
    totals.failures.push(...report.failures);
    options.progress(totals);
    if (options.stopAtFailure && totals.failures.length > 0) stop();
  };
  for (let number = 0; number < processes; number++) {
    children.push(spawn(options, options.first + number, processes, take));
  }
  const left = Math.min(options.untilMs - performance.now(), 2 ** 31 - 1);
  const timer = setTimeout(stop, left);
  const codes = await Promise.all(children.map((child) => child.exited));
  clearTimeout(timer);
  if (codes.some((code) => code !== 0 && code !== 143))
    throw new Error(`a searching process ended with ${codes}`);
  return totals;
}

function spawn(options: SearchOptions, first: number, step: number, take: (report: Report) => void) {
  const { last, stopAtFailure, mutant } = options;
  const command = ["--child", `${first},${last},${step}`];
  if (stopAtFailure) command.push("--first-failure");
  if (mutant !== undefined) command.push("--mutant", mutant);
  return Bun.spawn([process.execPath, join(import.meta.dir, "../main.ts"), ...command], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (message) => take(message as Report),
  });
}
