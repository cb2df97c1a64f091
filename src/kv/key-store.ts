import { concatBytes, emptyBytes, equalBytes } from "../base/bytes.ts";
import type { SqliteDatabase, SqliteStatement, SqlValue } from "../base/sqlite.ts";
import { addBytes, historyRowChecksum, keyChecksum, keyRowChecksum } from "./checksum.ts";
import { damaged } from "./schema.ts";
import type { State } from "./state.ts";
import type { KeyRange, KeyValue } from "./types.ts";

/** What stands about a key in `key`, without its value. */
export interface KeyRow {
  readonly key: Uint8Array;
  /** Where its value is: the row of `revision`. */
  readonly seq: number;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: number;
  readonly checksum: number;
}

/** Where the value is that a key had in the past. */
export interface PastRow {
  readonly key: Uint8Array;
  readonly seq: number;
}

/** A row of `revision`. `version` 0 is a tombstone: the key was deleted. */
export interface RevisionRow extends KeyValue {
  readonly seq: number;
}

const keyColumns = "k.key, k.seq, k.create_revision, k.mod_revision, k.version, k.lease, k.checksum";
/** Revisions whose last sequence number is remembered. */
const lastSeqsMax = 256;
/** Keys that are read at once: with the longest ones, 8 MiB. */
const portionRows = 256;
const bounded = "k.key >= ? AND k.key < ?";
const unbounded = "k.key >= ?";

/** Statements over the keys in a range; one set for ranges with an end and one for those without. */
class RangeStatements {
  readonly count: SqliteStatement;
  readonly rows: SqliteStatement;
  readonly past: SqliteStatement;
  readonly pastCount: SqliteStatement;

  constructor(db: SqliteDatabase, where: string, parameters: number) {
    const limit = parameters + 1;
    // Numbered parameters: the bounds occur on both sides of the UNION. The LIMIT stands after them.
    const inRange = (table: string) =>
      where === bounded ? `${table}.key >= ?1 AND ${table}.key < ?2` : `${table}.key >= ?1`;
    const at = `?${parameters + 1}`;
    this.count = db.prepare(`SELECT count(*) FROM key k WHERE ${where}`);
    this.rows = db.prepare(`SELECT ${keyColumns} FROM key k WHERE ${where} ORDER BY k.key LIMIT ?${limit}`);
    // Two sides in key order, merged by SQLite: nothing is sorted, and the LIMIT ends the reading.
    this.past = db.prepare(
      `SELECT h.key, h.seq, h.until, h.checksum FROM history h
       WHERE ${inRange("h")} AND h.seq <= ${at} AND h.until > ${at}
       UNION ALL
       SELECT k.key, k.seq, 0, 0 FROM key k WHERE ${inRange("k")} AND k.seq <= ${at}
       ORDER BY 1 LIMIT ?${parameters + 2}`,
    );
    this.pastCount = db.prepare(
      `SELECT (SELECT count(*) FROM key k WHERE ${inRange("k")} AND seq <= ${at})
            + (SELECT count(*) FROM history h WHERE ${inRange("h")} AND seq <= ${at} AND until > ${at})`,
    );
  }
}

/**
 * The keys of all revisions, over the tables `key`, `revision` and `history`. It knows rows, sequence
 * numbers and checksums; what a command means is not its matter. Every row read is verified.
 */
export class KeyStore {
  readonly #state: State;
  readonly #getKey: SqliteStatement;
  readonly #getValue: SqliteStatement;
  readonly #insertKey: SqliteStatement;
  readonly #updateKey: SqliteStatement;
  readonly #deleteKey: SqliteStatement;
  readonly #getRevision: SqliteStatement;
  readonly #getModRevision: SqliteStatement;
  readonly #insertRevision: SqliteStatement;
  readonly #insertHistory: SqliteStatement;
  readonly #getHistory: SqliteStatement;
  /** Found by `lastSeqOf`: a listing pinned to a revision asks for the same one again and again. */
  readonly #lastSeqs = new Map<number, number>();
  readonly #bounded: RangeStatements;
  readonly #unbounded: RangeStatements;

