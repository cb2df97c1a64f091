import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compareInt64,
  type Int64,
  int64,
  int64OfWords,
  int64Words,
  isInt64,
  packInt64,
  parseInt64,
  unpackInt64,
} from "./int64.ts";

const edges = [0n, 1n, -1n, 2n ** 32n, 2n ** 53n, 2n ** 63n].flatMap((edge) =>
  [-edge - 1n, -edge, -edge + 1n, edge - 1n, edge, edge + 1n].filter((v) => BigInt.asIntN(64, v) === v),
);

test("integers of 64 bits have one form, and keep their value in every form", () => {
  for (const edge of edges) {
    const value = int64(edge);
    assert.equal(BigInt(value), edge);
    assert.equal(typeof value === "number", edge > -(2n ** 53n) && edge < 2n ** 53n);
    assert.ok(isInt64(value));
    assert.equal(parseInt64(`${edge}`), value);
    assert.equal(unpackInt64(packInt64(value)), value);
    const [high, low] = int64Words(value);
    assert.ok(Number.isInteger(low) && low >= 0 && low < 2 ** 32, `${edge}`);
    assert.ok(high >= -(2 ** 31) && high < 2 ** 31, `${edge}`);
    assert.equal(int64OfWords(high, low), value);
    for (const other of edges) {
      assert.equal(Math.sign(compareInt64(value, int64(other))), edge < other ? -1 : edge > other ? 1 : 0);
    }
  }
});

test("what is none, or not in its canonical form, is refused", () => {
  for (const wrong of [1.5, Number.NaN, 2 ** 53, 5n, 2n ** 63n, "5", undefined])
    assert.equal(isInt64(wrong), false);
  for (const wrong of ["", "-", "1.0", "9223372036854775808", "0x1", " 1", "1e3"])
    assert.equal(parseInt64(wrong), undefined);
  const small = new Uint8Array(8);
  for (const wrong of [small, new Uint8Array(7), 2 ** 53, 0.5, "1", null, undefined] as (Int64 | unknown)[])
    assert.equal(unpackInt64(wrong), undefined);
});
