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

const free = (): undefined => undefined;
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("long reads wait for the next turn in their order, short ones do not", async () => {
  const clock = new SlowClock();
  const turns = new ReadTurns(clock);
  const done: number[] = [];
  const read = (at: number, ms: number): Promise<void> =>
    turns.run(() => {
      clock.take(ms);
      done.push(at);
    }, free);
  for (const [at, ms] of [1, 1, 10, 1, 10, 10].entries()) void read(at, ms);
  await settle();
  assert.deepEqual(done, [0, 1, 2]);
  clock.advance(0);
  await settle();
  assert.deepEqual(done, [0, 1, 2, 3, 4]);
  clock.advance(0);
  await settle();
  assert.deepEqual(done, [0, 1, 2, 3, 4, 5]);
});

test("the time of short reads adds up, until one of them has to wait", async () => {
  const clock = new SlowClock();
  const turns = new ReadTurns(clock);
  for (let at = 0; at < 4; at++) await turns.run(() => clock.take(1), free);
  await turns.run(() => clock.take(2), free);
  let done = false;
  const waiting = turns.run(() => {
    done = true;
  }, free);
  await settle();
  assert.equal(done, false);
  clock.advance(0);
  await waiting;
});

test("a read waits for as long as the state is held", async () => {
  const turns = new ReadTurns(new FakeClock());
  let held: Promise<void> | undefined;
  let end = (): void => {};
  held = new Promise((resolve) => {
    end = resolve;
  });
  let done = false;
  const waiting = turns.run(
    () => {
      done = true;
    },
    () => held,
  );
  await settle();
  assert.equal(done, false);
  held = undefined;
  end();
  await waiting;
  assert.equal(done, true);
});

test("a read that fails is told", async () => {
  const turns = new ReadTurns(new FakeClock());
  const failing = (): never => {
    throw new Error("no");
  };
  await assert.rejects(turns.run(failing, free), /no/);
});
