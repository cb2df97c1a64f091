import assert from "node:assert/strict";
import { test } from "node:test";
import { sideBySide } from "./side-by-side.ts";

async function* numbers(count: number): AsyncGenerator<number> {
  for (let at = 0; at < count; at++) yield at;
}

test("items are worked on together, and answered in order", async () => {
  let underWay = 0;
  let most = 0;
  const answers: number[] = [];
  const full = Promise.withResolvers<void>();
  const work = async (item: number): Promise<number> => {
    most = Math.max(most, ++underWay);
    if (underWay === 8) full.resolve();
    await full.promise;
    for (let turn = 0; turn < (item * 7) % 11; turn++) await Promise.resolve();
    underWay--;
    return item * 2;
  };
  for await (const answer of sideBySide(numbers(50), 8, work)) answers.push(answer);
  assert.deepEqual(
    answers,
    Array.from({ length: 50 }, (_, at) => at * 2),
  );
  assert.equal(most, 8);
});

test("an answer does not wait for the next item", async () => {
  const gate = Promise.withResolvers<void>();
  async function* slow(): AsyncGenerator<number> {
    yield 1;
    await gate.promise;
    yield 2;
  }
  const answers = sideBySide(slow(), 10, (item) => Promise.resolve(item));
  assert.deepEqual(await answers.next(), { done: false, value: 1 });
  const second = answers.next();
  gate.resolve();
  assert.deepEqual(await second, { done: false, value: 2 });
  assert.equal((await answers.next()).done, true);
});

test("what fails ends the stream after the answers before it", async () => {
  const seen: number[] = [];
  const work = (item: number): Promise<number> =>
    item === 3 ? Promise.reject(new Error("three")) : Promise.resolve(item);
  await assert.rejects(async () => {
    for await (const answer of sideBySide(numbers(9), 9, work)) seen.push(answer);
  }, /three/);
  assert.deepEqual(seen, [0, 1, 2]);
});

test("leaving early ends the items", async () => {
  let ended = false;
  async function* endless(): AsyncGenerator<number> {
    try {
      for (let at = 0; ; at++) yield at;
    } finally {
      ended = true;
    }
  }
  for await (const answer of sideBySide(endless(), 4, (item) => Promise.resolve(item)))
    if (answer === 5) break;
  assert.ok(ended);
});
