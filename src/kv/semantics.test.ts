import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { Bench, compare, del, keys, put, range, txn } from "./builders.test-support.ts";
import type { CommandResult, KeyValue, OperationResult, RangeOperation } from "./types.ts";

/** Keys and values as text, with what the numbers say. */
function shown(keyValues: readonly KeyValue[]): string[] {
  return keyValues.map(
    ({ key, value, createRevision, modRevision, version }) =>
      `${fromUtf8(key)}=${fromUtf8(value)} ${createRevision}/${modRevision}/${version}`,
  );
}

function read(bench: Bench, op: RangeOperation): string[] {
  return shown(bench.machine.range(op).keys);
}

function responses(result: CommandResult): readonly OperationResult[] {
  assert.equal(result.type, "txn");
  return result.type === "txn" ? result.responses : [];
}

function code(result: CommandResult): string {
  return result.type === "refused" ? result.code : "not refused";
}

function failure(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CoracleError) return error.code;
    throw error;
  }
  return "no error";
}

describe("revisions", () => {
  test("start at 1, and the first put is 2", () => {
    const bench = new Bench();
    assert.equal(bench.machine.revision, 1);
    assert.deepEqual(bench.run(put("a", "1")), { type: "put", revision: 2 });
  });

  test("stay where they are when nothing is deleted", () => {
    const bench = new Bench();
    assert.deepEqual(bench.run(del("a")), { type: "delete", revision: 1, deleted: 0, previous: [] });
    assert.equal(bench.machine.revision, 1);
    assert.deepEqual(bench.run(txn([], [del("a"), range("a")])), {
      type: "txn",
      revision: 1,
      succeeded: true,
      responses: [
        { type: "delete", revision: 1, deleted: 0, previous: [] },
        { type: "range", revision: 1, keys: [], count: 0, more: false },
      ],
    });
    assert.equal(bench.machine.revision, 1);
  });

  test("are shared by the puts of one transaction", () => {
    const bench = new Bench();
    bench.run(txn([], [put("a", "1"), put("b", "1"), txn([], [put("c", "1")])]));
    assert.deepEqual(read(bench, range("", null)), ["a=1 2/2/1", "b=1 2/2/1", "c=1 2/2/1"]);
    assert.equal(bench.machine.revision, 2);
  });

  test("begin a new life of a key that was deleted", () => {
    const bench = new Bench();
    for (const body of [put("a", "1"), put("a", "2"), del("a"), put("a", "3")]) bench.run(body);
    assert.deepEqual(read(bench, range("a")), ["a=3 5/5/1"]);
    assert.deepEqual(read(bench, range("a", undefined, { revision: 3 })), ["a=2 2/3/2"]);
    assert.deepEqual(read(bench, range("a", undefined, { revision: 4 })), []);
  });
});

describe("ranges", () => {
  const filled = () => {
    const bench = new Bench();
    for (const name of ["b", "a", "d", "c"]) bench.run(put(name, `v${name}`));
    bench.run(put("a", "0"));
    return bench;
  };

  test("count all keys whatever limit and filters say", () => {
    const bench = filled();
    const limited = bench.machine.range(range("a", "d", { limit: 2 }));
    assert.deepEqual(
      [shown(limited.keys), limited.count, limited.more],
      [["a=0 3/6/2", "b=vb 2/2/1"], 3, true],
    );
    const filtered = bench.machine.range(range("", null, { minModRevision: 4, maxModRevision: 5 }));
    assert.deepEqual(
      [shown(filtered.keys), filtered.count, filtered.more],
      [["c=vc 5/5/1", "d=vd 4/4/1"], 4, false],
    );
    const counted = bench.machine.range(range("", null, { countOnly: true, limit: 1 }));
    assert.deepEqual([counted.keys, counted.count, counted.more], [[], 4, false]);
    const sorted = bench.machine.range(
      range("", null, { limit: 1, sort: { target: "mod", descending: true } }),
    );
    assert.deepEqual([shown(sorted.keys), sorted.count, sorted.more], [["a=0 3/6/2"], 4, true]);
  });

  test("sort by every target, equal ones in key order", () => {
    const bench = filled();
    const order = (target: "key" | "version" | "create" | "mod" | "value", descending: boolean) =>
      bench.machine
        .range(range("", null, { sort: { target, descending } }))
        .keys.map(({ key }) => fromUtf8(key))
        .join("");
    assert.equal(order("key", false), "abcd");
    assert.equal(order("key", true), "dcba");
    assert.equal(order("version", false), "bcda");
    assert.equal(order("version", true), "abcd");
    assert.equal(order("create", false), "badc");
    assert.equal(order("mod", true), "acdb");
    assert.equal(order("value", false), "abcd");
  });

  test("leave values out when only keys are asked for", () => {
    const bench = filled();
    for (const revision of [0, 3]) {
      for (const sort of [undefined, { target: "value", descending: true } as const]) {
        const found = bench.machine.range(
          range("a", "c", { revision, keysOnly: true, ...(sort && { sort }) }),
        );
        assert.ok(found.keys.length > 0 && found.keys.every(({ value }) => value.length === 0));
      }
    }
  });

  test("are empty when the end does not lie behind the start", () => {
    const bench = filled();
    assert.deepEqual(read(bench, range("c", "a")), []);
    assert.deepEqual(read(bench, range("c", "c", { revision: 3 })), []);
  });

  test("order keys by their bytes", () => {
    const bench = new Bench();
    // By UTF-16 code units the two would change places.
    for (const key of ["\u{1f6f6}", "\uffee", "a"]) bench.run(put(key, ""));
    const found = bench.machine.range(range("", null)).keys.map(({ key }) => fromUtf8(key));
    assert.deepEqual(found, ["a", "\uffee", "\u{1f6f6}"]);
  });

  test("refuse a revision of the future", () => {
    assert.equal(
      failure(() => filled().machine.range(range("a", undefined, { revision: 7 }))),
      "revision_future",
    );
  });
});

