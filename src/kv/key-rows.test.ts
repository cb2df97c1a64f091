import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { keyChecksum, keyRowChecksum } from "./checksum.ts";
import { type KeyRowLimits, KeyRows } from "./key-rows.ts";
import { type KeyRow, keyColumns, parseKeyRow } from "./rows.ts";
import { createSchema } from "./schema.ts";

function row(key: Uint8Array, seq: number, before?: KeyRow): KeyRow {
  const keyCrc = keyChecksum(key);
  const createRevision = before?.createRevision ?? seq;
  const version = (before?.version ?? 0) + 1;
  const checksum = keyRowChecksum(keyCrc, seq, createRevision, seq, version, 0);
  const links = { prev: before?.seq ?? 0, jump: 0, links: version };
  return { key, seq, createRevision, modRevision: seq, version, lease: 0, ...links, keyCrc, checksum };
}

class Table {
  readonly db = openSqlite(":memory:");
  readonly rows: KeyRows;
  #seq = 0;

  constructor(limits: Partial<KeyRowLimits> = {}) {
    createSchema(this.db);
    this.rows = new KeyRows(this.db, { rowsMax: 64, waitingMax: 10, keyBytesMax: 32, ...limits });
    this.db.exec("BEGIN");
  }

  put(key: Uint8Array): KeyRow {
    const before = this.rows.find(key);
    const after = row(before?.key ?? key, ++this.#seq, before);
    if (before === undefined) this.rows.insert(after);
    else this.rows.update(after);
    return after;
  }

  /** The row that stands in the table, whatever waits. */
  stored(key: Uint8Array): KeyRow | undefined {
    const found = this.db.prepare(`SELECT ${keyColumns} FROM key WHERE key = ?`).get(key);
    return found === undefined ? undefined : parseKeyRow(found);
  }
}

describe("rows of keys", () => {
  test("wait to be written when they are put again, and are found meanwhile", () => {
    const table = new Table();
    const key = utf8("a");
    const first = table.put(key);
    assert.deepEqual(table.stored(key), first, "a new one is written at once");
    table.put(key);
    const last = table.put(key);
    assert.deepEqual(table.rows.find(key), last);
    assert.deepEqual(table.stored(key), first);
    table.rows.settle();
    assert.deepEqual(table.stored(key), last);
    const later = table.put(key);
    table.rows.settle();
    assert.deepEqual(table.stored(key), later, "a row that was written waits anew");
  });

  test("are found without a look at the table", () => {
    const table = new Table();
    const found = table.put(utf8("a"));
    assert.deepEqual(table.rows.find(utf8("a")), found);
    table.db.exec("DELETE FROM key");
    assert.deepEqual(table.rows.find(utf8("a")), found);
  });

  test("do not keep the bytes in which a key was read", () => {
    const table = new Table();
    const whole = utf8("xax");
    const key = whole.subarray(1, 2);
    table.put(key);
    table.put(key);
    const kept = table.rows.find(key);
    assert.equal(kept?.key.buffer.byteLength, 1);
    whole.fill(0);
    assert.deepEqual(kept, table.rows.find(utf8("a")));
  });

  test("are gone when they are deleted, waiting or not, and may come again", () => {
    const table = new Table();
    const key = utf8("a");
    for (let round = 0; round < 3; round++) {
      table.put(key);
      for (let puts = 0; puts < round; puts++) table.put(key);
      const before = table.rows.find(key);
      assert.ok(before !== undefined);
      table.rows.delete(before);
      assert.equal(table.rows.find(key), undefined);
      table.rows.settle();
      assert.equal(table.stored(key), undefined);
    }
  });

  test("of one place are told apart and drive each other out", () => {
    const twins = [utf8("a"), utf8("b")] as const;
    const table = new Table({ rowsMax: 1 });
    for (const key of twins) table.put(key);
    const first = table.put(twins[0]);
    const second = table.put(twins[1]);
    assert.deepEqual(table.stored(twins[0]), first, "it was written when it was driven out");
    assert.deepEqual(table.rows.find(twins[0]), first);
    assert.deepEqual(table.stored(twins[1]), second);
    assert.deepEqual(table.rows.find(twins[1]), second);
    table.put(twins[1]);
    table.rows.delete(first);
    table.rows.settle();
    assert.equal(table.rows.find(twins[0]), undefined);
    assert.equal(table.stored(twins[1])?.version, 3);
  });

  test("are written when too many wait", () => {
    const table = new Table({ waitingMax: 2, rowsMax: 1024 });
    const keys = ["a", "b", "c"].map(utf8);
    for (const key of keys) table.put(key);
    for (const key of keys.slice(0, 2)) table.put(key);
    assert.deepEqual(
      keys.map((key) => table.stored(key)?.version),
      [1, 1, 1],
    );
    table.put(utf8("c"));
    assert.deepEqual(
      keys.map((key) => table.stored(key)?.version),
      [2, 2, 2],
    );
  });

  test("of long keys are not kept", () => {
    const table = new Table({ keyBytesMax: 3 });
    const key = utf8("long");
    table.put(key);
    const last = table.put(key);
    assert.deepEqual(table.stored(key), last);
    table.db.exec("DELETE FROM key");
    assert.equal(table.rows.find(key), undefined);
  });

  test("are what the table says after a rollback, and none waits", () => {
    const table = new Table();
    const key = utf8("a");
    const kept = table.put(key);
    table.db.exec("COMMIT; BEGIN");
    table.put(key);
    table.put(key);
    table.db.exec("ROLLBACK; BEGIN");
    table.rows.forget();
    table.rows.settle();
    assert.deepEqual(table.rows.find(key), kept);
    table.rows.settle();
    assert.deepEqual(table.stored(key), kept);
  });

  test("wait on when one of them could not be written", () => {
    const table = new Table();
    for (const key of ["a", "b", "a", "b"]) table.put(utf8(key));
    table.db.exec("SAVEPOINT damage; DELETE FROM key WHERE key = CAST('b' AS BLOB)");
    assert.throws(
      () => table.rows.settle(),
      (error) => error instanceof CoracleError && error.code === "storage_damaged",
    );
    table.db.exec("ROLLBACK TO damage");
    table.rows.settle();
    for (const key of ["a", "b"]) assert.equal(table.stored(utf8(key))?.version, 2);
  });
});
