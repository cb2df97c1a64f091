import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { compare, del, keys, put, range, txn } from "./builders.test-support.ts";
import type { CommandBody, Operation } from "./types.ts";
import { validateCommand, validateRangeOperation } from "./validate.ts";

function code(body: CommandBody, idempotencyKey?: string): string {
  try {
    validateCommand(idempotencyKey === undefined ? { body } : { body, idempotencyKey });
  } catch (error) {
    if (error instanceof CoracleError) return error.code;
    throw error;
  }
  return "fine";
}

const bytes = (length: number) => new Uint8Array(length).fill(0x61);
const many = (length: number, item: (i: number) => Operation) => Array.from({ length }, (_, i) => item(i));

test("keys and values have limits, which the message names", () => {
  assert.equal(code(put("", "1")), "key_empty");
  assert.equal(code(put("a", "")), "fine");
  assert.equal(code({ ...put("", ""), key: bytes(limits.keyBytesMax) }), "fine");
  assert.equal(code({ ...put("", ""), key: bytes(limits.keyBytesMax + 1) }), "key_too_large");
  const largest = { ...put("a", ""), value: bytes(limits.valueBytesMax) };
  assert.equal(code(largest), "fine");
  assert.equal(code(txn([], [largest])), "fine");
  const tooLarge = { ...put("a", ""), value: bytes(limits.valueBytesMax + 1) };
  assert.equal(code(tooLarge), "value_too_large");
  assert.throws(() => validateCommand({ body: tooLarge }), /1572864.*--value-bytes-max/);
  validateCommand({ body: tooLarge }, { ...limits, valueBytesMax: limits.valueBytesMax + 1 });
  assert.equal(code(txn([], [largest, { ...largest, key: bytes(2) }])), "request_too_large");
});

test("ranges may begin at the empty key, single keys may not be empty", () => {
  assert.equal(code(del("")), "key_empty");
  assert.equal(code(del("", null)), "fine");
  assert.equal(code(del("", "b")), "fine");
  assert.equal(code(del("a", "")), "invalid_argument");
  assert.equal(code(del("b", "a")), "fine");
  assert.equal(code({ ...del("a"), end: bytes(limits.keyBytesMax + 1) }), "fine");
  assert.equal(code({ ...del("a"), end: bytes(limits.keyBytesMax + 2) }), "key_too_large");
  assert.equal(code(txn([compare(keys(""), "mod", "equal", 0)], [])), "key_empty");
  assert.throws(() => validateRangeOperation(range("")), /key is empty/);
  assert.throws(() => validateRangeOperation(range("a", undefined, { revision: 1.5 })), /integer/);
});

test("numbers are integers, operands fit their target, contradictions are refused", () => {
  assert.equal(code({ type: "compact", revision: Number.NaN }), "invalid_argument");
  assert.equal(code({ type: "compact", revision: -3 }), "fine");
  assert.equal(code(put("a", "", { lease: 1.5 })), "invalid_argument");
  assert.equal(code(put("a", "", { lease: 5n })), "invalid_argument");
  assert.equal(code(put("a", "", { lease: 2 ** 60 })), "invalid_argument");
  assert.equal(code(put("a", "1", { keepValue: true })), "invalid_argument");
  assert.equal(code(put("a", "1", { keepLease: true, lease: 1 })), "invalid_argument");
  assert.equal(code(txn([compare(keys("a"), "value", "equal", 1)], [])), "invalid_argument");
  assert.equal(code(txn([compare(keys("a"), "mod", "equal", "1")], [])), "invalid_argument");
  assert.equal(code(txn([], [range("a", undefined, { limit: 0.5 })])), "invalid_argument");
});

test("idempotency keys are short text", () => {
  assert.equal(code(put("a", ""), "550e8400-e29b-41d4-a716-446655440000"), "fine");
  assert.equal(code(put("a", ""), ""), "invalid_argument");
  assert.equal(code(put("a", ""), "x".repeat(257)), "invalid_argument");
  assert.equal(code(put("a", ""), "\ud800"), "invalid_argument");
});

describe("the number of operations", () => {
  const gets = (count: number) => many(count, () => range("a"));

  test("is the longest list of a transaction", () => {
    assert.equal(code(txn([], gets(128))), "fine");
    assert.equal(code(txn([], gets(129))), "too_many_operations");
    assert.equal(code(txn([], [], gets(129))), "too_many_operations");
    assert.equal(code(txn([], gets(128), gets(128))), "fine");
    const compares = Array.from({ length: 129 }, () => compare(keys("a"), "mod", "equal", 0));
    assert.equal(code(txn(compares, [])), "too_many_operations");
  });

  test("leaves to nested transactions what the outer one does not use", () => {
    assert.equal(code(txn([], [...gets(63), txn([], gets(64))])), "fine");
    assert.equal(code(txn([], [...gets(63), txn([], gets(65))])), "too_many_operations");
    assert.equal(
      code(txn([], [...gets(62), txn([], [...gets(62), txn([], gets(3))])])),
      "too_many_operations",
    );
  });
});

