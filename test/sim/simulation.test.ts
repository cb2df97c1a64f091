import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mutants } from "./mutants.ts";
import { mutate } from "./mutation/plugin.ts";
import { shrink } from "./search/shrink.ts";
import { faultsOf, runSeed } from "./simulation.ts";

/** Seeds of the suite: few, so that it stays short. `npm run sim -- --minutes 10` searches on. */
const seeds = { first: 1, last: 40 };

describe("the simulator", () => {
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

describe("shrinking", () => {
  test("keeps the faults that a failure needs, and no others", () => {
    const schedule = faultsOf(5);
    const needed = [schedule[2], schedule[7]];
    const { kept } = shrink(schedule, (faults) => needed.every((fault) => fault && faults.includes(fault)));
    assert.deepEqual(kept, [2, 7]);
  });

  test("finds that no fault is needed", () => {
    assert.deepEqual(shrink(faultsOf(5), () => true).kept, []);
  });
});

describe("planted bugs", () => {
  test("each pattern stands once in the product", () => {
    for (const mutant of mutants)
      for (const { file } of mutant.edits) assert.ok(mutate(mutant, file).length > 0);
  });

  test("have names of their own", () => {
    assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length);
  });
});
