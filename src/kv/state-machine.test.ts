import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { InvariantViolation } from "../base/assert.ts";
import { CoracleError } from "../base/errors.ts";
import { seededRandom } from "../base/prng.ts";
import type { SqliteDatabase } from "../base/sqlite.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { Bench, del, member, put, range, txn } from "./builders.test-support.ts";
import { type AppliedEntry, StateMachine } from "./state-machine.ts";

function code(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CoracleError) return error.code;
    throw error;
  }
  return "no error";
}

/** A machine with something in each of its tables. */
function filled(): Bench {
  const bench = new Bench([member(1), member(2)]);
  for (let i = 0; i < 20; i++) bench.run(put(`key${i % 7}`, `value${i}`), `once-${i}`);
  bench.run(del("key3"));
  bench.change({ op: "add-learner", member: member(3) });
  bench.change({ op: "remove", id: 2 });
  return bench;
}

describe("opening", () => {
  test("finds everything as it was", () => {
    const bench = filled();
    const { machine } = bench;
    bench.reopen();
    const { machine: again } = bench;
    for (const name of [
      "appliedIndex",
      "appliedTerm",
      "revision",
      "compactRevision",
      "timeMs",
      "keyCount",
    ] as const) {
      assert.equal(again[name], machine[name], name);
    }
    assert.equal(again.hash(), machine.hash());
    assert.deepEqual(again.membership(), machine.membership());
    assert.deepEqual(again.range(range("", null)), machine.range(range("", null)));
  });

  test("begins a joiner with index 0 and no members", () => {
    const { machine } = new Bench([]);
    assert.equal(machine.appliedIndex, 0);
    assert.deepEqual(machine.confState(), { voters: [], learners: [] });
    assert.deepEqual(machine.membership(), { clusterId: 42, members: [], removed: [] });
  });

  test("refuses what is no state database", () => {
    const damages: ((db: SqliteDatabase) => void)[] = [
      (db) => db.exec("PRAGMA application_id = 5"),
      (db) => db.exec("PRAGMA user_version = 99"),
      (db) => db.exec("PRAGMA user_version = 0"),
      (db) => db.exec("DROP TABLE tombstone"),
      (db) => db.exec("DELETE FROM meta"),
      (db) => db.exec("UPDATE meta SET revision = revision + 1"),
      (db) => db.exec("UPDATE member SET learner = 1 WHERE id = 1"),
    ];
    assert.equal(
      code(() => StateMachine.open(openSqlite(":memory:"))),
      "storage_damaged",
    );
    for (const damage of damages) {
      const { db } = filled();
      damage(db);
      assert.equal(
        code(() => StateMachine.open(db)),
        "storage_damaged",
        damage.toString(),
      );
    }
  });
});

describe("damage", () => {
  const read = (bench: Bench, revision = 0) => code(() => bench.machine.range(range("", null, { revision })));
  const readOne = (bench: Bench) => code(() => bench.machine.range(range("key1")));

  test("of a value or of what stands about it is found when it is read", () => {
    const statements = [
      "UPDATE revision SET value = CAST('valuf15' AS BLOB) WHERE seq = 16",
      "UPDATE revision SET value = x'' WHERE seq = 16",
      "UPDATE revision SET checksum = checksum + 1 WHERE seq = 16",
      "UPDATE key SET version = version + 1 WHERE key = CAST('key1' AS BLOB)",
      "UPDATE key SET seq = 2 WHERE key = CAST('key1' AS BLOB)",
      "DELETE FROM revision WHERE seq = 16",
    ];
    for (const statement of statements) {
      const bench = filled();
      assert.equal(readOne(bench), "no error");
      bench.db.exec(statement);
      bench.reopen();
      assert.equal(readOne(bench), "storage_damaged", statement);
      assert.equal(read(bench), "storage_damaged", statement);
    }
  });

  test("of the past is found when the past is read", () => {
    for (const statement of [
      "UPDATE revision SET prev = prev + 1 WHERE seq = 9",
      "UPDATE key SET prev = prev + 1 WHERE key = CAST('key1' AS BLOB)",
      "UPDATE tombstone SET prev = prev + 1",
      "UPDATE revision SET mod_revision = mod_revision + 1 WHERE seq = 2",
      "UPDATE revision SET key = CAST('keyX' AS BLOB) WHERE seq = 2",
    ]) {
      const bench = filled();
      assert.equal(read(bench, 5), "no error");
      bench.db.exec(statement);
      const past = code(() => bench.machine.range(range("key1", undefined, { revision: 5 })));
      const changes = code(() => bench.machine.changes(2, 100));
      assert.ok([read(bench, 5), past, changes].includes("storage_damaged"), statement);
    }
  });

  test("anywhere is found by a full check", () => {
    const statements = [
      "DELETE FROM key WHERE key = CAST('key1' AS BLOB)",
      "UPDATE key SET key = CAST('key9' AS BLOB) WHERE key = CAST('key1' AS BLOB)",
      "UPDATE tombstone SET links = links + 1",
      "DELETE FROM tombstone",
      "UPDATE revision SET jump = jump + 1 WHERE seq = 2",
      "DELETE FROM revision WHERE seq = 2",
      "DELETE FROM revision WHERE seq = 21",
      "UPDATE revision SET value = x'00' WHERE seq = 3",
    ];
    const whole = filled();
    whole.run({ type: "compact", revision: 12 });
    for (let done = false; !done; done = whole.machine.compactSlice(2).done) whole.machine.verify();
    for (const statement of statements) {
      const bench = filled();
      bench.machine.verify();
      bench.db.exec(statement);
      assert.equal(
        code(() => bench.machine.verify()),
        "storage_damaged",
        statement,
      );
    }
  });

  test("met while applying stops the entry and leaves no trace", () => {
    const bench = filled();
    const { appliedIndex } = bench.machine;
    const hash = bench.machine.hash();
    bench.db.exec("UPDATE key SET version = version + 1 WHERE key = CAST('key1' AS BLOB)");
    bench.reopen();
    assert.equal(
      code(() => bench.commands({ body: put("new", "") }, { body: put("key1", "") })),
      "storage_damaged",
    );
    assert.equal(bench.machine.appliedIndex, appliedIndex);
    assert.equal(bench.machine.hash(), hash);
    assert.equal(bench.machine.range(range("new")).count, 0);
  });

  test("of a remembered answer is found when it is asked for", () => {
    const bench = filled();
    bench.db.exec("UPDATE idempotency SET result = x'0102' WHERE number = 5");
    assert.equal(
      code(() => bench.run(put("key4", "value4"), "once-4")),
      "storage_damaged",
    );
  });
});

