import { parseArgs } from "node:util";
import type { FoundFailure } from "./search/seeds.ts";

const help = `npm run sim -- [options]
  --seed N            run one seed
  --trace             with --seed: print everything that happens
  --faults 1,4,9      with --seed: only these of its faults, by their number
  --schedule          with --seed: print its faults and end
  --seeds A..B        search these seeds
  --minutes M         search from a random seed, or from A of --seeds, for so long
  --keep-going        do not end at the first failing seed
  --no-shrink         do not cut down the schedule of a failing seed
  --mutant NAME       plant a bug (npm run sim:mutants runs them all)
  --processes N       searching processes; one a core when absent
`;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    trace: { type: "boolean" },
    faults: { type: "string" },
    schedule: { type: "boolean" },
    seeds: { type: "string" },
    minutes: { type: "string" },
    "keep-going": { type: "boolean" },
    "no-shrink": { type: "boolean" },
    mutant: { type: "string" },
    processes: { type: "string" },
    child: { type: "string" },
    "first-failure": { type: "boolean" },
    help: { type: "boolean" },
  },
});

// Before any module of the product is loaded.
if (values.mutant !== undefined) (await import("./mutation/plugin.ts")).plant(values.mutant);

function numbers(text: string): number[] {
  return text.split(/,|\.\./).map((part) => {
    const number = Number(part);
    if (part === "" || !Number.isSafeInteger(number)) throw new Error(`"${text}" is no list of numbers`);
    return number;
  });
}

async function main(): Promise<number> {
  if (values.child !== undefined) return child(values.child);
  if (values.seed !== undefined) return single(Number(values.seed));
  if (values.seeds !== undefined || values.minutes !== undefined) return search();
  process.stdout.write(help);
  return values.help === true ? 0 : 2;
}

async function child(range: string): Promise<number> {
  const { searchSeeds } = await import("./search/seeds.ts");
  const [first = 1, last = 1, step = 1] = numbers(range);
  const stopAtFailure = values["first-failure"] === true;
  await searchSeeds({ first, last, step, stopAtFailure, report: (report) => process.send?.(report) });
  process.disconnect?.();
  return 0;
}

async function single(seed: number): Promise<number> {
  const { faultsOf, runSeedFully } = await import("./simulation.ts");
  const { profileOf } = await import("./profile.ts");
  const all = faultsOf(seed);
  const kept =
    values.faults === undefined ? undefined : values.faults === "none" ? [] : numbers(values.faults);
  const faults =
    kept === undefined ? all : kept.map((position) => all[position]).filter((fault) => fault !== undefined);
  if (values.trace === true || values.schedule === true) {
    console.log(JSON.stringify(profileOf(seed)));
    all.forEach((fault, position) => {
      if (!faults.includes(fault)) return;
      console.log(`fault ${position}: ${fault.kind} at ${fault.atMs} ms for ${fault.durationMs} ms`);
    });
    if (values.schedule === true) return 0;
  }
  const print = values.trace === true ? (line: string) => console.log(line) : undefined;
  const result = await runSeedFully({ seed, faults, ...(print === undefined ? {} : { print }) });
  const seconds = (result.simulatedMs / 1000).toFixed(1);
  console.log(
    `seed ${seed}: ${result.events} events in ${seconds} simulated seconds, trace ${result.traceHash}`,
  );
  if (result.failure === undefined) {
    console.log("no violation");
    return 0;
  }
  console.log(`VIOLATION of ${result.failure.checker}: ${result.failure.message}`);
  return 1;
}

async function search(): Promise<number> {
  const { searchParallel } = await import("./search/parallel.ts");
  const { printCoverage, progressLine } = await import("./search/print.ts");
  const [first = 1 + Math.floor(Math.random() * 1e9), last = Number.MAX_SAFE_INTEGER] =
    values.seeds === undefined ? [] : numbers(values.seeds);
  const startMs = performance.now();
  const minutes = values.minutes === undefined ? Number.POSITIVE_INFINITY : Number(values.minutes);
  const show = progressLine(startMs);
  let told = 0;
  const totals = await searchParallel({
    first,
    last,
    untilMs: startMs + minutes * 60_000,
    stopAtFailure: values["keep-going"] !== true,
    ...(values.mutant === undefined ? {} : { mutant: values.mutant }),
    ...(values.processes === undefined ? {} : { processes: Number(values.processes) }),
    progress: (found) => {
      for (const { seed, checker } of found.failures.slice(told))
        console.log(`seed ${seed} fails: ${checker}`);
      told = found.failures.length;
      show(found);
    },
  });
  show(totals, true);
  printCoverage(totals.coverage);
  for (const failure of totals.failures) await explain(failure);
  console.log(`${totals.seeds} seeds, ${totals.failures.length} failed`);
  return totals.failures.length === 0 ? 0 : 1;
}

/** Says how to replay a failure, with as few faults as it takes. */
async function explain({ seed, checker, message }: FoundFailure): Promise<void> {
  const mutant = values.mutant === undefined ? "" : ` --mutant ${values.mutant}`;
  console.log(`\nseed ${seed}: VIOLATION of ${checker}: ${message}`);
  console.log(`  replay: npm run sim -- --seed ${seed} --trace${mutant}`);
  if (values["no-shrink"] === true) return;
  const { shrink } = await import("./search/shrink.ts");
  const { faultsOf, runSeed } = await import("./simulation.ts");
  const schedule = faultsOf(seed);
  const { kept, runs } = shrink(
    schedule,
    (faults) => runSeed({ seed, faults }).failure?.checker === checker,
    150,
  );
  const list = kept.length === 0 ? "none" : kept.join(",");
  console.log(`  shrunk from ${schedule.length} to ${kept.length} faults in ${runs} runs:`);
  console.log(`  replay: npm run sim -- --seed ${seed} --faults ${list} --trace${mutant}`);
}

process.exitCode = await main();
