import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import type { SqliteDatabase } from "../base/sqlite.ts";
import { StateMachine } from "../kv/state-machine.ts";
import { type Entry, entryKind } from "../raft/types.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { encodeBatch } from "../wire/commands.ts";
import { encodeMembershipCommand } from "../wire/membership.ts";
import { Applier } from "./applier.ts";
import { FakeClock } from "./fake-clock.test-support.ts";

const member = (id: number, learner: boolean) => ({
  id,
  name: `n${id}`,
  peerAddress: `host${id}:1`,
  clientUrls: [],
  grpcUrls: [],
  learner,
});

/** A database whose commits fail, with a full disk, while `full` is set. */
function fallible(): { readonly database: SqliteDatabase; full: boolean } {
  const inner = openSqlite(":memory:");
  const world = {
    full: false,
    database: {
      prepare: (sql: string) => {
        const statement = inner.prepare(sql);
        if (sql !== "COMMIT") return statement;
        return {
          ...statement,
          run: () => {
            if (world.full)
              throw Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL" });
            return statement.run();
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

function setUp() {
  const clock = new FakeClock();
  const disk = fallible();
  const membership = { clusterId: 1, members: [member(1, false)], removed: [] };
  const state = StateMachine.create(disk.database, { membership, index: 1, term: 1 });
  const told: number[] = [];
  const fatal: unknown[] = [];
  const applier = new Applier(state, clock, {
    proposedBatch: () => undefined,
    applied: (entries) => {
      for (const { index } of entries) told.push(index);
    },
    undone: () => {},
    observeApplyMs: () => {},
    fatal: (error) => fatal.push(error),
  });
  return { clock, disk, state, told, fatal, applier };
}

function put(index: number): Entry {
  const body = { type: "put", key: utf8(`k${index}`), value: utf8("v"), lease: 0, previous: false } as const;
  return {
    index,
    term: 1,
    kind: entryKind.normal,
    data: encodeBatch({ timeMs: index, commands: [{ body }] }),
  };
}

function addLearner(index: number, id: number): Entry {
  const data = encodeMembershipCommand({ change: { op: "add-learner", member: member(id, true) } });
  return { index, term: 1, kind: entryKind.confChange, data };
}

describe("the applier", () => {
  test("commits after a while, and at once with a change of membership", () => {
    const { applier, clock, state, told } = setUp();
    applier.push([put(2)]);
    assert.deepEqual(told, [2]);
    assert.equal(state.uncommitted, true);
    clock.advance(100);
    assert.equal(state.uncommitted, false);
    applier.push([put(3), addLearner(4, 2), put(5)]);
    assert.deepEqual(told, [2, 3, 4, 5]);
    assert.equal(state.membership().members.length, 2);
  });

  test("applies again what a full disk undid, and tells it once", () => {
    const { applier, clock, disk, state, told, fatal } = setUp();
    applier.push([put(2)]);
    applier.push([put(3)]);
    disk.full = true;
    clock.advance(100);
    assert.equal(state.appliedIndex, 1);
    assert.ok(applier.trouble !== undefined);
    applier.push([put(4)]);
    assert.deepEqual(told, [2, 3]);
    disk.full = false;
    clock.advance(1000);
    assert.equal(state.appliedIndex, 4);
    assert.equal(state.uncommitted, false);
    assert.deepEqual(told, [2, 3, 4]);
    assert.equal(applier.trouble, undefined);
    assert.deepEqual(fatal, []);
  });

  test("goes on after a full disk met a change of membership", () => {
    const { applier, clock, disk, state, told, fatal } = setUp();
    applier.push([put(2)]);
    disk.full = true;
    applier.push([addLearner(3, 2), put(4)]);
    assert.deepEqual(told, [2]);
    assert.equal(state.appliedIndex, 1);
    disk.full = false;
    clock.advance(1000);
    assert.deepEqual(told, [2, 3, 4]);
    assert.equal(applier.trouble, undefined);
    disk.full = true;
    applier.push([put(5)]);
    clock.advance(100);
    assert.equal(state.appliedIndex, 4, "what was committed stays");
    disk.full = false;
    clock.advance(1000);
    assert.equal(state.appliedIndex, 5);
    assert.deepEqual(told, [2, 3, 4, 5]);
    assert.deepEqual(fatal, []);
  });

  test("applies again what a failed read took with it, and tells it once", () => {
    const { applier, clock, disk, state, told, fatal } = setUp();
    applier.push([put(2)]);
    disk.database.exec("ROLLBACK");
    applier.push([put(3)]);
    assert.deepEqual(told, [2]);
    clock.advance(30);
    assert.deepEqual(told, [2, 3]);
    disk.database.exec("ROLLBACK");
    // Nothing more comes: the commit finds it.
    clock.advance(70);
    assert.equal(state.appliedIndex, 1);
    clock.advance(200);
    assert.equal(state.appliedIndex, 3);
    assert.equal(state.uncommitted, false);
    assert.deepEqual(told, [2, 3]);
    assert.equal(state.keyCount, 2);
    state.verify();
    assert.equal(applier.trouble, undefined);
    assert.deepEqual(fatal, []);
  });

  test("holds entries back while paused, and commits before", () => {
    const { applier, state, told } = setUp();
    applier.push([put(2)]);
    assert.equal(applier.commit(), true);
    applier.pause();
    applier.push([put(3)]);
    assert.equal(state.uncommitted, false);
    applier.resume();
    assert.deepEqual(told, [2, 3]);
  });

  test("has the state maintained in the transaction of the entries", () => {
    const { applier, clock, disk, state, told, fatal } = setUp();
    const compact = (entry: Entry, revision: number): Entry => ({
      ...entry,
      data: encodeBatch({ timeMs: 1, commands: [{ body: { type: "compact", revision } }] }),
    });
    const slice = () => applier.maintain((now) => now.compactSlice(1, { hold: true }));
    applier.push([put(2), put(3), put(4), compact(put(5), 4)]);
    assert.equal(slice(), true);
    assert.equal(state.uncommitted, true);
    disk.full = true;
    clock.advance(100);
    assert.equal(state.appliedIndex, 1, "both are undone");
    assert.equal(slice(), false);
    disk.full = false;
    clock.advance(1000);
    assert.deepEqual(told, [2, 3, 4, 5]);
    assert.equal(state.compactionPending, true);
    // Alone: what is undone then keeps nobody from writing.
    assert.equal(slice(), true);
    disk.full = true;
    clock.advance(100);
    assert.equal(applier.trouble, undefined);
    assert.equal(state.compactionPending, true);
    disk.full = false;
    while (state.compactionPending) assert.equal(slice(), true);
    applier.pause();
    assert.equal(slice(), false);
    applier.resume();
    clock.advance(100);
    assert.equal(state.uncommitted, false);
    assert.deepEqual(fatal, []);
  });

  test("ends the member at any other error", () => {
    const { applier, fatal } = setUp();
    applier.push([{ ...put(2), data: utf8("no batch") }]);
    assert.equal(fatal.length, 1);
  });
});
