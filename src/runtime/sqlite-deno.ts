import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { SqliteDatabase, SqliteStatement, SqlValue } from "../base/sqlite.ts";

type Row = Record<string, SqlValue>;

function wrap(statement: StatementSync): SqliteStatement {
  const values = (row: unknown): SqlValue[] => Object.values(row as Row);
  return {
    run: (...parameters) => Number(statement.run(...parameters).changes),
    get: (...parameters) => {
      const row = statement.get(...parameters);
      return row === undefined ? undefined : values(row);
    },
    all: (...parameters) => statement.all(...parameters).map(values),
    *iterate(...parameters) {
      for (const row of statement.iterate(...parameters)) yield values(row);
    },
  };
}

/** Opens a database with `node:sqlite`. */
export function openDenoSqlite(path: string, options: { readonly readOnly: boolean }): SqliteDatabase {
  const database = new DatabaseSync(path, { readOnly: options.readOnly });
  return {
    prepare: (sql) => wrap(database.prepare(sql)),
    exec: (sql) => database.exec(sql),
    close: () => database.close(),
  };
}
