import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { equalBytes, utf8 } from "../base/bytes.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import type { SqliteDatabase } from "../base/sqlite.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { entryChecksum } from "./checksum.ts";
import { fileNames } from "./files.ts";
import { readLogMark } from "./log-mark.ts";
import { type LogHeader, logSchemaVersion, logSql, parseHeader, soundRow } from "./log-schema.ts";
import { isNoRoom, noRoom } from "./no-room.ts";
import type { Identity } from "./types.ts";
import { findWalDamage } from "./wal-check.ts";

const databaseMagic = utf8("SQLite format 3\0");

/** A raft.db whose every byte that matters was read and found sound. */
export interface VerifiedLog {
  readonly identity: Identity;
  readonly header: LogHeader;
  /** Bytes of data of all entries in the file. */
  readonly bytes: number;
  /** A read-only connection. */
  readonly database: SqliteDatabase;
}

/** The error for a file that cannot be trusted. */
export function damaged(path: string, reason: string): CoracleError {
  return new CoracleError(
    "storage_damaged",
    `${path} is damaged: ${reason}. Nothing was changed. Restore the data folder from a snapshot, or wipe it and start this member again with --join.`,
    { file: path },
  );
}

/**
 * Reads all of raft.db without changing it. A member must not speak on the strength of a log that
 * lost anything: it could vote twice in a term, or help to elect a leader without acknowledged entries.
 *
 * @throws CoracleError `storage_damaged` with the file and the reason.
 */
export function verifyLog(dir: string): VerifiedLog {
  const path = join(dir, fileNames.log);
  const marked = readLogMark(join(dir, fileNames.logMark));
  if (marked === undefined) {
    throw damaged(join(dir, fileNames.logMark), "it is missing or does not match its checksum");
  }
  // Before SQLite looks at the files: it drops a write-ahead log whose database is empty, and what
  // comes in it after a damaged frame.
  if (!isDatabase(path)) throw damaged(path, "it does not begin as a SQLite database does");
  const walDamage = findWalDamage(`${path}-wal`);
  if (walDamage !== undefined) throw damaged(path, walDamage);
  let database: SqliteDatabase | undefined;
  try {
    database = openSqlite(path, { readOnly: true });
    database.exec("PRAGMA busy_timeout = 2000; PRAGMA cache_size = -1024");
    return { ...readAll(path, database, marked), database };
  } catch (error) {
    database?.close();
    if (isNoRoom(error)) throw noRoom(path);
    throw error instanceof CoracleError ? error : damaged(path, messageOf(error));
  }
}

function isDatabase(path: string): boolean {
  const start = new Uint8Array(databaseMagic.length);
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return false;
  }
  try {
    readSync(file, start, 0, start.length, 0);
  } finally {
    closeSync(file);
  }
  return equalBytes(start, databaseMagic);
}

function readAll(path: string, database: SqliteDatabase, marked: number): Omit<VerifiedLog, "database"> {
  const verdict = database.prepare("PRAGMA quick_check(1)").get()?.[0];
  if (verdict !== "ok") throw damaged(path, String(verdict).replaceAll(/\s+/g, " "));
  const meta = soundRow(database.prepare(logSql.meta).all());
  if (meta === undefined) throw damaged(path, "the row that names its owner does not match its checksum");
  const [version, clusterId, memberId, name] = meta;
  if (version !== logSchemaVersion) {
    throw new CoracleError(
      "config_invalid",
      `${path} has format version ${version}, this program knows ${logSchemaVersion}; use the program that wrote it.`,
    );
  }
  const header = parseHeader(database.prepare(logSql.header).all());
  if (header === undefined) throw damaged(path, "its header does not match its checksum");
  if (header.sequence < marked) {
    throw damaged(path, `it ends at write ${header.sequence}, but write ${marked} was already acknowledged`);
  }
  const identity = { clusterId: Number(clusterId), memberId: Number(memberId), name: String(name) };
  return { identity, header, bytes: readEntries(path, database, header) };
}

/** Checks that the entries from the cut to the end are all there and unchanged; gives their bytes. */
function readEntries(path: string, database: SqliteDatabase, header: LogHeader): number {
  let next = header.cutIndex + 1;
  let lastTerm = header.cutTerm;
  // Entries up to the cut may be left over from a deletion that was under way: they count no more.
  let bytes = Number(database.prepare(logSql.bytesBetween).get(0, next)?.[0] ?? 0);
  for (const row of database.prepare(logSql.entriesFrom).iterate(next, Number.MAX_SAFE_INTEGER)) {
    const [index, term, kind, data, checksum] = row;
    if (index !== next) throw damaged(path, `entry ${next} is missing`);
    if (typeof term !== "number" || typeof kind !== "number" || !(data instanceof Uint8Array)) {
      throw damaged(path, `entry ${next} is no entry`);
    }
    if (entryChecksum(next, term, kind, data) !== checksum) {
      throw damaged(path, `entry ${next} does not match its checksum`);
    }
    if (term < lastTerm) throw damaged(path, `entry ${next} has term ${term} after term ${lastTerm}`);
    lastTerm = term;
    bytes += data.length;
    next++;
  }
  if (next - 1 !== header.lastIndex) {
    throw damaged(path, `it ends at entry ${next - 1} instead of ${header.lastIndex}`);
  }
  if (lastTerm !== header.lastTerm) {
    throw damaged(path, `its last entry has term ${lastTerm} instead of ${header.lastTerm}`);
  }
  return bytes;
}
