import { CoracleError } from "../base/errors.ts";
import { isDiskFull } from "../base/sqlite.ts";

/** The error for a file that cannot be opened because the disk is full; what it holds is not in question. */
export function noRoom(path: string): CoracleError {
  return new CoracleError(
    "storage_failed",
    `There is no room on the disk to open ${path}; make room, and the start goes on by itself.`,
    { file: path, full: true },
  );
}

/** Whether something failed for want of room on the disk, in SQLite's words or in `noRoom`'s. */
export function isNoRoom(error: unknown): boolean {
  return isDiskFull(error) || (error instanceof CoracleError && error.details.full === true);
}