describe("transactions", () => {
  test("see their own earlier writes, but compare with what was before", () => {
    const bench = new Bench();
    const inner = txn(
      [compare(keys("a"), "version", "greater", 0)],
      [],
      [range("a"), range("a", undefined, { revision: 1 })],
    );
    const result = bench.run(txn([], [put("a", "1"), inner]));
    const nested = responses(result)[1];
    assert.ok(nested?.type === "txn" && !nested.succeeded);
    const [now, past] = nested.responses;
    assert.ok(now?.type === "range" && past?.type === "range");
    assert.deepEqual([shown(now.keys), now.revision], [["a=1 2/2/1"], 2]);
    assert.deepEqual([shown(past.keys), past.revision], [[], 2]);
  });

  test("answer with the revision as it is at each operation", () => {
    const bench = new Bench();
    const result = bench.run(txn([], [range("a"), del("x"), put("a", "1"), range("a"), del("x")]));
    assert.deepEqual(
      responses(result).map(({ revision }) => revision),
      [1, 1, 2, 2, 2],
    );
  });

  test("compare with zero where there is no key, and never with a value", () => {
    const bench = new Bench();
    const holds = (one: Parameters<typeof txn>[0][number]) => {
      const result = bench.run(txn([one], []));
      return result.type === "txn" && result.succeeded;
    };
    for (const on of [keys("a"), keys("a", "z"), keys("", null)]) {
      assert.equal(holds(compare(on, "version", "equal", 0)), true);
      assert.equal(holds(compare(on, "mod", "greater", 0)), false);
      assert.equal(holds(compare(on, "value", "equal", "")), false);
      assert.equal(holds(compare(on, "value", "not-equal", "x")), false);
    }
    bench.run(put("a", "1"));
    bench.run(put("b", "2"));
    assert.equal(holds(compare(keys("a", "z"), "value", "less", "3")), true);
    assert.equal(holds(compare(keys("a", "z"), "value", "equal", "1")), false);
    assert.equal(holds(compare(keys("a", "z"), "create", "greater", 1)), true);
  });

  test("are refused as a whole, without a trace, when one operation cannot be done", () => {
    const bench = new Bench();
    for (const body of [put("a", "1"), put("a", "2"), { type: "compact", revision: 3 } as const])
      bench.run(body);
    const before = bench.contents();
    const impossible = [
      [range("a", undefined, { revision: 2 }), "revision_compacted"],
      [range("a", undefined, { revision: 4 }), "revision_future"],
      [put("x", "", { keepValue: true }), "not_found"],
      [put("x", "1", { keepLease: true }), "not_found"],
      [put("x", "1", { lease: 5 }), "lease_not_found"],
    ] as const;
    for (const [operation, expected] of impossible) {
      assert.equal(code(bench.run(txn([], [put("b", "1"), del("a"), operation]))), expected);
      assert.equal(code(bench.run(txn([], [put("b", "1"), txn([], [operation])]))), expected);
      assert.deepEqual(bench.contents(), before);
      // What stands in the other branch is not done and refuses nothing.
      const result = bench.run(txn([compare(keys("a"), "version", "equal", 0)], [operation]));
      assert.equal(code(result), "not refused");
    }
  });

  test("may delete what they have put, in order", () => {
    const bench = new Bench();
    bench.run(txn([], [txn([], [put("a", "1")]), txn([], [del("a")])]));
    assert.equal(bench.machine.revision, 2);
    assert.deepEqual(read(bench, range("a")), []);
    assert.deepEqual(
      bench.machine.changes(1, 10).map(({ rows }) => rows.map(({ version }) => version)),
      [[1, 0]],
    );
  });
});

