import { Database, type Statement } from "bun:sqlite";
import type { SqliteDatabase, SqliteStatement, SqlValue } from "../base/sqlite.ts";

function wrap(statement: Statement<SqlValue[], SqlValue[]>): SqliteStatement {
  return {
    run: (...values) => statement.run(...values).changes,
    get: (...values) => statement.values(...values)[0] as SqlValue[] | undefined,
    all: (...values) => statement.values(...values) as SqlValue[][],
    *iterate(...values) {
      for (const row of statement.iterate(...values)) yield Object.values(row as object);
    },
  };
}

/** Opens a database with `bun:sqlite`. */
export function openBunSqlite(path: string, options: { readonly readOnly: boolean }): SqliteDatabase {
  const database = new Database(path, options.readOnly ? { readonly: true } : { create: true, readwrite: true });
  return {
    prepare: (sql) => wrap(database.prepare<SqlValue[], SqlValue[]>(sql)),
    exec: (sql) => {
      database.exec(sql);
    },
    close: () => database.close(),
  };
}
