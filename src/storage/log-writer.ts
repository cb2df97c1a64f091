import { assert, present } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import { isDiskFull, type SqliteDatabase } from "../base/sqlite.ts";
import { postToOwner, serveWorker } from "../runtime/serve-worker.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { type LogMark, openLogMark } from "./log-mark.ts";
import type { WriterReply, WriterRequest } from "./log-protocol.ts";
import { LogTables } from "./log-tables.ts";

/*
 * Entry point of the log-writer worker: the only writer of raft.db. One request is one transaction
 * and one fsync. After an error nothing more is written, with one exception: on a full disk the same
 * work is tried again until there is room, and what comes after it waits. Nothing is answered before
 * it is durable. An error of an fsync is never tried again: the kernel may have dropped what it could
 * not write, and the next fsync would succeed without it.
 */
/** How long the worker waits for work before it deletes cut entries for their own sake. */
const tidyDelayMs = 5;
const pageBytes = 4096;
/** How often work that needs room on the disk is tried again. */
const fullRetryMs = 200;

interface Open {
  readonly database: SqliteDatabase;
  readonly tables: LogTables;
  readonly mark: LogMark;
  readonly walBytesMax: number;
  /** About what was written to the write-ahead log since it began anew. */
  walBytes: number;
  tidying: boolean;
}

let open: Open | undefined;
let failed = false;

function reply(message: WriterReply): void {
  postToOwner(message);
}

function openDatabase(request: Extract<WriterRequest, { type: "open" }>): Open {
  const database = openSqlite(request.path);
  try {
    return prepare(database, request);
  } catch (error) {
    database.close();
    throw error;
  }
}

function prepare(database: SqliteDatabase, request: Extract<WriterRequest, { type: "open" }>): Open {
  database.exec("PRAGMA busy_timeout = 2000; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
  // A page that left the cache early would be twice in one transaction: see wal-check.ts.
  database.exec("PRAGMA cache_spill = OFF; PRAGMA cache_size = -1024");
  const tables = new LogTables(database, request.bytes);
  // What a crash left at the end of the write-ahead log must not be taken for damage after the next
  // crash: begin a new one, with other salts.
  const [busy] = present(
    database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get(),
    "the result of a checkpoint",
  );
  assert(busy === 0, "the write-ahead log of raft.db could not be emptied at start");
  const { walBytesMax, markPath } = request;
  return { database, tables, mark: openLogMark(markPath), walBytesMax, walBytes: 0, tidying: false };
}

function write(log: Open, request: Extract<WriterRequest, { type: "write" }>): void {
  log.tables.write(request);
  mark(log);
  reply({ type: "stored", syncMs: log.tables.commitMs, bytes: log.tables.bytes });
  // Each entry touches its own overflow pages, each transaction a leaf, the header and some more.
  log.walBytes += request.data.length + (request.operations.length / 4 + 3) * pageBytes;
  finish(log);
}

/** The mark may lag behind raft.db, so a disk that has no room even for that may go without it for now. */
function mark(log: Open): void {
  try {
    log.mark.set(log.tables.sequence);
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ENOSPC") throw error;
  }
}

/** What need not be done before the answer. */
function finish(log: Open): void {
  if (log.walBytes > log.walBytesMax) checkpoint(log);
  if (!log.tables.hasLeftovers || log.tidying) return;
  log.tidying = true;
  setTimeout(() => {
    log.tidying = false;
    if (open === log) perform(() => tidy(log));
  }, tidyDelayMs);
}

function tidy(log: Open): void {
  if (!log.tables.hasLeftovers) return;
  log.tables.tidy();
  mark(log);
  log.walBytes += 8 * pageBytes;
  finish(log);
}

/**
 * Moves the write-ahead log into the database. As the only other connection reads for moments, the
 * next transaction nearly always begins the file anew; its blocks are kept and written over, which
 * halves the cost of an fsync beside a file that grows.
 */
function checkpoint(log: Open): void {
  let row: ReturnType<ReturnType<SqliteDatabase["prepare"]>["get"]>;
  try {
    row = log.database.prepare("PRAGMA wal_checkpoint(PASSIVE)").get();
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    // raft.db could not grow; the write-ahead log still holds everything. Later again.
    log.walBytes = Math.floor(log.walBytesMax / 2);
    return;
  }
  const [, frames, moved] = present(row, "the result of a checkpoint").map(Number) as [
    number,
    number,
    number,
  ];
  log.walBytes = moved === frames ? 0 : frames * pageBytes;
}

function close(log: Open | undefined): void {
  open = undefined;
  if (log !== undefined) {
    if (!failed) log.database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    log.database.close();
    log.mark.close();
  }
  reply({ type: "closed" });
}

function fail(error: unknown): void {
  failed = true;
  waiting.length = 0;
  reply({ type: "failed", message: messageOf(error) });
}

/** Work in order. The first waits for room on the disk if there is more than nothing. */
const waiting: (() => void)[] = [];
let full = false;

function perform(action: () => void): void {
  if (failed) return;
  waiting.push(action);
  if (waiting.length === 1) advance();
}

function advance(): void {
  for (let action = waiting[0]; action !== undefined && !failed; action = waiting[0]) {
    try {
      action();
    } catch (error) {
      if (!isDiskFull(error)) {
        fail(error);
        return;
      }
      if (!full) reply({ type: "full", message: messageOf(error) });
      full = true;
      setTimeout(advance, fullRetryMs);
      return;
    }
    full = false;
    waiting.shift();
  }
}

serveWorker((message) => {
  const request = message as WriterRequest;
  if (request.type === "close") {
    const log = open;
    open = undefined;
    try {
      close(log);
    } catch (error) {
      reply({ type: "failed", message: messageOf(error) });
    }
    return;
  }
  perform(() => {
    if (request.type === "open") open = openDatabase(request);
    else write(present(open, "the open log"), request);
  });
});
