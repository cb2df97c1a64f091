import { readFileSync, writeFileSync } from "node:fs";
import { crc32 } from "../base/crc32.ts";
import { CoracleError } from "../base/errors.ts";
import { intactFrames, walSalts } from "./wal-check.ts";

/*
 * state.mark says how much of state.db's write-ahead log was fsynced before a checkpoint began to
 * move it into state.db. If less of it can be read at start, SQLite would combine old pages of the
 * write-ahead log with newer ones of the database. Without fsync itself: after a power loss it may
 * be older, and then tells less, but nothing wrong.
 */

const name = "coracle state mark";

function markText(salts: string, frames: number): string {
  const text = `${name} ${salts} ${frames}`;
  return `${text} ${crc32(text).toString(16).padStart(8, "0")}\n`;
}

/** A write-ahead log and a number of its frames, to be marked once they are fsynced. */
export interface WalPosition {
  readonly salts: string;
  readonly frames: number;
}

/** @param frames counts the frames of the write-ahead log as SQLite knows it now. */
export function walPosition(walPath: string, frames: () => number): WalPosition | undefined {
  for (;;) {
    const salts = walSalts(walPath);
    const counted = frames();
    // Between the two the file may have begun anew.
    if (walSalts(walPath) === salts) return salts === undefined ? undefined : { salts, frames: counted };
  }
}

export function writeStateMark(path: string, position: WalPosition): void {
  writeFileSync(path, markText(position.salts, position.frames), { mode: 0o600 });
}

/**
 * Checks state.db's write-ahead log before SQLite reads it.
 *
 * @throws CoracleError `storage_damaged` when frames are lost that were fsynced.
 */
export function checkStateMark(path: string, walPath: string): void {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return;
  }
  const [salts = "", frames = ""] = text.slice(name.length + 1).split(" ");
  // It protects, but nothing depends on it: a damaged one is as good as none.
  if (markText(salts, Number(frames)) !== text) return;
  const found = intactFrames(walPath, salts);
  if (found === undefined || found >= Number(frames)) return;
  throw new CoracleError(
    "storage_damaged",
    `${walPath} is damaged: only ${found} of ${frames} frames that were stored can be read. Nothing was changed. Restore the data folder from a snapshot, or wipe it and start this member again with --join.`,
    { file: walPath },
  );
}
