import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "./clock.ts";

test("a timer for longer than setTimeout can take does not fire at once", async () => {
  let fired = 0;
  const timers = [2 ** 31, 9e12, Number.MAX_SAFE_INTEGER].map((delayMs) =>
    systemClock.after(delayMs, () => fired++),
  );
  await new Promise<void>((resolve) => {
    systemClock.after(20, resolve);
  });
  assert.equal(fired, 0);
  for (const timer of timers) timer.cancel();
});