describe("applying", () => {
  test("takes the next entry only", () => {
    const bench = filled();
    const next = bench.entry({ type: "noop" });
    for (const index of [next.index - 1, next.index + 1]) {
      assert.throws(() => bench.machine.apply([{ ...next, index }]), InvariantViolation);
    }
    assert.throws(
      () => bench.machine.apply([next, { ...next, index: next.index + 1, term: 0 }]),
      InvariantViolation,
    );
    assert.equal(bench.machine.appliedIndex, next.index - 1);
    assert.deepEqual(bench.machine.apply([next]), [{ type: "noop" }]);
    assert.equal(bench.machine.appliedIndex, next.index);
    assert.deepEqual(bench.machine.apply([]), []);
  });

  test("never lets the time go back", () => {
    const bench = new Bench();
    const at = (timeMs: number) =>
      bench.machine.apply([bench.entry({ type: "batch", batch: { timeMs, commands: [] } })]);
    at(5000);
    at(4000);
    assert.equal(bench.machine.timeMs, 5000);
    at(6000);
    assert.equal(bench.machine.timeMs, 6000);
  });

  test("is undone as a whole when the disk is full, and goes on when there is room", () => {
    const bench = new Bench([member(1)]);
    bench.run(put("a", "1"));
    const before = [bench.contents(), bench.machine.membership()];
    const pages = bench.db.prepare("PRAGMA page_count").get()?.[0] as number;
    bench.db.exec(`PRAGMA max_page_count = ${pages + 4}`);
    const entries: AppliedEntry[] = [
      bench.entry({ type: "membership", change: { op: "add-learner", member: member(2) } }),
      bench.entry(
        {
          type: "batch",
          batch: {
            timeMs: 9e12,
            commands: [
              { body: put("b", "1"), idempotencyKey: "x" },
              { body: txn([], [put("c", ""), range("a", undefined, { revision: 2 })]) },
              { body: { ...put("large", ""), value: new Uint8Array(100_000) } },
            ],
          },
        },
        1,
      ),
    ];
    for (let attempt = 0; attempt < 3; attempt++) {
      assert.throws(() => bench.machine.apply(entries), /full/);
      assert.deepEqual([bench.contents(), bench.machine.membership()], before);
      assert.equal(bench.machine.timeMs, bench.timeMs);
    }
    bench.db.exec("PRAGMA max_page_count = 100000");
    bench.machine.apply(entries);
    const other = new Bench([member(1)]);
    other.run(put("a", "1"));
    other.machine.apply(entries.slice(0, 1));
    other.machine.apply(entries.slice(1));
    assert.deepEqual(bench.contents(), other.contents());
    assert.deepEqual(bench.machine.membership(), other.machine.membership());
    bench.reopen();
    assert.deepEqual(bench.contents(), other.contents());
  });

  test("gives the same hash on every runtime and in every version", () => {
    const random = seededRandom(7);
    const bench = new Bench([member(1)]);
    for (let i = 0; i < 400; i++) {
      const key = `key ${random.below(30)} \u{1f6f6}`;
      const body = random.below(4) === 0 ? del(key) : put(key, "v".repeat(random.below(300)));
      bench.run(i === 200 ? { type: "compact", revision: 50 } : body, i % 5 === 0 ? `once ${i}` : undefined);
    }
    for (const id of [7, -7, 2n ** 60n]) {
      bench.run({ type: "lease-grant", id, ttlSeconds: 9_000_000_000 });
      bench.run(put(`leased ${id}`, "v", { lease: id }));
    }
    bench.run({
      type: "lease-checkpoint",
      term: 1,
      leases: [{ id: 2n ** 60n, remainingSeconds: 2 ** 33 - 5 }],
    });
    bench.run({ type: "lease-revoke", id: -7 });
    bench.change({ op: "add-learner", member: member(2) });
    // Members of neighbouring versions compare it: it may change only together with `hashVersion`.
    assert.equal(bench.machine.hash(), "26ff63040c4d1bcc");
  });

  test("gives different hashes for different histories", () => {
    const hash = (...values: string[]) => {
      const bench = new Bench();
      for (const value of values) bench.run(put("a", value));
      return bench.machine.hash();
    };
    assert.equal(new Set([hash(), hash("1"), hash("2"), hash("1", "2"), hash("2", "2")]).size, 5);
    const renamed = new Bench([member(1, { name: "other" })]);
    assert.notEqual(renamed.machine.hash(), new Bench([member(1)]).machine.hash());
  });
});

