import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../base/prng.ts";
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

/** Entries of four, one proposal waiting each time, of which `back` come back. Tells which were waited for. */
function answer(setting: ReturnType<typeof setUp>, entries: number, back: number): number[] {
  const { gathering, clock } = setting;
  const waited: number[] = [];
  for (let at = 0; at < entries; at++) {
    gathering.answered(4, 4, 1);
    if (gathering.waits(1)) waited.push(at);
    clock.advance(2);
    assert.equal(gathering.waits(1 + back), false);
    gathering.proposed(1 + back);
  }
  return waited;
}

test("those who seldom come back are waited for in four entries of 68", () => {
  const setting = setUp();
  const waited = answer(setting, 150, 1);
  assert.deepEqual(waited, [0, 1, 2, 3, 67, 68, 69, 70, 134, 135, 136, 137]);
});

test("those who mostly come back are waited for each time, also after a time when they did not", () => {
  const setting = setUp();
  assert.equal(answer(setting, 100, 3).length, 100);
  answer(setting, 200, 0);
  const waited = answer(setting, 200, 3);
  assert.ok((waited[0] ?? 64) < 64);
  assert.equal(waited.length, 200 - (waited[0] ?? 0));
});

test("requests that come by chance are not waited for, however many they are", () => {
  for (const perMs of [0.2, 0.5, 1, 3, 10, 30]) {
    const { gathering, clock } = setUp();
    const random = seededRandom(7);
    let [queued, late, entries] = [1, 0, 0];
    const pass = (ms: number): void => {
      clock.advance(ms);
      for (let due = perMs * ms; due > 0; due--) if (random.below(1000) < Math.min(due, 1) * 1000) queued++;
    };
    while (entries < 2000) {
      const sinceMs = clock.nowMs();
      while (gathering.waits(queued)) pass(0.25);
      if (queued > 0 && clock.nowMs() > sinceMs) late++;
      const count = queued;
      gathering.proposed(count);
      queued = 0;
      for (let tookMs = 0; tookMs < 3; tookMs += 0.25) pass(0.25);
      gathering.answered(count, 3, queued);
      while (queued === 0) pass(0.25);
      entries++;
    }
    assert.ok(late < entries / 5, `${perMs} a millisecond: ${late} of ${entries} waited`);
  }
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
