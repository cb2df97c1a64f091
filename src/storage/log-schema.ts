import type { SqliteDatabase, SqlValue } from "../base/sqlite.ts";
import type { HardState } from "../raft/types.ts";
import { rowChecksum } from "./checksum.ts";
import type { Identity } from "./types.ts";

/** Raised when the tables of raft.db change. */
export const logSchemaVersion = 1;

/**
 * The one row that every transaction rewrites. Besides the hard state it says where the log begins
 * and ends, so that lost entries at either end are noticed, and counts the transactions.
 */
export interface LogHeader {
  readonly sequence: number;
  readonly hardState: HardState;
  readonly cutIndex: number;
  readonly cutTerm: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
}

const tables = `
CREATE TABLE entry ("index" INTEGER PRIMARY KEY, term INTEGER NOT NULL, kind INTEGER NOT NULL,
  data BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE TABLE hard_state (id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, term INTEGER NOT NULL,
  voted_for INTEGER NOT NULL, committed INTEGER NOT NULL, cut_index INTEGER NOT NULL,
  cut_term INTEGER NOT NULL, last_index INTEGER NOT NULL, last_term INTEGER NOT NULL,
  checksum INTEGER NOT NULL) STRICT;
CREATE TABLE meta (id INTEGER PRIMARY KEY, schema_version INTEGER NOT NULL, cluster_id INTEGER NOT NULL,
  member_id INTEGER NOT NULL, name TEXT NOT NULL, checksum INTEGER NOT NULL) STRICT;
`;

export const logSql = {
  insertEntry: `INSERT INTO entry ("index", term, kind, data, checksum) VALUES (?, ?, ?, ?, ?)`,
  entriesFrom: `SELECT "index", term, kind, data, checksum FROM entry WHERE "index" >= ? AND "index" < ? ORDER BY "index"`,
  termAt: `SELECT term FROM entry WHERE "index" = ?`,
  bytesBetween: `SELECT coalesce(sum(length(data)), 0) FROM entry WHERE "index" >= ? AND "index" < ?`,
  sizes: `SELECT "index", length(data) FROM entry WHERE "index" >= ? AND "index" < ? ORDER BY "index" LIMIT ?`,
  deleteBetween: `DELETE FROM entry WHERE "index" >= ? AND "index" < ?`,
  firstIndex: `SELECT min("index") FROM entry`,
  updateHeader: `UPDATE hard_state SET sequence = ?, term = ?, voted_for = ?, committed = ?, cut_index = ?,
    cut_term = ?, last_index = ?, last_term = ?, checksum = ? WHERE id = 0`,
  header: `SELECT sequence, term, voted_for, committed, cut_index, cut_term, last_index, last_term, checksum
    FROM hard_state`,
  meta: "SELECT schema_version, cluster_id, member_id, name, checksum FROM meta",
} as const;

/** The columns of `hard_state` in order, without checksum. */
function headerColumns(header: LogHeader): number[] {
  const { term, votedFor, commit } = header.hardState;
  const { sequence, cutIndex, cutTerm, lastIndex, lastTerm } = header;
  return [sequence, term, votedFor, commit, cutIndex, cutTerm, lastIndex, lastTerm];
}

/** The columns of `hard_state` in order, with checksum. */
export function headerRow(header: LogHeader): number[] {
  const columns = headerColumns(header);
  return [...columns, rowChecksum(columns)];
}

/** The only row of a table, when its last column is the checksum of the others. */
export function soundRow(rows: readonly SqlValue[][]): SqlValue[] | undefined {
  const row = rows[0];
  if (rows.length !== 1 || row === undefined) return undefined;
  const columns = row.slice(0, -1);
  return row[row.length - 1] === rowChecksum(columns) ? columns : undefined;
}

/** The header from its row, or `undefined` when it is missing or damaged. */
export function parseHeader(rows: readonly SqlValue[][]): LogHeader | undefined {
  const row = soundRow(rows);
  if (row === undefined) return undefined;
  if (row.length !== 8 || !row.every((value) => typeof value === "number")) return undefined;
  const [
    sequence = 0,
    term = 0,
    votedFor = 0,
    commit = 0,
    cutIndex = 0,
    cutTerm = 0,
    lastIndex = 0,
    lastTerm = 0,
  ] = row;
  return { sequence, hardState: { term, votedFor, commit }, cutIndex, cutTerm, lastIndex, lastTerm };
}

/** Makes the tables in an empty database and fills the rows of identity and header. */
export function createLogTables(database: SqliteDatabase, identity: Identity, header: LogHeader): void {
  const meta = [logSchemaVersion, identity.clusterId, identity.memberId, identity.name];
  database.exec(`BEGIN IMMEDIATE; ${tables}`);
  database.prepare("INSERT INTO meta VALUES (0, ?, ?, ?, ?, ?)").run(...meta, rowChecksum(meta));
  database.prepare("INSERT INTO hard_state VALUES (0, ?, ?, ?, ?, ?, ?, ?, ?, ?)").run(...headerRow(header));
  database.exec("COMMIT");
}
