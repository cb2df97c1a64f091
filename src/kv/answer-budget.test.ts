import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { utf8 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import { AnswerBudget, pairBytes } from "./answer-budget.ts";
import { Bench, compare, del, keys, put, range, txn } from "./builders.test-support.ts";
import { KeyStore } from "./key-store.ts";
import { readRange } from "./range.ts";
import { StateTable } from "./state.ts";
import type { CommandBody, KeyValue, RangeOperation, SortTarget } from "./types.ts";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const mebibyte = 1024 * 1024;
/** So many values of one MiB fit into an answer, of `valueCount`. */
const fitting = 7;
const valueCount = 10;
const names = Array.from({ length: valueCount }, (_, i) => `k${i}`);

/** A machine with 10 MiB in values, of which each is larger than the one before. */
function filled(): Bench {
  const bench = new Bench();
  for (const [i, name] of names.entries()) bench.run(large(name, i));
  return bench;
}

function large(name: string, fill: number, previous = false) {
  return { ...put(name, "", { previous }), value: new Uint8Array(mebibyte).fill(fill) };
}

function namesOf(list: readonly KeyValue[]): string[] {
  return list.map(({ key }) => new TextDecoder().decode(key));
}

function bytesOf(list: readonly KeyValue[]): number {
  return list.reduce((sum, pair) => sum + pairBytes(pair), 0);
}

describe("an answer that would be too large", () => {
  test("ends a range as a limit does, now and in the past", () => {
    const bench = filled();
    const { revision } = bench.machine;
    const first = names.slice(0, fitting);
    const last = names.toReversed().slice(0, fitting);
    const cases: readonly [Partial<RangeOperation>, readonly string[]][] = [
      [{}, first],
      [{ limit: 8 }, first],
      [{ minModRevision: 2 }, first],
      [{ sort: { target: "mod", descending: false } }, first],
      [{ sort: { target: "key", descending: true } }, last],
      [{ sort: { target: "value", descending: true } }, last],
      [{ sort: { target: "value", descending: true }, minModRevision: 2 }, last],
    ];
    const now = cases.map(([more]) => bench.machine.range(range("", null, more)));
    bench.run(del("", null));
    const past = cases.map(([more]) => bench.machine.range(range("", null, { ...more, revision })));
    for (const [i, [more, expected]] of cases.entries()) {
      for (const result of [now[i], past[i]]) {
        assert.deepEqual(namesOf(result?.keys ?? []), expected, JSON.stringify(more));
        assert.equal(result?.more, true);
        assert.equal(result?.count, valueCount);
        assert.equal(result?.abridged, undefined);
      }
    }
  });

  test("has all keys when they come without values", () => {
    const bench = filled();
    for (const target of ["key", "mod"] as const) {
      const sort = { target, descending: true };
      const result = bench.machine.range(range("", null, { keysOnly: true, sort }));
      assert.deepEqual([result.keys.length, result.more], [valueCount, false]);
    }
  });

  test("is shared by all operations of a transaction", () => {
    const bench = filled();
    const operations = Array.from({ length: 64 }, () => range("", null));
    const nested = txn([], [...operations, range("k9"), put("small", "1"), range("small")]);
    const result = bench.run(txn([], [nested]));
    assert.ok(result.type === "txn");
    const [inner] = result.responses;
    assert.ok(inner?.type === "txn");
    const lists = inner.responses.flatMap((one) => (one.type === "range" ? [one] : []));
    assert.ok(bytesOf(lists.flatMap((one) => one.keys)) <= limits.answerBytesMax);
    assert.equal(lists[0]?.keys.length, fitting);
    const none = { type: "range", revision: 11, keys: [], more: true, abridged: true };
    for (const list of lists.slice(1, 64)) assert.deepEqual(list, { ...none, count: valueCount });
    assert.deepEqual(lists[64], { ...none, count: 1 });
    // What is small would still fit, but nothing is read any more.
    assert.deepEqual(lists[65], { ...none, revision: 12, count: 1 });
  });

  test("leaves out what deletes and puts replaced, which are done all the same", () => {
    const bench = filled();
    const deleted = bench.run(del("", null, true));
    assert.ok(deleted.type === "delete");
    assert.deepEqual(namesOf(deleted.previous), names.slice(0, fitting));
    assert.deepEqual([deleted.deleted, deleted.abridged], [valueCount, true]);
    assert.equal(bench.machine.range(range("", null)).count, 0);

    for (const name of names) bench.run(put(name, "x".repeat(mebibyte)));
    const puts = bench.run(
      txn(
        [],
        names.map((name) => put(name, "", { previous: true })),
      ),
    );
    assert.ok(puts.type === "txn");
    for (const [i, one] of puts.responses.entries()) {
      assert.ok(one.type === "put");
      assert.deepEqual(
        [one.previous !== undefined, one.abridged],
        i < fitting ? [true, undefined] : [false, true],
      );
    }
    assert.deepEqual(
      bench.machine.range(range("", null)).keys.map(({ value }) => value.length),
      names.map(() => 0),
    );
  });

  test("is the same on every member, and when it is repeated", () => {
    const commands: CommandBody[] = [
      del("k0", "k1", true),
      txn([], [del("k1", "k9", true), range("", null), large("k9", 1, true)]),
      txn([compare(keys("k", null), "value", "greater", "")], [del("", null, true)]),
    ];
    const [one, other] = [filled(), filled()];
    for (const [i, body] of commands.entries()) {
      const result = one.run(body, `key ${i}`);
      assert.deepEqual(other.run(body, `key ${i}`), result);
      const [again, otherAgain] = [one, other].map((bench) => bench.run(body, `key ${i}`));
      assert.deepEqual(again, otherAgain);
      assert.equal(again?.type, result.type);
    }
    assert.equal(one.machine.hash(), other.machine.hash());
  });

  test("has one value in any case, however large it is", () => {
    const budget = new AnswerBudget(10);
    const pair = { key: utf8("k"), value: new Uint8Array(1000) };
    const whole = { ...pair, createRevision: 2, modRevision: 2, version: 1, lease: 0 };
    assert.equal(budget.take(whole), true);
    assert.equal(budget.take(whole), false);
    assert.equal(budget.left, 0);
  });
});

test("a comparison over a range reads no further than the first key that decides", () => {
  const bench = new Bench();
  bench.commands(
    ...Array.from({ length: 600 }, (_, i) => ({ body: put(`${1000 + i}`, i === 599 ? "no" : "yes") })),
  );
  const decide = (operand: string, result: "equal" | "not-equal") => {
    const outcome = bench.run(txn([compare(keys("", null), "value", result, operand)], []));
    return outcome.type === "txn" && outcome.succeeded;
  };
  assert.equal(decide("yes", "equal"), false);
  assert.equal(decide("maybe", "not-equal"), true);
  // A row that is damaged is not even seen behind the first that says no.
  bench.db.exec("UPDATE revision SET value = x'00' WHERE seq = 300");
  assert.equal(decide("no", "equal"), false);
  assert.throws(() => decide("yes", "equal"), /checksum/);
});

test("ranges that are read in portions have every key once", () => {
  const bench = new Bench();
  const total = 600;
  bench.commands(...Array.from({ length: total }, (_, i) => ({ body: put(`${1000 + i}`, "old") })));
  const { revision } = bench.machine;
  bench.commands(
    ...Array.from({ length: total }, (_, i) => ({
      body: i % 2 ? del(`${1000 + i}`) : put(`${1000 + i}`, "new"),
    })),
  );
  for (const end of [null, "9"]) {
    for (const limit of [0, 1, 255, 256, 257, 511, 512, 513, 599, 600, 601]) {
      for (const keysOnly of [true, false]) {
        const past = bench.machine.range(range("", end, { limit, revision, keysOnly }));
        const expected = Array.from(
          { length: limit === 0 ? total : Math.min(limit, total) },
          (_, i) => `${1000 + i}`,
        );
        assert.deepEqual(namesOf(past.keys), expected);
        assert.deepEqual([past.more, past.count], [expected.length < total, total]);
        const now = bench.machine.range(range("", end, { limit, keysOnly }));
        const half = expected.map((_, i) => `${1000 + 2 * i}`).slice(0, total / 2);
        assert.deepEqual(namesOf(now.keys), half);
        assert.deepEqual([now.more, now.count], [half.length < total / 2, total / 2]);
      }
    }
  }
});

test("a range with a budget is the front of the range without one, as long as fits", () => {
  const write = fc.record({
    name: fc.integer({ min: 0, max: 30 }),
    length: fc.integer({ min: 0, max: 300 }),
  });
  const target = fc.constantFrom<SortTarget>("key", "version", "create", "mod", "value");
  const read = fc.record({
    revision: fc.integer({ min: 0, max: 20 }),
    limit: fc.integer({ min: 0, max: 12 }),
    keysOnly: fc.boolean(),
    sort: fc.option(fc.record({ target, descending: fc.boolean() }), { nil: undefined }),
    minModRevision: fc.integer({ min: 0, max: 12 }),
  });
  const bytesMax = fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 0, max: 8000 }));
  fc.assert(
    fc.property(
      fc.array(write, { minLength: 20, maxLength: 60 }),
      read,
      bytesMax,
      (writes, { sort, ...rest }, max) => {
        const bench = new Bench();
        for (const { name, length } of writes) {
          bench.run({ ...put(`k${name}`, ""), value: new Uint8Array(length).fill(length) });
        }
        const op = range("", null, { ...rest, ...(sort !== undefined && { sort }) });
        const state = new StateTable(bench.db).load();
        const store = new KeyStore(bench.db, state);
        const whole = readRange(op, store, state, false, new AnswerBudget(Number.POSITIVE_INFINITY));
        const cut = readRange(op, store, state, false, new AnswerBudget(max));
        const length = cut.keys.length;
        assert.deepEqual(cut.keys, whole.keys.slice(0, length));
        assert.equal(cut.count, whole.count);
        assert.equal(cut.more, whole.more || length < whole.keys.length);
        assert.ok(length <= 1 || bytesOf(cut.keys) <= max);
        assert.ok(length > 0 || whole.keys.length === 0);
        // What is sorted by value is counted with it, also where it is not told.
        const next = op.keysOnly === true && sort?.target === "value" ? undefined : whole.keys[length];
        if (next !== undefined) assert.ok(bytesOf(cut.keys) + pairBytes(next) > max);
      },
    ),
    { seed, numRuns: 200 },
  );
});
