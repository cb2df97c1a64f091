/** What a searching process tells about the seeds that it ran. */
export interface Report {
  readonly seeds: number;
  readonly simulatedMs: number;
  readonly events: number;
  readonly coverage: readonly (readonly [string, number])[];
  readonly failures: readonly FoundFailure[];
}

export interface FoundFailure {
  readonly seed: number;
  readonly checker: string;
  readonly message: string;
}

/** A report that lasts longer than this in the making is sent unfinished. */
const reportMs = 1000;

/** Runs seeds `first`, `first + step`, ... up to `last`, and reports about once a second. */
export async function searchSeeds(options: {
  readonly first: number;
  readonly last: number;
  readonly step: number;
  readonly stopAtFailure: boolean;
  report(report: Report): void;
}): Promise<void> {
  const { runSeedFully } = await import("../simulation.ts");
  const { Coverage } = await import("../engine/coverage.ts");
  let coverage = new Coverage();
  let sums = { seeds: 0, simulatedMs: 0, events: 0 };
  let failures: FoundFailure[] = [];
  let sinceMs = performance.now();
  const send = (): void => {
    options.report({ ...sums, coverage: [...coverage.counts], failures });
    coverage = new Coverage();
    sums = { seeds: 0, simulatedMs: 0, events: 0 };
    failures = [];
    sinceMs = performance.now();
  };
  for (let seed = options.first; seed <= options.last; seed += options.step) {
    const result = await runSeedFully({ seed });
    sums.seeds++;
    sums.simulatedMs += result.simulatedMs;
    sums.events += result.events;
    coverage.merge(result.coverage.counts);
    if (result.failure !== undefined) failures.push({ seed, ...result.failure });
    if (failures.length > 0 || performance.now() - sinceMs > reportMs) send();
    if (result.failure !== undefined && options.stopAtFailure) break;
  }
  send();
}
