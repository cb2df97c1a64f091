import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "./fake-clock.test-support.ts";
import { ReadTurns } from "./read-turns.ts";

/** A clock on which reading takes time. */
class SlowClock extends FakeClock {
  #spentMs = 0;

  take(ms: number): void {
    this.#spentMs += ms;
  }

  override nowMs(): number {
    return super.nowMs() + this.#spentMs;
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

function turnsOf(clock: FakeClock, held: () => Promise<void> | undefined = () => undefined) {
  const groups: number[] = [];
  let count = 0;
  const turns = new ReadTurns({
    clock,
    stateHeld: held,
    readTogether(reads) {
      count = 0;
      reads();
      groups.push(count);
    },
  });
  const run = <T>(read: () => T): Promise<T> =>
    turns.run(() => {
      count++;
      return read();
    });
  return { run, groups };
}

test("what is asked in one turn is read together at its end, in the order of asking", async () => {
  const clock = new FakeClock();
  const { run, groups } = turnsOf(clock);
  const answers = Promise.all([run(() => 1), run(() => 2), run(() => 3)]);
  await settle();
  assert.deepEqual(groups, []);
  clock.advance(0);
  assert.deepEqual(groups, [3]);
  assert.deepEqual(await answers, [1, 2, 3]);
});

test("long reads leave the rest to the next turn, in their order", () => {
  const clock = new SlowClock();
  const { run, groups } = turnsOf(clock);
  const done: number[] = [];
  for (const [at, ms] of [1, 1, 10, 1, 10, 10].entries()) {
    void run(() => {
      clock.take(ms);
      done.push(at);
    });
  }
  clock.advance(100);
  assert.deepEqual(groups, [3, 2, 1]);
  assert.deepEqual(done, [0, 1, 2, 3, 4, 5]);
});

test("the time of short reads adds up, until one of them has to wait", () => {
  const clock = new SlowClock();
  const { run, groups } = turnsOf(clock);
  for (const ms of [1, 1, 1, 1, 2, 1]) void run(() => clock.take(ms));
  clock.advance(100);
  assert.deepEqual(groups, [5, 1]);
});

test("a read waits for as long as the state is held", async () => {
  const clock = new FakeClock();
  let held: Promise<void> | undefined;
  let end = (): void => {};
  held = new Promise((resolve) => {
    end = resolve;
  });
  const { run, groups } = turnsOf(clock, () => held);
  const waiting = run(() => "read");
  clock.advance(0);
  held = undefined;
  clock.advance(0);
  assert.deepEqual(groups, []);
  end();
  await settle();
  clock.advance(0);
  assert.equal(await waiting, "read");
});

test("a read that fails is told, and those beside it are served", async () => {
  const clock = new FakeClock();
  const { run } = turnsOf(clock);
  const failing = run(() => {
    throw new Error("no");
  });
  const other = run(() => 1);
  clock.advance(0);
  await assert.rejects(failing, /no/);
  assert.equal(await other, 1);
});
