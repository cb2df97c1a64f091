import { Database } from "bun:sqlite";
import { join } from "node:path";

/**
 * The log of one member of the prototype: one transaction and one fsync for each batch that comes in.
 * What need not be done before the answer, checkpoints of the log and of the state, comes after it.
 */

declare const self: Worker;

export interface LogBatch {
  readonly index: number;
  readonly bytes: Uint8Array;
}

const batchesACheckpoint = 500;
const stateCheckpointMs = 250;

let log: Database | undefined;
let batches = 0;

function open(folder: string): void {
  log = new Database(join(folder, "log.db"), { create: true });
  log.run("PRAGMA journal_mode = WAL");
  log.run("PRAGMA synchronous = FULL");
  log.run("PRAGMA wal_autocheckpoint = 0");
  log.run("CREATE TABLE log (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)");
  const state = new Database(join(folder, "state.db"));
  setInterval(() => state.run("PRAGMA wal_checkpoint(PASSIVE)"), stateCheckpointMs);
}

self.onmessage = ({ data }: MessageEvent<string | LogBatch>) => {
  if (typeof data === "string") {
    open(data);
    return;
  }
  // Alone, an INSERT is a transaction; its commit is the fsync.
  log?.query("INSERT INTO log VALUES (?, ?)").run(data.index, data.bytes);
  self.postMessage(data.index);
  if (++batches % batchesACheckpoint === 0) log?.run("PRAGMA wal_checkpoint(PASSIVE)");
};
