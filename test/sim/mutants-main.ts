import { mutants } from "./mutants.ts";
import { searchParallel, type Totals } from "./search/parallel.ts";
import type { FoundFailure } from "./search/seeds.ts";

/*
 * npm run sim:mutants [-- NAME...]: runs the simulator against each planted bug until it is caught.
 * SEEDS_MAX in the environment bounds the search, PROCESSES how many cores it takes.
 */

const seedsMax = Number(Bun.env.SEEDS_MAX ?? 3000);
const processes = Bun.env.PROCESSES === undefined ? {} : { processes: Number(Bun.env.PROCESSES) };

function search(first: number, last: number, mutant: string | undefined): Promise<Totals> {
  return searchParallel({
    first,
    last,
    untilMs: Number.POSITIVE_INFINITY,
    stopAtFailure: true,
    ...processes,
    ...(mutant === undefined ? {} : { mutant }),
    progress: () => {},
  });
}

/** The first seed that fails with the bug and not without it. */
async function catchIt(mutant: string): Promise<FoundFailure | undefined> {
  let first = 1;
  while (first <= seedsMax) {
    const { failures } = await search(first, seedsMax, mutant);
    const found = failures.sort((a, b) => a.seed - b.seed)[0];
    if (found === undefined) return undefined;
    const sound = await search(found.seed, found.seed, undefined);
    if (sound.failures.length === 0) return found;
    console.log(`seed ${found.seed} fails without a planted bug too`);
    first = found.seed + 1;
  }
  return undefined;
}

const names = process.argv.slice(2);
const chosen = names.length === 0 ? mutants : mutants.filter(({ name }) => names.includes(name));
let missed = 0;
for (const { name, about } of chosen) {
  const startMs = performance.now();
  const found = await catchIt(name);
  const seconds = `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
  if (found === undefined) missed++;
  const reason = found?.message.split("\n")[0]?.slice(0, 90);
  const end =
    found === undefined
      ? `NOT CAUGHT in ${seedsMax} seeds: ${about}`
      : `seed ${String(found.seed).padStart(5)}  ${found.checker}: ${reason}`;
  console.log(`${name.padEnd(36)} ${seconds.padStart(9)}  ${end}`);
}
console.log(`${chosen.length - missed} of ${chosen.length} planted bugs caught`);
process.exitCode = missed === 0 ? 0 : 1;