  constructor(db: SqliteDatabase, state: State) {
    this.#state = state;
    this.#getKey = db.prepare(
      "SELECT seq, create_revision, mod_revision, version, lease, checksum FROM key WHERE key = ?",
    );
    this.#getValue = db.prepare("SELECT checksum, value FROM revision WHERE seq = ?");
    this.#insertKey = db.prepare("INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?)");
    this.#updateKey = db.prepare(
      "UPDATE key SET seq = ?, mod_revision = ?, version = ?, lease = ?, checksum = ? WHERE key = ?",
    );
    this.#deleteKey = db.prepare("DELETE FROM key WHERE key = ?");
    this.#getRevision = db.prepare(
      "SELECT mod_revision, create_revision, version, lease, checksum, key, value FROM revision WHERE seq = ?",
    );
    this.#getModRevision = db.prepare("SELECT mod_revision FROM revision WHERE seq = ?");
    this.#insertRevision = db.prepare("INSERT INTO revision VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    this.#insertHistory = db.prepare("INSERT INTO history VALUES (?, ?, ?, ?)");
    this.#getHistory = db.prepare(
      "SELECT seq, until, checksum FROM history WHERE key = ? AND seq <= ? ORDER BY seq DESC LIMIT 1",
    );
    this.#bounded = new RangeStatements(db, bounded, 2);
    this.#unbounded = new RangeStatements(db, unbounded, 1);
  }

  /** To be called after a rollback: what was remembered may never have happened. */
  forget(): void {
    this.#lastSeqs.clear();
  }

  // Writing. The caller holds a transaction and names the revision under which it writes.

  /** Puts a key whose present row is `before`. */
  put(key: Uint8Array, value: Uint8Array, lease: number, revision: number, before: KeyRow | undefined): void {
    const crc = keyChecksum(key);
    const createRevision = before === undefined ? revision : before.createRevision;
    const version = before === undefined ? 1 : before.version + 1;
    const seq = this.#append(key, value, crc, createRevision, revision, version, lease);
    const checksum = keyRowChecksum(crc, seq, createRevision, revision, version, lease);
    if (before === undefined) {
      this.#insertKey.run(key, seq, createRevision, revision, version, lease, checksum);
      this.#state.addKey(checksum);
    } else {
      this.#insertHistory.run(key, before.seq, seq, historyRowChecksum(crc, before.seq, seq));
      this.#updateKey.run(seq, revision, version, lease, checksum, key);
      this.#state.replaceKey(before.checksum, checksum);
    }
  }

  /** Deletes a key whose present row is `before`. */
  delete(before: KeyRow, revision: number): void {
    const { key } = before;
    const crc = keyChecksum(key);
    const seq = this.#append(key, emptyBytes, crc, 0, revision, 0, 0);
    this.#insertHistory.run(key, before.seq, seq, historyRowChecksum(crc, before.seq, seq));
    this.#deleteKey.run(key);
    this.#state.removeKey(before.checksum);
  }

  #append(
    key: Uint8Array,
    value: Uint8Array,
    keyCrc: number,
    createRevision: number,
    modRevision: number,
    version: number,
    lease: number,
  ): number {
    const seq = ++this.#state.seq;
    const checksum = keyRowChecksum(
      addBytes(value, keyCrc),
      seq,
      createRevision,
      modRevision,
      version,
      lease,
    );
    this.#insertRevision.run(seq, modRevision, createRevision, version, lease, checksum, key, value);
    this.#state.chain(checksum);
    return seq;
  }

  // Reading the present.

  /** The row of one key, without its value. */
  find(key: Uint8Array): KeyRow | undefined {
    const row = this.#getKey.get(key);
    return row === undefined ? undefined : keyRow(key, row as number[]);
  }

  /** One key with its value. Two lookups by hand: a join costs several times as much on Bun. */
  findWithValue(key: Uint8Array): KeyValue | undefined {
    const row = this.find(key);
    return row === undefined ? undefined : this.keyValue(row);
  }

  /** The same key with its value. */
  keyValue({ key, seq, createRevision, modRevision, version, lease }: KeyRow): KeyValue {
    const row = this.#getValue.get(seq);
    if (row === undefined) throw damaged(`state.db lacks the revision row ${seq}`);
    const [checksum, value] = row as [number, Uint8Array];
    const crc = addBytes(value, keyChecksum(key));
    if (keyRowChecksum(crc, seq, createRevision, modRevision, version, lease) !== checksum) {
      throw damaged(`The checksum of a value in state.db is wrong (row ${seq})`);
    }
    return { key, value, createRevision, modRevision, version, lease };
  }

  /**
   * Rows of the keys in a range, in key order, read in portions: the keys that were given already may
   * be written meanwhile. `wanted` tells how many will be asked for at most, when that is known.
   */
  *rows(range: KeyRange, wanted = Number.POSITIVE_INFINITY): Generator<KeyRow> {
    const { end } = range;
    if (end === undefined) {
      const row = this.find(range.key);
      if (row !== undefined) yield row;
      return;
    }
    yield* portions(range.key, wanted, parseKeyRow, (from, limit) =>
      end === null ? this.#unbounded.rows.all(from, limit) : this.#bounded.rows.all(from, end, limit),
    );
  }

  count(range: KeyRange): number {
    if (range.end === undefined) return this.#getKey.get(range.key) === undefined ? 0 : 1;
    if (range.end !== null) return this.#bounded.count.get(range.key, range.end)?.[0] as number;
    if (range.key.length === 0) return this.#state.keyCount;
    return this.#unbounded.count.get(range.key)?.[0] as number;
  }

  // Reading the past. `at` is a sequence number: the last one of the revision that is read.

  /** The keys of a range as they stood at `at`, in key order, read as `rows` are. */
  *pastRows(range: KeyRange, at: number, wanted = Number.POSITIVE_INFINITY): Generator<PastRow> {
    const { key, end } = range;
    if (end === undefined) {
      for (const seq of this.#pastSeq(key, at)) yield { key, seq };
      return;
    }
    yield* portions(key, wanted, parsePastRow, (from, limit) =>
      end === null ? this.#unbounded.past.all(from, at, limit) : this.#bounded.past.all(from, end, at, limit),
    );
  }

  /** A key of the past with its value. */
  pastKeyValue({ key, seq }: PastRow): KeyValue {
    const row = this.revision(seq);
    // The row vouches for itself, but not for being the row of this key.
    if (!equalBytes(row.key, key)) throw damaged(`The revision row ${seq} in state.db is of another key`);
    return keyValueOf(row);
  }

  pastCount(range: KeyRange, at: number): number {
    const { key, end } = range;
    if (end === undefined) return this.#pastSeq(key, at).length;
    const row =
      end === null ? this.#unbounded.pastCount.get(key, at) : this.#bounded.pastCount.get(key, end, at);
    return row?.[0] as number;
  }

  #pastSeq(key: Uint8Array, at: number): number[] {
    const now = this.find(key);
    if (now !== undefined && now.seq <= at) return [now.seq];
    const row = this.#getHistory.get(key, at);
    if (row === undefined) return [];
    const [seq, until, checksum] = row as [number, number, number];
    checkHistory(key, seq, until, checksum);
    return until > at ? [seq] : [];
  }

  /** The row of `revision` with this sequence number. */
  revision(seq: number): RevisionRow {
    const row = this.#getRevision.get(seq);
    if (row === undefined) throw damaged(`state.db lacks the revision row ${seq}`);
    return parseRevisionRow(seq, row);
  }

  /**
   * The last sequence number of a revision that is not compacted (and not in the future). Rows above
   * `compactedSeq` stand without gaps, and revisions rise with them, so a binary search finds it.
   * Each revision above 1 has at least one row, which bounds the search from both sides: where every
   * command wrote one key, nothing is left to search.
   */
  lastSeqOf(revision: number): number {
    const { compactedSeq, seq, revision: newest } = this.#state;
    const known = this.#lastSeqs.get(revision);
    if (known !== undefined) return known;
    let low = Math.max(compactedSeq, revision - 1);
    let high = Math.max(low, seq - (newest - revision));
    while (low < high) {
      const middle = low + Math.ceil((high - low) / 2);
      const row = this.#getModRevision.get(middle);
      if (row === undefined) throw damaged(`state.db lacks the revision row ${middle}`);
      if ((row[0] as number) <= revision) low = middle;
      else high = middle - 1;
    }
    // A settled revision never gets another row, so what was found stays true.
    if (revision < newest) {
      if (this.#lastSeqs.size >= lastSeqsMax) this.#lastSeqs.clear();
      this.#lastSeqs.set(revision, low);
    }
    return low;
  }
}

