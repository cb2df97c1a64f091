import type { Statement } from "bun:sqlite";
import type { SqliteDatabase, SqliteStatement, SqlValue } from "../base/sqlite.ts";

type BunStatement = Statement<SqlValue[], SqlValue[]>;

function wrap(statement: BunStatement): SqliteStatement {
  // `iterate` knows rows as objects only, in which columns of one name are one.
  const names = statement.columnNames;
  const distinct = new Set(names).size === names.length;
  return {
    run: (...values) => statement.run(...values).changes,
    get: (...values) => statement.values(...values)[0] as SqlValue[] | undefined,
    all: (...values) => statement.values(...values) as SqlValue[][],
    *iterate(...values) {
      if (!distinct) {
        yield* statement.values(...values) as SqlValue[][];
        return;
      }
      for (const row of statement.iterate(...values)) yield Object.values(row as object);
    },
  };
}

/**
 * The statements of a connection. SQLite keeps a connection (its files and locks) open behind the
 * scenes until the last statement is finalized, so closing must not wait for the garbage collector.
 */
class Statements {
  #known: WeakRef<BunStatement>[] = [];
  #sweepAt = 64;

  add(statement: BunStatement): void {
    if (this.#known.length >= this.#sweepAt) {
      this.#known = this.#known.filter((reference) => reference.deref() !== undefined);
      this.#sweepAt = Math.max(64, this.#known.length * 2);
    }
    this.#known.push(new WeakRef(statement));
  }

  finalize(): void {
    for (const reference of this.#known) reference.deref()?.finalize();
    this.#known = [];
  }
}

/** Opens a database with `bun:sqlite`. */
export function openBunSqlite(path: string, options: { readonly readOnly: boolean }): SqliteDatabase {
  // Asked for when needed: an import would fail on Deno, and a top-level await of one hangs a
  // worker in an executable compiled with bytecode (Bun 1.4).
  const { Database } = process.getBuiltinModule("bun:sqlite") as typeof import("bun:sqlite");
  const database = new Database(
    path,
    options.readOnly ? { readonly: true } : { create: true, readwrite: true },
  );
  const statements = new Statements();
  return {
    prepare: (sql) => {
      const statement = database.prepare<SqlValue[], SqlValue[]>(sql);
      statements.add(statement);
      return wrap(statement);
    },
    exec: (sql) => {
      database.exec(sql);
    },
    get inTransaction() {
      return database.inTransaction;
    },
    close: () => {
      statements.finalize();
      database.close();
    },
  };
}
