import { join } from "node:path";
import { CoracleError, messageOf } from "../base/errors.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { fileNames } from "./files.ts";
import { isNoRoom, noRoom } from "./no-room.ts";

export interface DataLock {
  release(): void;
}

/**
 * Takes the data folder for this process alone. The lock is a file lock that SQLite holds on a file
 * of its own, so the kernel takes it back however the process ends.
 *
 * @throws CoracleError `config_invalid` when another process has the folder, or it cannot be written;
 *   `storage_failed` when the disk has no room.
 */
export function lockDataFolder(dir: string): DataLock {
  const path = join(dir, fileNames.lock);
  try {
    const database = openSqlite(path);
    try {
      database.exec("PRAGMA busy_timeout = 0; PRAGMA synchronous = OFF; BEGIN EXCLUSIVE");
    } catch (error) {
      database.close();
      throw error;
    }
    return { release: () => database.close() };
  } catch (error) {
    if (isNoRoom(error)) throw noRoom(path);
    const reason = messageOf(error);
    throw new CoracleError(
      "config_invalid",
      /locked|busy/i.test(reason)
        ? `The data folder ${dir} is in use by another process; stop it, or choose another folder with --data-dir.`
        : `The data folder ${dir} cannot be written (${reason}); check that it exists and belongs to this user.`,
    );
  }
}