export function parseKeyRow(row: SqlValue[]): KeyRow {
  const [key, ...numbers] = row as [Uint8Array, ...number[]];
  return keyRow(key, numbers);
}

function keyRow(key: Uint8Array, numbers: readonly number[]): KeyRow {
  const [seq, createRevision, modRevision, version, lease, checksum] = numbers as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (keyRowChecksum(keyChecksum(key), seq, createRevision, modRevision, version, lease) !== checksum) {
    throw damaged(`The checksum of a key in state.db is wrong (row ${seq})`);
  }
  return { key, seq, createRevision, modRevision, version, lease, checksum };
}

/** A row of `history` (or, with `until` 0, of `key`: there its row of `revision` vouches for it). */
function parsePastRow(row: SqlValue[]): PastRow {
  const [key, seq, until, checksum] = row as [Uint8Array, number, number, number];
  if (until !== 0) checkHistory(key, seq, until, checksum);
  return { key, seq };
}

/** Reads rows that are in key order, from `key` on, one portion after the other. */
function* portions<Row extends { readonly key: Uint8Array }>(
  key: Uint8Array,
  wanted: number,
  parse: (row: SqlValue[]) => Row,
  read: (from: Uint8Array, limit: number) => SqlValue[][],
): Generator<Row> {
  let from = key;
  for (let left = wanted; left > 0; ) {
    const limit = Math.min(portionRows, left);
    const rows = read(from, limit);
    let last: Row | undefined;
    for (const row of rows) {
      last = parse(row);
      yield last;
    }
    if (last === undefined || rows.length < limit) return;
    left -= rows.length;
    from = concatBytes([last.key, keyAfter]);
  }
}

/** What makes of a key the next possible one. */
const keyAfter = new Uint8Array(1);

export function parseRevisionRow(seq: number, row: SqlValue[]): RevisionRow {
  const [modRevision, createRevision, version, lease, checksum, key, value] = row as [
    number,
    number,
    number,
    number,
    number,
    Uint8Array,
    Uint8Array,
  ];
  const crc = addBytes(value, keyChecksum(key));
  if (keyRowChecksum(crc, seq, createRevision, modRevision, version, lease) !== checksum) {
    throw damaged(`The checksum of a value in state.db is wrong (row ${seq})`);
  }
  return { key, value, createRevision, modRevision, version, lease, seq };
}

function keyValueOf({ key, value, createRevision, modRevision, version, lease }: RevisionRow): KeyValue {
  return { key, value, createRevision, modRevision, version, lease };
}

function checkHistory(key: Uint8Array, seq: number, until: number, checksum: number): void {
  if (historyRowChecksum(keyChecksum(key), seq, until) !== checksum) {
    throw damaged(`The checksum of a history row in state.db is wrong (row ${seq})`);
  }
}
