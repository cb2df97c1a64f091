import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { Bench, compare, del, keys, put, range, txn } from "./builders.test-support.ts";
import { StateMachine } from "./state-machine.ts";
import type { CommandResult, LeaseId } from "./types.ts";

const grant = (id: LeaseId, ttlSeconds = 60) => ({ type: "lease-grant", id, ttlSeconds }) as const;
const revoke = (id: LeaseId, term?: number) =>
  ({ type: "lease-revoke", id, ...(term !== undefined && { term }) }) as const;
const checkpoint = (term: number, ...leases: [LeaseId, number][]) => {
  return {
    type: "lease-checkpoint",
    term,
    leases: leases.map(([id, remainingSeconds]) => ({ id, remainingSeconds })),
  } as const;
};
const code = (result: CommandResult) => (result.type === "refused" ? result.code : "not refused");
const keysOf = (bench: Bench, id: LeaseId) => [...bench.machine.leases.keys(id)].map(fromUtf8);

/** Every kind of id: small, as coracle chooses them, negative, and beyond what a number holds. */
const ids: readonly LeaseId[] = [1, 2 ** 53 - 1, -1, -(2 ** 53 - 1), 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)];

describe("a lease", () => {
  test("of any id holds keys, survives a restart, and takes them along", () => {
    const bench = new Bench();
    for (const id of ids) {
      assert.deepEqual(bench.run(grant(id)), {
        type: "lease-grant",
        revision: bench.machine.revision,
        id,
        ttlSeconds: 60,
      });
      assert.equal(code(bench.run(grant(id))), "lease_exists");
      bench.run(put(`b of ${id}`, "2", { lease: id }));
      bench.run(put(`a of ${id}`, "1", { lease: id }));
    }
    bench.reopen();
    bench.machine.verify();
    assert.equal(bench.machine.leases.count, ids.length);
    assert.deepEqual(new Set(bench.machine.leases.list(undefined, 100).map(({ id }) => id)), new Set(ids));
    for (const id of ids) {
      assert.deepEqual(bench.machine.leases.get(id), { id, ttlSeconds: 60, remainingSeconds: 60 });
      assert.equal(bench.machine.range(range(`a of ${id}`)).keys[0]?.lease, id);
      const is = compare(keys(`a of ${id}`), "lease", "equal", id);
      const above = compare(keys(`a of ${id}`), "lease", "greater", -(2n ** 63n));
      assert.deepEqual(bench.run(txn([is], [])), {
        type: "txn",
        revision: bench.machine.revision,
        succeeded: true,
        responses: [],
      });
      const found = bench.run(txn([above], []));
      assert.equal(found.type === "txn" && found.succeeded, id !== -(2n ** 63n));

      assert.deepEqual(keysOf(bench, id), [`a of ${id}`, `b of ${id}`]);
      const revision = bench.machine.revision + 1;
      assert.deepEqual(bench.run(revoke(id)), { type: "lease-revoke", revision, deleted: 2 });
      const [change] = bench.machine.changes(revision, 10);
      assert.deepEqual(
        change?.rows.map(({ key, version, lease }) => [fromUtf8(key), version, lease]),
        [
          [`a of ${id}`, 0, 0],
          [`b of ${id}`, 0, 0],
        ],
      );
      assert.equal(code(bench.run(revoke(id))), "lease_not_found");
      bench.machine.verify();
    }
    assert.equal(bench.machine.keyCount, 0);
  });

  test("that holds nothing ends without a new revision", () => {
    const bench = new Bench();
    bench.run(grant(5));
    assert.deepEqual(bench.run(revoke(5)), { type: "lease-revoke", revision: 1, deleted: 0 });
  });

  test("that does not exist cannot be named by a put", () => {
    const bench = new Bench();
    bench.run(grant(5));
    const before = bench.contents();
    assert.equal(code(bench.run(put("a", "1", { lease: 6 }))), "lease_not_found");
    assert.equal(
      code(bench.run(txn([], [put("b", "1", { lease: 5 }), put("a", "1", { lease: 6 })]))),
      "lease_not_found",
    );
    assert.deepEqual(bench.contents(), before);
    assert.deepEqual(keysOf(bench, 5), []);
  });

  test("loses a key by a delete, by a put without it and by a put with another", () => {
    const bench = new Bench();
    for (const id of [5, 6]) bench.run(grant(id));
    for (const key of ["a", "b", "c", "d"]) bench.run(put(key, "1", { lease: 5 }));
    bench.run(del("a"));
    bench.run(put("b", "2"));
    bench.run(put("c", "2", { lease: 6 }));
    bench.run(put("d", "2", { keepLease: true }));
    assert.deepEqual(keysOf(bench, 5), ["d"]);
    assert.deepEqual(keysOf(bench, 6), ["c"]);
    bench.run(del("", null));
    assert.deepEqual([keysOf(bench, 5), keysOf(bench, 6)], [[], []]);
    bench.machine.verify();
  });

  test("has what a checkpoint says, which never adds to its TTL and passes over leases that ended", () => {
    const bench = new Bench();
    for (const id of [5, -5]) bench.run(grant(id, 100));
    assert.deepEqual(bench.run(checkpoint(1, [5, 40], [-5, 400], [9, 1])), {
      type: "lease-checkpoint",
      revision: 1,
    });
    const left = [5, -5].map((id) => bench.machine.leases.get(id)?.remainingSeconds);
    assert.deepEqual(left, [40, 100]);
    bench.reopen();
    assert.equal(bench.machine.leases.get(5)?.remainingSeconds, 40);
    bench.run(checkpoint(1, [5, 100]));
    assert.equal(bench.machine.leases.get(5)?.remainingSeconds, 100);
  });

  test("is not ended, nor shortened, by the clock of a leader of another term", () => {
    const bench = new Bench();
    bench.run(grant(5));
    const hash = bench.machine.hash();
    assert.equal(code(bench.run(revoke(5, 2))), "not_proposed");
    assert.equal(code(bench.run(checkpoint(2, [5, 1]))), "not_proposed");
    assert.equal(bench.machine.hash(), hash);
    assert.equal(code(bench.run(revoke(5, 1))), "not refused");
  });

  test("is granted and revoked once by a repeated request", () => {
    const bench = new Bench();
    const first = bench.run(grant(5), "grant");
    assert.deepEqual(bench.run(grant(5), "grant"), first);
    bench.run(put("a", "1", { lease: 5 }));
    const ended = bench.run(revoke(5), "revoke");
    assert.deepEqual(ended, { type: "lease-revoke", revision: 3, deleted: 1 });
    bench.run(grant(5));
    assert.deepEqual(bench.run(revoke(5), "revoke"), ended);
    assert.equal(bench.machine.leases.count, 1);
    assert.deepEqual(bench.run(grant(5), "grant"), first);
  });
});

