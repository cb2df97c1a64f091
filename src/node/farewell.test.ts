import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "./fake-clock.test-support.ts";
import { Farewell } from "./farewell.ts";

function setUp(others: readonly number[]) {
  const clock = new FakeClock();
  const seen = { ends: 0 };
  const farewell = new Farewell({
    clock,
    electionMs: 1000,
    others: () => others,
    end: () => {
      seen.ends++;
    },
  });
  return { clock, seen, farewell };
}

test("a removed member stays until a majority of the others knows", () => {
  const { seen, farewell } = setUp([1, 2, 3]);
  farewell.removed();
  farewell.refusedBy(1);
  farewell.refusedBy(1);
  assert.equal(seen.ends, 0);
  farewell.refusedBy(3);
  assert.equal(seen.ends, 1);
  farewell.refusedBy(2);
  assert.equal(seen.ends, 1);
});

test("it ends by itself when nobody tells it anything", () => {
  const { clock, seen, farewell } = setUp([1, 2]);
  farewell.removed();
  clock.advance(9_999);
  assert.equal(seen.ends, 0);
  clock.advance(2);
  assert.equal(seen.ends, 1);
});

test("a member that missed its removal learns it from those that refuse it", () => {
  const { seen, farewell } = setUp([1, 2]);
  farewell.refusedBy(1);
  farewell.refusedBy(2);
  assert.equal(seen.ends, 1);
});

test("one member that refuses it is enough in the end, when the others cannot be reached", () => {
  const { clock, seen, farewell } = setUp([1, 2]);
  farewell.refusedBy(1);
  clock.advance(9_999);
  assert.equal(seen.ends, 0);
  clock.advance(2);
  assert.equal(seen.ends, 1);
});
