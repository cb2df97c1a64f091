import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mutants } from "./mutants.ts";
import { mutate } from "./mutation/plugin.ts";
import { searchParallel } from "./search/parallel.ts";

/**
 * Planted bugs that many seeds catch, so that a few are enough whatever else changes. All of them are
 * tried by `npm run sim:mutants`.
 */
const cheap = [
  "vote-before-durable",
  "ack-before-fsync",
  "write-without-fsync",
  "own-append-counts-at-once",
  "prior-term-commit",
  "membership-announced-before-durable",
  "membership-applied-before-durable",
  "learner-in-quorum",
  "pre-vote-resets-timer",
  "vote-for-a-shorter-log",
  "append-without-match",
  "read-before-applied",
  "applied-index-apart",
  "log-cut-before-durable",
  "idempotent-retry-applied-twice",
  "numbers-begin-anew",
  "watch-event-reordered",
  "watch-event-duplicated",
  "watch-revision-split",
  "watch-progress-ahead",
];
const seedsMax = 60;

describe("planted bugs", () => {
  test("each pattern stands once in the product", () => {
    for (const mutant of mutants)
      for (const { file } of mutant.edits) assert.ok(mutate(mutant, file).length > 0);
  });

  test("have names of their own", () => {
    assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length);
  });

  for (const mutant of cheap) {
    test(`${mutant} is caught`, { timeout: 120_000 }, async () => {
      const { failures } = await searchParallel({
        first: 1,
        last: seedsMax,
        untilMs: Number.POSITIVE_INFINITY,
        stopAtFailure: true,
        mutant,
        progress: () => {},
      });
      assert.ok(failures.length > 0, `${seedsMax} seeds found nothing wrong with it`);
    });
  }
});
