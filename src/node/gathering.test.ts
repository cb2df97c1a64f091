import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "./fake-clock.test-support.ts";
import { Gathering } from "./gathering.ts";

function setUp() {
  const clock = new FakeClock();
  const world = { committing: false, wakes: 0 };
  const gathering = new Gathering({
    clock,
    wake: () => {
      world.wakes++;
    },
    committing: () => world.committing,
  });
  return { clock, world, gathering };
}

test("what comes while nothing is on its way does not wait", () => {
  const { gathering, clock } = setUp();
  assert.equal(gathering.waits(1), false);
  assert.equal(clock.planned, 0);
});

test("what comes while an entry is on its way waits for 3 ms at most, and then is woken", () => {
  const { gathering, clock, world } = setUp();
  world.committing = true;
  assert.equal(gathering.waits(1), true);
  clock.advance(2.9);
  assert.equal(gathering.waits(5), true);
  assert.equal(world.wakes, 0);
  clock.advance(0.1);
  assert.equal(world.wakes, 1);
  assert.equal(gathering.waits(5), false);
  gathering.proposed(5);
  assert.equal(clock.planned, 0);
});

test("a full entry does not wait", () => {
  const { gathering, world } = setUp();
  world.committing = true;
  assert.equal(gathering.waits(512), false);
});

test("those who were answered are waited for until all are back", () => {
  const { gathering, clock } = setUp();
  gathering.answered(4, 4, 3);
  assert.equal(gathering.waits(3), true);
  clock.advance(1);
  assert.equal(gathering.waits(6), true);
  assert.equal(gathering.waits(7), false);
  gathering.proposed(7);
  assert.equal(clock.planned, 0);
  assert.equal(gathering.waits(1), false);
});

test("they are waited for no longer than 2 ms, nor than three quarters of what their entry took", () => {
  for (const [tookMs, waitMs] of [
    [100, 2],
    [1, 0.75],
  ] as const) {
    const { gathering, clock, world } = setUp();
    gathering.answered(4, tookMs, 3);
    assert.equal(gathering.waits(3), true);
    clock.advance(waitMs);
    assert.equal(world.wakes, 1);
    assert.equal(gathering.waits(6), false);
  }
});

test("entries that were answered in one turn are waited for together", () => {
  const { gathering } = setUp();
  gathering.answered(4, 4, 3);
  gathering.answered(2, 4, 3);
  assert.equal(gathering.waits(8), true);
  assert.equal(gathering.waits(9), false);
});

test("a lone client that comes back is alone", () => {
  const { gathering } = setUp();
  gathering.answered(1, 4, 0);
  assert.equal(gathering.waits(1), false);
});

test("after waiting in vain the next ones are not waited for, twice as many each time", () => {
  const { gathering, clock } = setUp();
  let waited: number[] = [];
  const answer = (back: number): void => {
    gathering.answered(4, 4, 1);
    if (gathering.waits(1)) waited.push(at);
    clock.advance(2);
    assert.equal(gathering.waits(1 + back), false);
    gathering.proposed(1 + back);
  };
  let at = 0;
  for (; at < 20; at++) answer(1);
  assert.deepEqual(waited, [0, 2, 5, 10, 19]);
  waited = [];
  for (; at < 1000; at++) answer(1);
  const gaps = waited.map((each, index) => each - (waited[index - 1] ?? each));
  assert.equal(Math.max(...gaps), 65);
  // Half of them is enough to believe in it again.
  for (; waited.at(-1) !== at - 1; at++) answer(2);
  waited = [];
  const from = at;
  for (; at < from + 4; at++) answer(2);
  assert.equal(waited.length, 4);
});

test("a wait while an entry is on its way ends with that for those who were answered", () => {
  const { gathering, clock, world } = setUp();
  world.committing = true;
  assert.equal(gathering.waits(3), true);
  clock.advance(0.5);
  world.committing = false;
  gathering.answered(4, 1, 3);
  assert.equal(gathering.waits(3), true);
  clock.advance(0.75);
  assert.equal(world.wakes, 1);
  assert.equal(gathering.waits(3), false);
});
