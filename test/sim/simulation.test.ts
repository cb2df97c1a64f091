import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { shrink } from "./search/shrink.ts";
import { faultsOf, runSeed } from "./simulation.ts";

/** Seeds of the suite: few, so that it stays short. `npm run sim -- --minutes 10` searches on. */
const seeds = { first: 1, last: 40 };

/** Seeds that once found a bug. What they do changes with the simulator; they stay a good sample. */
const finders = [
  26, 37, 110, 145, 147, 176, 230, 344, 354, 591, 856, 958, 1028, 1317, 1393, 1520, 1650, 2160, 2581, 2730,
  3412, 364, 396, 3033, 3663, 6282, 7704, 10530, 20062, 20541, 20845, 58523,
];

describe("the simulator", () => {
  test("keeps every promise in seeds that once broke one", { timeout: 120_000 }, () => {
    for (const seed of finders) {
      const { failure } = runSeed({ seed });
      assert.equal(failure, undefined, `seed ${seed}: ${failure?.checker}: ${failure?.message}`);
    }
  });

  test(`keeps every promise in seeds ${seeds.first} to ${seeds.last}`, { timeout: 120_000 }, () => {
    for (let seed = seeds.first; seed <= seeds.last; seed++) {
      const { failure } = runSeed({ seed });
      const replay = `npm run sim -- --seed ${seed} --trace`;
      assert.equal(failure, undefined, `${failure?.checker}: ${failure?.message}\nreplay: ${replay}`);
    }
  });

  test("gives the same trace for the same seed", { timeout: 60_000 }, () => {
    for (const seed of [3, 8, 21, 34]) {
      const [first, second] = [runSeed({ seed }), runSeed({ seed })];
      assert.equal(first.traceHash, second.traceHash, `seed ${seed}`);
      assert.equal(first.events, second.events);
      assert.deepEqual([...first.coverage.counts], [...second.coverage.counts]);
    }
    assert.notEqual(runSeed({ seed: 3 }).traceHash, runSeed({ seed: 4 }).traceHash);
  });

  test("prints what it hashes without changing it", () => {
    const lines: string[] = [];
    const traced = runSeed({ seed: 7, print: (line) => lines.push(line) });
    assert.equal(traced.traceHash, runSeed({ seed: 7 }).traceHash);
    assert.ok(lines.length > 100);
  });
});

/** Of the first seed that has enough faults. */
function longSchedule(): ReturnType<typeof faultsOf> {
  for (let seed = 1; ; seed++) {
    const schedule = faultsOf(seed);
    if (schedule.length > 8) return schedule;
  }
}

describe("shrinking", () => {
  test("keeps the faults that a failure needs, and no others", () => {
    const schedule = longSchedule();
    const needed = [schedule[2], schedule[7]];
    const { kept } = shrink(schedule, (faults) => needed.every((fault) => fault && faults.includes(fault)));
    assert.deepEqual(kept, [2, 7]);
  });

  test("finds that no fault is needed", () => {
    assert.deepEqual(shrink(faultsOf(5), () => true).kept, []);
  });
});
