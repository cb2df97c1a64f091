import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CoracleError, messageOf } from "../base/errors.ts";
import type { HardState } from "../raft/types.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { fileNames, syncFile, syncFolder } from "./files.ts";
import { createLogMark } from "./log-mark.ts";
import { createLogTables } from "./log-schema.ts";
import type { Identity } from "./types.ts";

/** Where a log begins: after the entry at `index`, which everybody holds as applied. */
export interface LogStart {
  readonly index: number;
  readonly term: number;
  readonly hardState: HardState;
}

/** @throws CoracleError `config_invalid` when the folder cannot be made. */
export function makeFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new CoracleError(
      "config_invalid",
      `The data folder ${dir} cannot be made (${messageOf(error)}); choose another folder with --data-dir.`,
    );
  }
}

/** Writes raft.db and raft.mark of a new member; raft.db gets its name when both are on disk. */
export function writeNewLog(dir: string, identity: Identity, start: LogStart): void {
  const path = join(dir, fileNames.log);
  const unfinished = `${path}.new`;
  for (const suffix of ["", "-wal", "-shm"]) {
    rmSync(`${unfinished}${suffix}`, { force: true });
    rmSync(`${path}${suffix}`, { force: true });
  }
  const database = openSqlite(unfinished);
  try {
    database.exec("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
    const { index, term, hardState } = start;
    createLogTables(database, identity, {
      sequence: 1,
      hardState,
      cutIndex: index,
      cutTerm: term,
      lastIndex: index,
      lastTerm: term,
    });
  } finally {
    database.close();
  }
  syncFile(unfinished);
  createLogMark(join(dir, fileNames.logMark), 1);
  renameSync(unfinished, path);
  syncFolder(dir);
}