describe("puts", () => {
  test("give the key as it was", () => {
    const bench = new Bench();
    assert.deepEqual(bench.run(put("a", "1", { previous: true })), { type: "put", revision: 2 });
    const result = bench.run(put("a", "2", { previous: true }));
    assert.ok(result.type === "put" && result.previous !== undefined);
    assert.deepEqual(shown([result.previous]), ["a=1 2/2/1"]);
  });

  test("keep the value when asked, and raise revision and version", () => {
    const bench = new Bench();
    bench.run(put("a", "kept"));
    bench.run(put("a", "", { keepValue: true }));
    assert.deepEqual(read(bench, range("a")), ["a=kept 2/3/2"]);
    assert.equal(code(bench.run(put("b", "", { keepValue: true }))), "not_found");
    assert.equal(bench.machine.revision, 3);
  });

  test("hold an empty value and one of the largest size", () => {
    const bench = new Bench();
    const large = new Uint8Array(1_572_864).fill(0xa5);
    bench.commands({ body: put("empty", "") }, { body: { ...put("large", ""), value: large } });
    assert.equal(bench.machine.range(range("empty")).keys[0]?.value.length, 0);
    assert.deepEqual(bench.machine.range(range("large")).keys[0]?.value, large);
  });
});

describe("deletes", () => {
  test("take a range at one revision and tell the keys in order", () => {
    const bench = new Bench();
    for (let i = 0; i < 2500; i++) bench.run(put(`k${String(i).padStart(4, "0")}`, ""));
    const result = bench.run(del("k0100", "k2400", true));
    assert.ok(result.type === "delete");
    assert.deepEqual([result.deleted, result.revision], [2300, 2502]);
    assert.deepEqual(result.previous[0]?.key, utf8("k0100"));
    assert.deepEqual(result.previous.at(-1)?.key, utf8("k2399"));
    assert.equal(bench.machine.range(range("", null)).count, 200);
    assert.equal(bench.machine.keyCount, 200);
    const [change] = bench.machine.changes(2502, 10);
    assert.deepEqual(
      change?.rows.map(({ key }) => key),
      result.previous.map(({ key }) => key),
    );
  });
});

describe("compaction", () => {
  const written = () => {
    const bench = new Bench();
    for (const body of [put("a", "1"), put("a", "2"), del("a"), put("b", "1"), put("a", "3")])
      bench.run(body);
    return bench;
  };

  test("decides what can be read", () => {
    const bench = written();
    assert.deepEqual(bench.run({ type: "compact", revision: 4 }), { type: "compact", revision: 6 });
    assert.equal(
      failure(() => bench.machine.range(range("a", undefined, { revision: 3 }))),
      "revision_compacted",
    );
    assert.deepEqual(read(bench, range("", null, { revision: 4 })), []);
    assert.deepEqual(read(bench, range("", null, { revision: 5 })), ["b=1 5/5/1"]);
    assert.equal(
      failure(() => bench.machine.changes(3, 10)),
      "revision_compacted",
    );
  });

  test("is refused at or below the last one, at 0 and in the future", () => {
    const bench = written();
    bench.run({ type: "compact", revision: 4 });
    for (const revision of [4, 3, 0, -1])
      assert.equal(code(bench.run({ type: "compact", revision })), "revision_compacted");
    assert.equal(code(bench.run({ type: "compact", revision: 7 })), "revision_future");
    assert.equal(code(bench.run({ type: "compact", revision: 6 })), "not refused");
  });

  test("removes rows in slices, and nothing that can still be read", () => {
    const bench = written();
    bench.run({ type: "compact", revision: 5 });
    const before = bench.contents();
    let removed = 0;
    for (;;) {
      const slice = bench.machine.compactSlice(1);
      assert.ok(slice.visited <= 1);
      removed += slice.removed;
      assert.deepEqual(bench.contents(), before);
      if (slice.done) break;
    }
    // Both puts of the first life of "a", and its tombstone.
    assert.equal(removed, 3);
    assert.equal(bench.db.prepare("SELECT count(*) FROM revision").get()?.[0], 2);
    assert.equal(bench.db.prepare("SELECT count(*) FROM tombstone").get()?.[0], 0);
  });

  test("keeps a tombstone that a reader of changes still needs", () => {
    const bench = written();
    bench.run({ type: "compact", revision: 3 });
    while (!bench.machine.compactSlice(10).done);
    assert.deepEqual(
      bench.machine
        .changes(4, 10)
        .map(({ revision, rows }) => [revision, rows.map(({ version }) => version)]),
      [
        [4, [0]],
        [5, [1]],
        [6, [1]],
      ],
    );
  });
});