describe("the hash of the state", () => {
  test("differs by leases, their times and their ids", () => {
    const hash = (...bodies: Parameters<Bench["run"]>[0][]) => {
      const bench = new Bench();
      for (const body of bodies) bench.run(body);
      return bench.machine.hash();
    };
    const hashes = [
      hash(),
      hash(grant(5)),
      hash(grant(5, 61)),
      hash(grant(6)),
      hash(grant(-5)),
      hash(grant(2 ** 32 - 5)),
      hash(grant(2n ** 62n)),
      hash(grant(5), checkpoint(1, [5, 59])),
      hash(grant(5), revoke(5)),
      hash(grant(5), revoke(5), grant(5)),
    ];
    assert.equal(new Set(hashes).size, hashes.length);
  });
});

describe("changes of leases", () => {
  test("are told once, and only while they are recorded", () => {
    const bench = new Bench();
    bench.run(grant(1));
    assert.deepEqual(bench.machine.leases.takeChanges(), []);
    bench.machine.leases.record(true);
    bench.run(grant(2));
    bench.run(revoke(1));
    assert.deepEqual(bench.machine.leases.takeChanges(), [
      { id: 2, granted: true },
      { id: 1, granted: false },
    ]);
    assert.deepEqual(bench.machine.leases.takeChanges(), []);
    bench.machine.leases.record(false);
    bench.run(revoke(2));
    assert.deepEqual(bench.machine.leases.takeChanges(), []);
  });
});

describe("damage", () => {
  const broken = (sql: string): void => {
    const db = openSqlite(":memory:");
    const bench = new Bench(undefined, db);
    bench.run(grant(5));
    bench.run(put("a", "1", { lease: 5 }));
    bench.machine.verify();
    db.exec(sql);
    assert.throws(
      () => bench.machine.verify(),
      (error) => error instanceof CoracleError && error.code === "storage_damaged",
      sql,
    );
  };

  test("of leases and of the list of their keys is found", () => {
    broken("UPDATE lease SET remaining_seconds = 1");
    broken("UPDATE lease SET id = 6");
    broken("UPDATE lease SET id = x'00'");
    broken("DELETE FROM lease");
    broken("DELETE FROM lease_key");
    broken("INSERT INTO lease_key VALUES (5, x'62')");
  });

  test("in the list of keys is found when the lease ends, and undone", () => {
    const db = openSqlite(":memory:");
    const bench = new Bench(undefined, db);
    bench.run(grant(5));
    bench.run(put("b", "1", { lease: 5 }));
    db.exec("INSERT INTO lease_key VALUES (5, x'63')");
    assert.throws(() => bench.run(revoke(5)), /storage|state\.db/);
    assert.equal(bench.machine.range(range("b")).count, 1);
    const again = StateMachine.open(db);
    assert.equal(again.leases.count, 1);
    assert.deepEqual([...again.leases.keys(5)][0], utf8("b"));
  });
});
