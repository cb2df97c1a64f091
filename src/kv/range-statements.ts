import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import { headValueColumns, joinedKeyColumns, keyColumns, tombstoneColumns, valueColumns } from "./rows.ts";

/** Values up to this length are read together with their keys, a portion of them at once. */
const shortValueBytes = 4096;

/**
 * Statements over the keys in a range; one set for ranges with an end and one for those without. Their
 * parameters: the range, then the sequence number of the past if it is about that, then the limit.
 */
export class RangeStatements {
  readonly count: SqliteStatement;
  readonly rows: SqliteStatement;
  /** The rows with their values, unless those are long. */
  readonly values: SqliteStatement;
  /** Heads of the chains in which a key of the past may be found. */
  readonly past: SqliteStatement;
  /** The same with the values that the heads alone lead to, unless those are long. */
  readonly pastValues: SqliteStatement;
  /** Keys of the past that the heads alone tell of. */
  readonly pastCount: SqliteStatement;
  /** Heads of the other chains. */
  readonly pastDeep: SqliteStatement;

  constructor(db: SqliteDatabase, hasEnd: boolean) {
    // Numbered parameters: the bounds occur on both sides of a UNION.
    const inRange = hasEnd ? "h.key >= ?1 AND h.key < ?2" : "h.key >= ?1";
    const [at, limit] = hasEnd ? ["?3", "?4"] : ["?2", "?3"];
    // A row of version 1 follows a tombstone or nothing, a tombstone follows a value.
    const keyInPast = `(h.seq <= ${at} OR h.prev > ${at} OR h.version > 1)`;
    // Two sides in key order, merged by SQLite: nothing is sorted, and the LIMIT ends the reading.
    const heads = (more: string, join: string, keyWhere: string, tombstoneWhere: string) =>
      db.prepare(
        `SELECT ${of("h", keyColumns)}${more} FROM key h ${join} WHERE ${inRange} AND ${keyWhere}
         UNION ALL
         SELECT ${of("h", tombstoneColumns)}${more} FROM tombstone h ${join}
         WHERE ${inRange} AND ${tombstoneWhere}
         ORDER BY key LIMIT ${limit}`,
      );
    const joined = `LEFT JOIN revision r
      ON r.seq = CASE WHEN h.seq <= ${at} THEN h.seq WHEN h.prev <= ${at} THEN h.prev END`;

    this.count = db.prepare(`SELECT count(*) FROM key h WHERE ${inRange}`);
    this.rows = db.prepare(
      `SELECT ${of("h", keyColumns)} FROM key h WHERE ${inRange} ORDER BY h.key LIMIT ${at}`,
    );
    this.values = db.prepare(
      `SELECT ${of("h", joinedKeyColumns)}, ${of("r", headValueColumns)}
       FROM key h LEFT JOIN revision r ON r.seq = h.seq WHERE ${inRange} ORDER BY h.key LIMIT ${at}`,
    );
    this.past = heads("", "", keyInPast, `h.seq > ${at}`);
    this.pastValues = heads(`, ${of("r", valueColumns)}`, joined, keyInPast, `h.seq > ${at}`);
    this.pastDeep = heads("", "", `h.prev > ${at}`, `h.prev > ${at}`);
    this.pastCount = db.prepare(
      `SELECT (SELECT count(*) FROM key h
                WHERE ${inRange} AND (h.seq <= ${at} OR (h.prev <= ${at} AND h.version > 1)))
            + (SELECT count(*) FROM tombstone h WHERE ${inRange} AND h.seq > ${at} AND h.prev <= ${at})`,
    );
  }
}

/** The columns of a table in a join. A long value is NULL: it is read by itself, when its turn comes. */
function of(table: string, columns: string): string {
  return columns
    .split(", ")
    .map((column) => {
      if (column === "0") return column;
      if (column === "key") return `${table}.key AS key`;
      if (column !== "value") return `${table}.${column}`;
      return `CASE WHEN length(${table}.value) <= ${shortValueBytes} THEN ${table}.value END`;
    })
    .join(", ");
}
