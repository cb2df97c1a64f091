import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { SqliteDatabase, SqlValue } from "../../src/base/sqlite.ts";
import { openSqlite } from "../../src/runtime/sqlite.ts";

mkdirSync(join(tmpdir(), "storage"), { recursive: true });
const dir = mkdtempSync(join(tmpdir(), "storage", "sqlite-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let files = 0;
const file = (): string => join(dir, `${++files}.db`);

function memory(): SqliteDatabase {
  return openSqlite(":memory:");
}

/** Node's buffers and plain arrays of one content are the same to SQLite. */
function plain(row: SqlValue[] | undefined): unknown[] | undefined {
  return row?.map((value) => (value instanceof Uint8Array ? [...value] : value));
}

describe("SQLite driver contract", () => {
  test("values come back as they were bound", () => {
    const db = memory();
    const echo = db.prepare("SELECT ?, typeof(?1)");
    const cases: [SqlValue, string][] = [
      [0, "integer"],
      [-1, "integer"],
      [2 ** 31, "integer"],
      [-(2 ** 31) - 1, "integer"],
      [2 ** 53 - 1, "integer"],
      [-(2 ** 53) + 1, "integer"],
      [1.5, "real"],
      ["", "text"],
      ["é\u{1f6f6}", "text"],
      [null, "null"],
      [new Uint8Array(0), "blob"],
      [new Uint8Array([0, 255, 10]), "blob"],
      [new Uint8Array([1, 2, 3, 4]).subarray(1, 3), "blob"],
    ];
    for (const [value, type] of cases) assert.deepEqual(plain(echo.get(value)), plain([value, type]));
    db.close();
  });

  test("a blob that was bound or returned belongs to its owner", () => {
    const db = memory();
    db.exec("CREATE TABLE t (a BLOB)");
    const bytes = new Uint8Array([1, 2, 3]);
    db.prepare("INSERT INTO t VALUES (?)").run(bytes);
    bytes.fill(9);
    const select = db.prepare("SELECT a FROM t");
    const first = select.all()[0]?.[0] as Uint8Array;
    assert.deepEqual([...first], [1, 2, 3]);
    first.fill(7);
    const second = select.get()?.[0] as Uint8Array;
    assert.deepEqual([...second], [1, 2, 3]);
    db.close();
  });

  test("columns of one name stay apart in get, all and iterate", () => {
    const db = memory();
    const select = db.prepare("SELECT 1 AS a, 2 AS a, 3 AS b UNION ALL SELECT 4, 5, 6");
    assert.deepEqual(select.get(), [1, 2, 3]);
    assert.deepEqual(select.all(), [
      [1, 2, 3],
      [4, 5, 6],
    ]);
    assert.deepEqual(
      [...select.iterate()],
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
    );
    db.close();
  });

  test("no row is undefined for get and nothing for all and iterate", () => {
    const db = memory();
    const select = db.prepare("SELECT 1 WHERE ? > 5");
    assert.equal(select.get(1), undefined);
    assert.deepEqual(select.all(1), []);
    assert.deepEqual([...select.iterate(1)], []);
    assert.deepEqual(select.get(6), [1]);
    db.close();
  });

  test("run gives the rows that it changed", () => {
    const db = memory();
    db.exec("CREATE TABLE t (a INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)");
    assert.equal(db.prepare("UPDATE t SET a = a + 10 WHERE a > ?").run(1), 2);
    assert.equal(db.prepare("DELETE FROM t WHERE a > ?").run(99), 0);
    db.close();
  });

  test("leaving iterate early frees the statement and ends its read", () => {
    const path = file();
    const db = openSqlite(path);
    db.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)");
    const select = db.prepare("SELECT a FROM t ORDER BY a");
    for (const row of select.iterate()) {
      assert.deepEqual(row, [1]);
      break;
    }
    assert.deepEqual([...select.iterate()], [[1], [2], [3]]);
    for (const _ of select.iterate()) break;
    const other = openSqlite(path);
    other.exec("INSERT INTO t VALUES (4)");
    assert.deepEqual(other.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get()?.[0], 0);
    assert.deepEqual(select.all().length, 4);
    other.close();
    db.close();
  });

  test("an error of SQL, of a constraint or of a missing file is thrown, and the statement works on", () => {
    const db = memory();
    assert.throws(() => db.prepare("SELEKT 1"), /syntax error/);
    assert.throws(() => db.exec("DROP TABLE missing"), /no such table/);
    db.exec("CREATE TABLE t (a INTEGER PRIMARY KEY)");
    const insert = db.prepare("INSERT INTO t VALUES (?)");
    insert.run(1);
    assert.throws(() => insert.run(1), /UNIQUE/);
    assert.equal(insert.run(2), 1);
    db.close();
    assert.throws(() => openSqlite(join(dir, "missing.db"), { readOnly: true }));
    assert.ok(!existsSync(join(dir, "missing.db")));
  });

  test("a read-only connection reads a write-ahead log and cannot write", () => {
    const path = file();
    const writer = openSqlite(path);
    writer.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a)");
    const reader = openSqlite(path, { readOnly: true });
    const count = reader.prepare("SELECT count(*) FROM t");
    assert.deepEqual(count.get(), [0]);
    writer.exec("INSERT INTO t VALUES (1)");
    assert.deepEqual(count.get(), [1]);
    assert.throws(() => reader.exec("INSERT INTO t VALUES (2)"), /readonly|read-only/);
    reader.close();
    writer.close();
  });

  test("close gives back files and locks at once, with statements still around", () => {
    const path = file();
    const db = openSqlite(path);
    db.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (a)");
    const statements = Array.from({ length: 200 }, () => db.prepare("SELECT * FROM t"));
    for (const statement of statements) statement.all();
    db.exec("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
    db.close();
    assert.ok(!existsSync(`${path}-wal`));
    const again = openSqlite(path);
    again.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE; COMMIT");
    assert.deepEqual(again.prepare("SELECT count(*) FROM t").get(), [0]);
    again.close();
    assert.equal(statements.length, 200);
  });

  test("tells whether a transaction is open, also when SQLite ended it by itself", () => {
    const db = openSqlite(file());
    db.exec("CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)");
    assert.equal(db.inTransaction, false);
    db.exec("BEGIN");
    assert.equal(db.inTransaction, true);
    const insert = db.prepare("INSERT OR ROLLBACK INTO t VALUES (?)");
    insert.run(2);
    assert.equal(db.inTransaction, true);
    assert.throws(() => insert.run(1));
    assert.equal(db.inTransaction, false);
    db.close();
  });

  test("has what the storage relies on", () => {
    const db = openSqlite(file());
    db.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (a INTEGER) STRICT");
    const row = db.prepare("PRAGMA wal_checkpoint(NOOP)").get();
    assert.ok(Number(row?.[1]) > 0, `${row}`);
    assert.throws(() => db.exec("INSERT INTO t VALUES ('x')"));
    db.close();
  });
});
