import type { SqliteDatabase } from "../base/sqlite.ts";
import { openBunSqlite } from "./sqlite-bun.ts";
import { openDenoSqlite } from "./sqlite-deno.ts";
import { onBun } from "./which.ts";

export interface SqliteOptions {
  readonly readOnly: boolean;
}

/**
 * Opens (and unless `readOnly` creates) a SQLite database; `:memory:` for one in memory.
 * Sets no pragma: its owner does.
 *
 * @throws an Error with SQLite's text when the file cannot be opened.
 */
export function openSqlite(path: string, options: SqliteOptions = { readOnly: false }): SqliteDatabase {
  return onBun ? openBunSqlite(path, options) : openDenoSqlite(path, options);
}
