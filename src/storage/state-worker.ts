import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readSync, rmSync } from "node:fs";
import { present } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import type { SqliteDatabase } from "../base/sqlite.ts";
import { postToOwner, serveWorker } from "../runtime/serve-worker.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { syncFile } from "./files.ts";
import { PageSums } from "./page-sums.ts";
import { walPosition, writeStateMark } from "./state-mark.ts";
import type {
  CheckpointResult,
  CopyResult,
  StateCall,
  StateReply,
  StateRequest,
  StateResults,
} from "./state-protocol.ts";
import { closeState, prepareStateReader, readApplied, readSnapshotMeta } from "./state-sql.ts";

/*
 * Entry point of the state worker: what takes long on state.db and its copies, away from the main
 * thread. It never changes what the database holds.
 */

const cacheBytes = 1024 * 1024;
const readBytes = 1024 * 1024;

let sums: PageSums | undefined;
let open: { readonly path: string; readonly database: SqliteDatabase } | undefined;

function stateAt(path: string): SqliteDatabase {
  if (open?.path === path) return open.database;
  if (open !== undefined) closeState(open.path, open.database);
  const database = openSqlite(path);
  prepareStateReader(database, cacheBytes);
  open = { path, database };
  return database;
}

/**
 * PASSIVE waits for nobody and holds nobody up. What is applied is read first: the checkpoint covers
 * at least that, and the explicit fsync makes it durable even where a reader stops the checkpoint.
 */
function checkpoint(path: string, markPath: string, sumsPath: string): CheckpointResult {
  const database = stateAt(path);
  const { index } = readApplied(database);
  const wal = `${path}-wal`;
  const look = database.prepare("PRAGMA wal_checkpoint(NOOP)");
  const position = walPosition(wal, () => Number(look.get()?.[1]));
  if (existsSync(wal)) syncFile(wal);
  if (position !== undefined) writeStateMark(markPath, position);
  const passive = database.prepare("PRAGMA wal_checkpoint(PASSIVE)");
  let result: CheckpointResult | undefined;
  sums ??= new PageSums(path, sumsPath);
  sums.checkpoint(() => {
    const row = present(passive.get(), "the result of a checkpoint");
    result = { applied: index, frames: Number(row[1]), moved: Number(row[2]) };
    return result.moved;
  });
  return present(result, "the result of a checkpoint");
}

function copy(path: string, target: string): CopyResult {
  rmSync(target, { force: true });
  stateAt(path).prepare("VACUUM INTO ?").run(target);
  return inspect(target);
}

/** Reads a finished copy through. */
function inspect(path: string): CopyResult {
  const hash = createHash("sha256");
  const chunk = new Uint8Array(readBytes);
  const file = openSync(path, "r");
  let bytes = 0;
  try {
    for (;;) {
      const length = readSync(file, chunk, 0, chunk.length, bytes);
      if (length === 0) break;
      hash.update(chunk.subarray(0, length));
      bytes += length;
    }
  } finally {
    closeSync(file);
  }
  const database = openSqlite(path, { readOnly: true });
  try {
    return { meta: readSnapshotMeta(database), bytes, sha256: hash.digest("hex") };
  } finally {
    database.close();
  }
}

function answer(request: StateRequest): StateResults[StateRequest["type"]] {
  switch (request.type) {
    case "checkpoint":
      return checkpoint(request.path, request.markPath, request.sumsPath);
    case "copy":
      return copy(request.path, request.target);
    case "inspect":
      // What was received will be the state. A copy that is sent need not outlive this process: flushing
      // all of it at once would keep the disk from the log for as long.
      syncFile(request.path);
      return inspect(request.path);
    case "sums":
      sums?.write();
      return null;
    case "close":
      sums?.write();
      sums = undefined;
      if (open !== undefined) closeState(open.path, open.database);
      open = undefined;
      return null;
  }
}

function reply(message: StateReply): void {
  postToOwner(message);
}

serveWorker((message) => {
  const { id, request } = message as StateCall;
  try {
    reply({ id, result: answer(request) });
  } catch (error) {
    reply({ id, error: messageOf(error) });
  }
});
