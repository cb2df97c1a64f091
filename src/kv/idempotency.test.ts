import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { limits } from "../base/limits.ts";
import { Bench, compare, del, keys, put, range, txn } from "./builders.test-support.ts";
import { decodeResult, encodeResult } from "./codec.ts";
import type { CommandBody, KeyValue } from "./types.ts";

const dayMs = 24 * 60 * 60 * 1000;

describe("a repeated command", () => {
  test("is not applied again and gets the same answer", () => {
    const bodies: CommandBody[] = [
      put("a", "1", { previous: true }),
      put("a", "2", { previous: true }),
      txn(
        [compare(keys("a"), "value", "equal", "2")],
        [range("", null), put("b", "1"), del("a", null, true), txn([], [range("b")])],
        [put("z", "")],
      ),
      del("nothing", undefined, true),
      { type: "compact", revision: 3 },
    ];
    const bench = new Bench();
    const answers = bodies.map((body, i) => bench.run(body, `key ${i}`));
    const before = bench.contents();
    bench.reopen();
    assert.deepEqual(
      bodies.map((body, i) => bench.run(body, `key ${i}`)),
      answers,
    );
    assert.deepEqual(bench.contents(), before);
  });

  test("in the same batch is applied once", () => {
    const bench = new Bench();
    const command = { body: put("a", "1"), idempotencyKey: "k" };
    const [first, second] = bench.commands(command, command);
    assert.deepEqual(first, second);
    assert.equal(bench.machine.revision, 2);
  });

  test("is refused when the request is another one", () => {
    const bench = new Bench();
    bench.run(put("a", "1"), "k");
    const others = [put("a", "2"), put("b", "1"), put("a", "1", { previous: true }), del("a")];
    for (const body of others) {
      const result = bench.run(body, "k");
      assert.equal(result.type === "refused" && result.code, "invalid_argument");
    }
    assert.equal(bench.machine.revision, 2);
  });

  test("that was refused may be sent again", () => {
    const bench = new Bench();
    assert.equal(bench.run(put("a", "", { keepValue: true }), "k").type, "refused");
    bench.run(put("a", "1"));
    assert.equal(bench.run(put("a", "", { keepValue: true }), "k").type, "put");
  });

  test("is forgotten after its time, by the clock of the log", () => {
    const bench = new Bench();
    bench.run(put("a", "1"), "k");
    bench.timeMs += dayMs - 1;
    bench.run(put("a", "1"), "k");
    assert.equal(bench.machine.revision, 2);
    // A clock that steps back forgets nothing earlier and remembers nothing longer.
    bench.timeMs -= dayMs;
    bench.run(put("a", "1"), "k");
    assert.equal(bench.machine.revision, 2);
    bench.timeMs += dayMs + 1;
    bench.run(put("a", "1"), "k");
    assert.equal(bench.machine.revision, 3);
    bench.run(put("a", "1"), "k");
    assert.equal(bench.machine.revision, 3);
  });

  test("is forgotten when too many came after it", { timeout: 60_000 }, () => {
    const bench = new Bench();
    bench.run(put("a", "1"), "first");
    const commands = Array.from({ length: limits.idempotencyKeysMax - 1 }, (_, i) => ({
      body: del("nothing"),
      idempotencyKey: String(i),
    }));
    bench.commands(...commands);
    bench.run(put("a", "1"), "first");
    assert.equal(bench.machine.revision, 2);
    bench.run(del("nothing"), "one more");
    bench.run(put("a", "1"), "first");
    assert.equal(bench.machine.revision, 3);
    const rows = bench.db.prepare("SELECT count(*) FROM idempotency").get()?.[0];
    assert.equal(rows, limits.idempotencyKeysMax);
  });
});

test("forgotten answers are removed by and by, which changes neither hash nor answers", () => {
  const bench = new Bench();
  for (let i = 0; i < 50; i++) bench.run(put("a", String(i)), `k${i}`);
  const count = () => bench.db.prepare("SELECT count(*) FROM idempotency").get()?.[0];
  bench.timeMs += 2 * dayMs;
  bench.run(put("b", ""));
  const hash = bench.machine.hash();
  bench.machine.compactSlice(30);
  assert.equal(count(), 20);
  bench.machine.compactSlice(30);
  assert.equal(count(), 0);
  assert.equal(bench.machine.hash(), hash);
  assert.equal(bench.run(put("a", "0"), "k0").type, "put");
});

test("an answer that is too long is remembered without its key-values, and says so", () => {
  const bench = new Bench();
  const value = new Uint8Array(5000).fill(1);
  bench.run({ ...put("a", ""), value });
  const once = (body: CommandBody, key: string) => [bench.run(body, key), bench.run(body, key)];
  const [, putAgain] = once(put("a", "2", { previous: true }), "put");
  assert.deepEqual(putAgain, { type: "put", revision: 3, abridged: true });
  bench.run({ ...put("a", ""), value });
  const [, txnAgain] = once(txn([], [range("a"), range("b"), del("a", undefined, true)]), "txn");
  assert.deepEqual(txnAgain, {
    type: "txn",
    revision: 5,
    succeeded: true,
    responses: [
      { type: "range", revision: 4, keys: [], count: 1, more: false, abridged: true },
      { type: "range", revision: 4, keys: [], count: 0, more: false },
      { type: "delete", revision: 5, deleted: 1, previous: [], abridged: true },
    ],
  });
});

test("results come out of their stored form as they went in", () => {
  const sizes = [0, 1, 63, 64, 65, 8191, 8192, 2 ** 31, 2 ** 32 + 5, 2 ** 53 - 1];
  for (const size of sizes) {
    const keyValue: KeyValue = {
      key: new Uint8Array([0, 255]),
      value: new Uint8Array(size % 70_000),
      createRevision: size,
      modRevision: size,
      version: size,
      lease: size,
    };
    const result = { type: "delete", revision: size, deleted: size, previous: [keyValue, keyValue] } as const;
    assert.deepEqual(decodeResult(encodeResult(result, false)), result);
    // Left out before it was remembered: that stays known.
    const cut = { ...result, abridged: true } as const;
    assert.deepEqual(decodeResult(encodeResult(cut, false)), cut);
    assert.deepEqual(decodeResult(encodeResult(cut, true)), { ...cut, previous: [] });
  }
});
