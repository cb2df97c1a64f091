import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { SqliteDatabase } from "../base/sqlite.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { Bench, put, range } from "./builders.test-support.ts";
import { type AppliedEntry, StateMachine, TransactionLost } from "./state-machine.ts";

const ioError = "disk I/O error";

/** A database of which reads fail while `failing` is set, each of them ending the transaction. */
function fallible(): { readonly database: SqliteDatabase; failing: boolean } {
  const inner = openSqlite(":memory:");
  const world = {
    failing: false,
    database: {
      prepare: (sql: string) => {
        const statement = inner.prepare(sql);
        if (!/^\s*SELECT/.test(sql)) return statement;
        const check = (): void => {
          if (!world.failing) return;
          if (inner.inTransaction) inner.exec("ROLLBACK");
          throw new Error(ioError);
        };
        return {
          ...statement,
          get: (...values: Parameters<typeof statement.get>) => {
            check();
            return statement.get(...values);
          },
          all: (...values: Parameters<typeof statement.all>) => {
            check();
            return statement.all(...values);
          },
        };
      },
      exec: (sql: string) => inner.exec(sql),
      get inTransaction() {
        return inner.inTransaction;
      },
      close: () => inner.close(),
    },
  };
  return world;
}

function entries(bench: Bench, ...keys: readonly string[]): AppliedEntry[] {
  return keys.map((key, at) => {
    const batch = { timeMs: bench.timeMs, commands: [{ body: put(key, "v") }] };
    return bench.entry({ type: "batch", batch }, at);
  });
}

describe("a transaction that SQLite ends by itself", () => {
  for (const [how, lose] of [
    [
      "in a read",
      ({ machine }: Bench) => assert.throws(() => machine.range(range("", null)), { message: ioError }),
    ],
    [
      "in a read of leases, which tells nobody",
      ({ machine }: Bench) => assert.throws(() => machine.leases.get(1), { message: ioError }),
    ],
    ["outside of the machine", ({ db }: Bench) => db.exec("ROLLBACK")],
  ] as const) {
    test(`${how} is undone in memory too, and told before anything more is written`, () => {
      const world = fallible();
      const bench = new Bench(undefined, world.database);
      const { machine } = bench;
      bench.run(put("before", "v"));
      const open = entries(bench, "a", "b");
      machine.apply(open, { hold: true });
      const next = entries(bench, "c");
      world.failing = true;
      lose(bench);
      world.failing = false;
      assert.equal(machine.uncommitted, true, "whoever applied it has to hear of it");
      assert.throws(() => machine.apply(next, { hold: true }), TransactionLost);
      assert.equal(machine.uncommitted, false);
      assert.equal(machine.appliedIndex, 1);
      assert.equal(machine.range(range("", null)).count, 1);
      machine.apply([...open, ...next], { hold: true });
      machine.commit();
      const healthy = new Bench();
      for (const key of ["before", "a", "b", "c"]) healthy.run(put(key, "v"));
      bench.reopen();
      assert.deepEqual(bench.contents(), healthy.contents());
      bench.machine.verify();
    });
  }

  test("makes the commit fail, and no number of it is saved", () => {
    const bench = new Bench();
    bench.machine.apply(entries(bench, "a"), { hold: true });
    bench.db.exec("ROLLBACK");
    assert.throws(() => bench.machine.commit(), TransactionLost);
    assert.equal(StateMachine.open(bench.db).appliedIndex, 0);
    bench.machine.apply(entries(bench, "a"));
    bench.reopen();
    assert.equal(bench.machine.appliedIndex, 1);
    bench.machine.verify();
  });

  test("is told to the first reader that would see an older state", () => {
    const bench = new Bench();
    bench.machine.apply(entries(bench, "a"), { hold: true });
    bench.db.exec("ROLLBACK");
    assert.throws(() => bench.machine.range(range("a")), TransactionLost);
    assert.equal(bench.machine.appliedIndex, 0);
    assert.equal(bench.machine.range(range("a")).count, 0);
    assert.throws(() => bench.machine.commit(), TransactionLost);
    bench.machine.commit();
  });

  test("follows when a read has to write what waits, and the disk is full", () => {
    const inner = openSqlite(":memory:");
    let full = false;
    const prepare = (sql: string): ReturnType<typeof inner.prepare> => {
      const statement = inner.prepare(sql);
      if (!/^\s*UPDATE key/.test(sql)) return statement;
      return {
        ...statement,
        run: (...values) => {
          if (full) throw Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL" });
          return statement.run(...values);
        },
      };
    };
    const bench = new Bench(undefined, {
      prepare,
      exec: (sql) => inner.exec(sql),
      get inTransaction() {
        return inner.inTransaction;
      },
      close: () => inner.close(),
    });
    const { machine } = bench;
    bench.run(put("a", "v"));
    const open = entries(bench, "a");
    machine.apply(open, { hold: true });
    full = true;
    assert.throws(() => machine.range(range("", null)), TransactionLost);
    assert.equal(machine.appliedIndex, 1);
    assert.equal(machine.range(range("", null)).keys[0]?.version, 1);
    assert.throws(() => machine.commit(), TransactionLost);
    full = false;
    machine.apply(open);
    assert.equal(machine.range(range("", null)).keys[0]?.version, 2);
    machine.verify();
  });

  test("while entries are applied undoes all of them", () => {
    const world = fallible();
    const bench = new Bench(undefined, world.database);
    bench.machine.apply(entries(bench, "a"), { hold: true });
    world.failing = true;
    assert.throws(() => bench.machine.apply(entries(bench, "b"), { hold: true }));
    world.failing = false;
    assert.equal(bench.machine.appliedIndex, 0);
    assert.equal(bench.machine.uncommitted, false);
  });
});
