import { mutants } from "./mutants.ts";
import { searchParallel } from "./search/parallel.ts";

/*
 * npm run sim:mutants [-- NAME...]: runs the simulator against each planted bug until it is caught.
 */

const seedsMax = Number(Bun.env.SEEDS_MAX ?? 3000);
const names = process.argv.slice(2);
const chosen = names.length === 0 ? mutants : mutants.filter(({ name }) => names.includes(name));
let missed = 0;
for (const { name, about } of chosen) {
  const startMs = performance.now();
  const totals = await searchParallel({
    first: 1,
    last: seedsMax,
    untilMs: Number.POSITIVE_INFINITY,
    stopAtFailure: true,
    mutant: name,
    progress: () => {},
  });
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  const first = [...totals.failures].sort((a, b) => a.seed - b.seed)[0];
  if (first === undefined) {
    missed++;
    console.log(`${name.padEnd(36)} NOT CAUGHT in ${totals.seeds} seeds (${seconds} s): ${about}`);
  } else {
    const reason = first.message.split("\n")[0]?.slice(0, 100) ?? "";
    console.log(
      `${name.padEnd(36)} seed ${String(first.seed).padStart(5)} ${seconds.padStart(6)} s  ${first.checker}: ${reason}`,
    );
  }
}
console.log(`${chosen.length - missed} of ${chosen.length} planted bugs caught`);
process.exitCode = missed === 0 ? 0 : 1;
