/** A value as SQLite knows it. Integers beyond 2^53 do not occur in coracle's tables. */
export type SqlValue = number | string | Uint8Array | null;

/** A prepared statement. Columns come as an array, in the order of the SELECT list. */
export interface SqliteStatement {
  /** Runs it and gives the number of rows changed. */
  run(...values: SqlValue[]): number;
  /** The first row, or `undefined`. */
  get(...values: SqlValue[]): SqlValue[] | undefined;
  all(...values: SqlValue[]): SqlValue[][];
  /** Rows one by one; leaving the loop early frees the statement. */
  iterate(...values: SqlValue[]): IterableIterator<SqlValue[]>;
}

/** A SQLite connection, the same on Bun (`bun:sqlite`) and Deno (`node:sqlite`). Errors are thrown. */
export interface SqliteDatabase {
  prepare(sql: string): SqliteStatement;
  /** Runs statements that return nothing. */
  exec(sql: string): void;
  /**
   * Whether a transaction is open. SQLite may end one by itself when a statement in it fails, a SELECT
   * too (sqlite.org/lang_transaction.html, 3.2): what follows would be committed statement by statement.
   */
  readonly inTransaction: boolean;
  close(): void;
}

/** Extended result codes of SQLite (sqlite.org/rescode.html), as Bun tells them. Deno tells the text alone. */
const codes = {
  full: 13,
  /** The shared memory of the write-ahead log could not grow: nothing but a full disk does that. */
  shmSize: 4874,
};

/**
 * Whether SQLite could not write because the disk is full. The transaction is rolled back, and may be
 * tried again as it was: the error comes from a write, before the fsync that would have made it last.
 */
export function isDiskFull(error: unknown): boolean {
  const { code, errno, message } = (error ?? {}) as { code?: unknown; errno?: unknown; message?: unknown };
  if (code === "SQLITE_FULL" || errno === codes.full || errno === codes.shmSize) return true;
  return message === "database or disk is full";
}
