import type { SqliteDatabase } from "../base/sqlite.ts";
import { onBun } from "./which.ts";

export interface SqliteOptions {
  readonly readOnly: boolean;
}

const open: (path: string, options: SqliteOptions) => SqliteDatabase = onBun
  ? (await import("./sqlite-bun.ts")).openBunSqlite
  : (await import("./sqlite-deno.ts")).openDenoSqlite;

/**
 * Opens (and unless `readOnly` creates) a SQLite database; `:memory:` for one in memory.
 * Sets no pragma: its owner does.
 *
 * @throws an Error with SQLite's text when the file cannot be opened.
 */
export function openSqlite(path: string, options: SqliteOptions = { readOnly: false }): SqliteDatabase {
  return open(path, options);
}
