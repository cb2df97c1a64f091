import { Database } from "bun:sqlite";

/** The log of one member of the prototype: one transaction and one fsync for each batch that comes in. */

declare const self: Worker;

export interface LogBatch {
  readonly index: number;
  readonly bytes: Uint8Array;
}

let database: Database | undefined;

self.onmessage = ({ data }: MessageEvent<string | LogBatch>) => {
  if (typeof data === "string") {
    database = new Database(data, { create: true });
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = FULL");
    database.run("CREATE TABLE log (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)");
    return;
  }
  // Alone, an INSERT is a transaction; its commit is the fsync.
  database?.query("INSERT INTO log VALUES (?, ?)").run(data.index, data.bytes);
  self.postMessage(data.index);
};