describe("membership", () => {
  const refusal = (bench: Bench, change: Parameters<Bench["change"]>[0]) => bench.change(change)?.code;

  test("grows by a learner, which is promoted and removed for good", () => {
    const bench = new Bench([member(5)]);
    // A record that claims to be a voter comes in as a learner.
    assert.equal(refusal(bench, { op: "add-learner", member: member(3) }), undefined);
    assert.deepEqual(bench.machine.confState(), { voters: [5], learners: [3] });
    assert.equal(refusal(bench, { op: "promote", id: 3 }), undefined);
    assert.deepEqual(bench.machine.confState(), { voters: [3, 5], learners: [] });
    assert.equal(refusal(bench, { op: "remove", id: 5 }), undefined);
    assert.deepEqual(bench.machine.membership(), { clusterId: 42, members: [member(3)], removed: [5] });
    bench.reopen();
    assert.deepEqual(bench.machine.membership(), { clusterId: 42, members: [member(3)], removed: [5] });
  });

  test("refuses what breaks its rules, without a trace", () => {
    const bench = new Bench([member(1), member(2, { learner: true })]);
    bench.change({ op: "add-learner", member: member(9) });
    bench.change({ op: "remove", id: 9 });
    const before = [bench.machine.hash(), bench.machine.membership()];
    const changes = [
      [{ op: "add-learner", member: member(3, { name: "n1" }) }, "name_taken"],
      [{ op: "add-learner", member: member(1, { name: "new" }) }, "member_exists"],
      [{ op: "add-learner", member: member(3, { peerAddress: "127.0.0.1:2" }) }, "member_exists"],
      [{ op: "add-learner", member: member(9) }, "invalid_argument"],
      [{ op: "promote", id: 1 }, "precondition_failed"],
      [{ op: "promote", id: 7 }, "member_not_found"],
      [{ op: "remove", id: 1 }, "quorum_at_risk"],
      [{ op: "remove", id: 9 }, "member_not_found"],
      [{ op: "update", member: member(7) }, "member_not_found"],
      [{ op: "update", member: member(1, { name: "n2" }) }, "name_taken"],
      [{ op: "update", member: member(1, { peerAddress: "127.0.0.1:2" }) }, "member_exists"],
    ] as const;
    for (const [change, expected] of changes) {
      assert.equal(refusal(bench, change), expected, JSON.stringify(change));
      assert.deepEqual([bench.machine.hash(), bench.machine.membership()], before);
    }
    for (let id = 100; id < 113; id++)
      assert.equal(refusal(bench, { op: "add-learner", member: member(id) }), undefined);
    assert.equal(refusal(bench, { op: "add-learner", member: member(200) }), "invalid_argument");
  });

  test("changes addresses but no vote by an update", () => {
    const bench = new Bench([member(1), member(2, { learner: true })]);
    const moved = member(2, {
      peerAddress: "10.0.0.2:2380",
      clientUrls: [],
      grpcUrls: ["http://10.0.0.2:2381"],
    });
    assert.equal(refusal(bench, { op: "update", member: moved }), undefined);
    assert.deepEqual(bench.machine.membership().members[1], { ...moved, learner: true });
  });
});

describe("reads together", () => {
  test("see one state, and leave no transaction behind", () => {
    const bench = filled();
    const { machine } = bench;
    const seen: number[] = [];
    machine.readTogether(() => {
      seen.push(machine.range(range("key1")).count, machine.range(range("", null)).count);
    });
    assert.deepEqual(seen, [1, 6]);
    bench.run(put("key1", "later"));
    assert.equal(machine.range(range("", null)).count, 6);
  });

  test("go on after one that finds damage", () => {
    const bench = filled();
    bench.db.exec("UPDATE key SET checksum = checksum + 1 WHERE key = CAST('key1' AS BLOB)");
    bench.reopen();
    const seen: string[] = [];
    bench.machine.readTogether(() => {
      seen.push(code(() => bench.machine.range(range("key1"))));
      seen.push(code(() => bench.machine.range(range("key2"))));
    });
    assert.deepEqual(seen, ["storage_damaged", "no error"]);
    bench.run(put("key2", "later"));
  });
});