test("the example in docs/http-api.md is as it says", () => {
  const nested = (name: number, puts: number) =>
    txn(
      [],
      many(puts, (i) => put(`${name}/${i}`, "")),
    );
  const singles = many(64, (i) => nested(i, 1));
  assert.equal(code(txn([], [...singles, nested(64, 1)])), "fine");
  assert.equal(code(txn([], [...singles, nested(64, 63)])), "fine");
  assert.equal(code(txn([], [...singles, nested(64, 64)])), "too_many_operations");
});

describe("all operations and comparisons of a tree", () => {
  const compares = (count: number) =>
    Array.from({ length: count }, () => compare(keys("a"), "mod", "equal", 0));
  const gets = (count: number) => many(count, () => range("a"));

  test("may be three full lists", () => {
    assert.equal(code(txn(compares(128), gets(128), gets(128))), "fine");
    const full = txn(compares(64), [...gets(63), txn(compares(64), gets(64), gets(64))], gets(64));
    assert.equal(code(full), "fine");
    const one = txn([], [], [range("a")]);
    assert.equal(code({ ...full, failure: [...gets(62), one, one] }), "too_many_operations");
  });

  test("have a limit that nesting does not pass", () => {
    const nested = many(64, () => txn([], gets(64)));
    assert.equal(code(txn([], nested)), "too_many_operations");
    const puts = many(60, (i) =>
      txn(
        [],
        many(60, (j) => put(`${i}/${j}`, "")),
      ),
    );
    assert.equal(code(txn([], puts)), "too_many_operations");
    assert.throws(() => validateCommand({ body: txn([], nested) }), /more than 384 .* in all/);
  });
});

describe("a key named twice", () => {
  const cases: readonly [string, readonly Operation[], "fine" | "duplicate_key"][] = [
    ["put twice", [put("a", "1"), put("a", "2")], "duplicate_key"],
    ["put and deleted", [put("a", "1"), del("a")], "duplicate_key"],
    ["put inside a deleted range", [del("a", "c"), put("b", "")], "duplicate_key"],
    ["put beside a deleted range", [del("a", "b"), put("b", "")], "fine"],
    ["put and deleted from a key on", [put("b", ""), del("a", null)], "duplicate_key"],
    ["deleted twice", [del("a"), del("a", "c")], "fine"],
    ["read and put", [range("a"), put("a", ""), range("a")], "fine"],
    ["put in both branches", [txn([], [put("a", "")], [put("a", "")])], "fine"],
    ["put outside and inside", [put("a", ""), txn([], [put("a", "")])], "duplicate_key"],
    ["put outside and in the other branch", [put("a", ""), txn([], [], [put("a", "")])], "duplicate_key"],
    ["put in two nested ones", [txn([], [put("a", "")]), txn([], [], [put("a", "")])], "duplicate_key"],
    ["deleted outside, put inside", [txn([], [put("a", "")]), del("", null)], "duplicate_key"],
    ["deleted inside, put outside", [put("a", ""), txn([], [txn([], [], [del("a")])])], "duplicate_key"],
    ["deleted by an earlier nested one", [txn([], [del("a")]), txn([], [put("a", "")])], "duplicate_key"],
    ["deleted by a later nested one", [txn([], [put("a", "")]), txn([], [del("a")])], "fine"],
    ["put and deleted in two branches", [txn([], [put("a", "")], [del("a")])], "fine"],
  ];
  for (const [name, operations, expected] of cases) {
    test(name, () => {
      assert.equal(code(txn([], operations)), expected);
      assert.equal(code(txn([], [], operations)), expected);
      assert.equal(code(txn([], [txn([], [], operations)])), expected);
    });
  }

  test("tells bytes apart that are no text", () => {
    const one = { ...put("", ""), key: new Uint8Array([0xff]) };
    assert.equal(code(txn([], [one, { ...one, key: new Uint8Array([0xfe]) }])), "fine");
    assert.equal(code(txn([], [one, { ...one, key: new Uint8Array([0xff]) }])), "duplicate_key");
    const all = many(128, (i) => ({ ...put("", ""), key: new Uint8Array([128 + i]) }));
    assert.equal(code(txn([], all)), "fine");
  });
});
