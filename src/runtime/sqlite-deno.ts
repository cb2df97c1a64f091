import type { StatementSync } from "node:sqlite";
import type { SqliteDatabase, SqliteStatement, SqlValue } from "../base/sqlite.ts";

/** `node:sqlite` binds every number as REAL; a bigint is an INTEGER, as integers are on Bun. */
function bindable(value: SqlValue): SqlValue | bigint {
  return Number.isInteger(value) ? BigInt(value as number) : value;
}

function wrap(statement: StatementSync): SqliteStatement {
  statement.setReturnArrays(true);
  // The declared types know rows as objects only.
  const row = (found: unknown): SqlValue[] => found as SqlValue[];
  return {
    run: (...values) => Number(statement.run(...values.map(bindable)).changes),
    get: (...values) => {
      const found: unknown = statement.get(...values.map(bindable));
      return found === undefined ? undefined : row(found);
    },
    all: (...values) => statement.all(...values.map(bindable)).map(row),
    *iterate(...values) {
      for (const found of statement.iterate(...values.map(bindable))) yield row(found);
    },
  };
}

/** Opens a database with `node:sqlite`. */
export function openDenoSqlite(path: string, options: { readonly readOnly: boolean }): SqliteDatabase {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  const database = new DatabaseSync(path, { readOnly: options.readOnly });
  return {
    prepare: (sql) => wrap(database.prepare(sql)),
    exec: (sql) => database.exec(sql),
    get inTransaction() {
      return database.isTransaction;
    },
    close: () => database.close(),
  };
}
