import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { crc32 } from "../base/crc32.ts";
import { syncFile } from "./files.ts";

/*
 * raft.mark holds the number of the last transaction of raft.db that was acknowledged. It is
 * overwritten in place after each one, without fsync: after a crash of the process it is exact,
 * after a power loss it may be older than raft.db, never newer. A raft.db that ends before the mark
 * has lost acknowledged writes, which SQLite by itself would not notice: it silently ignores the
 * rest of a write-ahead log after a damaged frame, and a write-ahead log that is missing.
 */

const name = "coracle raft mark";

function markText(sequence: number): string {
  const text = `${name} ${String(sequence).padStart(16, "0")}`;
  return `${text} ${crc32(text).toString(16).padStart(8, "0")}\n`;
}

/** Makes the file and sees it on disk. */
export function createLogMark(path: string, sequence: number): void {
  const mark = openLogMark(path, "w");
  mark.set(sequence);
  mark.close();
  syncFile(path);
}

/** The marked sequence; `undefined` when the file is missing or damaged. */
export function readLogMark(path: string): number | undefined {
  let text: string;
  try {
    text = fromUtf8(readFileSync(path));
  } catch {
    return undefined;
  }
  const sequence = Number(text.slice(name.length + 1, name.length + 17));
  return Number.isSafeInteger(sequence) && markText(sequence) === text ? sequence : undefined;
}

export interface LogMark {
  set(sequence: number): void;
  close(): void;
}

/** Opens the file to move the mark. */
export function openLogMark(path: string, flags: "r+" | "w" = "r+"): LogMark {
  const handle = openSync(path, flags, 0o600);
  return {
    set: (sequence) => {
      const bytes = utf8(markText(sequence));
      writeSync(handle, bytes, 0, bytes.length, 0);
    },
    close: () => closeSync(handle),
  };
}
