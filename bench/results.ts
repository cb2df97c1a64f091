import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join, resolve } from "node:path";
import type { PartResult } from "./part.ts";

/** What is kept of a part: its result, and where it was measured. */
export interface StoredResult extends PartResult {
  readonly machine: string;
}

const resultsFolder = resolve(import.meta.dirname, "results");

export function machineName(): string {
  const { length, 0: first } = cpus();
  const memoryGiB = (totalmem() / 1024 ** 3).toFixed(0);
  return `${length} × ${first?.model.trim() ?? "CPU"}, ${memoryGiB} GiB, Linux ${release()}`;
}

/** Today, as results carry it. */
export function today(): string {
  return new Date().toISOString().slice(0, 10);
}

export function storeResult(result: PartResult, folder = resultsFolder): void {
  const stored: StoredResult = { ...result, machine: machineName() };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${result.part}.json`), `${JSON.stringify(stored, undefined, 1)}\n`);
}

/** The kept results of these parts, in their order; a part that never ran is left out. */
export function loadResults(parts: readonly string[], folder = resultsFolder): StoredResult[] {
  if (!existsSync(folder)) return [];
  const names = new Set(readdirSync(folder));
  return parts
    .filter((part) => names.has(`${part}.json`))
    .map((part) => JSON.parse(readFileSync(join(folder, `${part}.json`), "utf8")) as StoredResult);
}
