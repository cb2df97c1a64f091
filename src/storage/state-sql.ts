import { CoracleError } from "../base/errors.ts";
import type { SqliteDatabase } from "../base/sqlite.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { openSqlite } from "../runtime/sqlite.ts";

/*
 * The little that storage knows of the tables in state.db, which belong to src/kv/schema.ts.
 */
const appliedSql = "SELECT applied_index, applied_term FROM meta";
const membersSql = "SELECT id, learner FROM member ORDER BY id";

/** Waiting for a lock stops the thread; whoever finds the database locked tries again by itself. */
const common = "PRAGMA busy_timeout = 100; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0";

/** Of state.db. */
export const pageBytes = 4096;

/** Prepares state.db for the connection that writes it. */
export function prepareState(database: SqliteDatabase, cacheBytes: number): void {
  // Without fsync: an empty file need not survive a power loss.
  database.exec("PRAGMA synchronous = OFF");
  if (database.prepare("PRAGMA page_count").get()?.[0] === 0) {
    // auto_vacuum takes effect in a new file only, before WAL mode creates its first page. To set it
    // again would write to a file that is perhaps damaged, and must stay as it is then.
    database.exec(`PRAGMA page_size = ${pageBytes}; PRAGMA auto_vacuum = INCREMENTAL`);
  }
  database.exec("PRAGMA journal_mode = WAL");
  database.exec(`${common}; PRAGMA cache_size = ${-Math.ceil(cacheBytes / 1024)}`);
}

/** Prepares the state worker's connection. No pragma here may write: its owner holds no lock for it. */
export function prepareStateReader(database: SqliteDatabase, cacheBytes: number): void {
  database.exec(`${common}; PRAGMA cache_size = ${-Math.ceil(cacheBytes / 1024)}`);
}

/**
 * Closes a connection. The last one to close would make a checkpoint of its own, on its thread and
 * without `state.sums`; one that may only read makes none, so it is the one that closes last.
 */
export function closeState(path: string, database: SqliteDatabase): void {
  let last: SqliteDatabase | undefined;
  try {
    last = openSqlite(path, { readOnly: true });
    last.prepare("SELECT count(*) FROM sqlite_schema").get();
  } catch {
    // Nothing to be read any more: there is nothing to keep, either.
  }
  database.close();
  last?.close();
}

/** Index and term of the last entry that is applied in this state; 0 in an empty file. */
export function readApplied(database: SqliteDatabase): { readonly index: number; readonly term: number } {
  const [table] = database.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").get() ?? [];
  if (table === 0) return { index: 0, term: 0 };
  const [index, term] = database.prepare(appliedSql).get() ?? [];
  if (typeof index !== "number" || typeof term !== "number") {
    throw new CoracleError("storage_damaged", "state.db does not say which entry it has applied last.");
  }
  return { index, term };
}

/** What a copy of state.db stands for. */
export function readSnapshotMeta(database: SqliteDatabase): SnapshotMeta {
  const voters: number[] = [];
  const learners: number[] = [];
  for (const [id, learner] of database.prepare(membersSql).all()) {
    (learner === 0 ? voters : learners).push(Number(id));
  }
  return { ...readApplied(database), conf: { voters, learners } };
}
