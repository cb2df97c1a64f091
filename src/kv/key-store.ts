import { present } from "../base/assert.ts";
import { concatBytes, emptyBytes } from "../base/bytes.ts";
import { packInt64 } from "../base/int64.ts";
import type { SqliteDatabase, SqliteStatement, SqlValue } from "../base/sqlite.ts";
import { jumpAfter, type Links, rowAfter } from "./chain.ts";
import { addBytes, keyChecksum, keyRowChecksum, linkedChecksum } from "./checksum.ts";
import { type KeyRowLimits, KeyRows } from "./key-rows.ts";
import { RangeStatements } from "./range-statements.ts";
import {
  headChecksum,
  headValueColumns,
  type KeyRow,
  type LinkRow,
  linkColumns,
  type PastRow,
  parseHead,
  parseHeadValue,
  parseJoined,
  parseKeyRow,
  parseLinkRow,
  parseValue,
  tombstoneNumbers,
  valueColumns,
} from "./rows.ts";
import { damaged } from "./schema.ts";
import type { State } from "./state.ts";
import type { KeyRange, KeyValue, LeaseId } from "./types.ts";

/** Revisions whose last sequence number is remembered. */
const lastSeqsMax = 256;
/** Keys that are read at once: with the longest ones, 8 MiB. */
const portionRows = 256;

/**
 * The keys of all revisions, over the tables `key`, `tombstone` and `revision`. It knows rows, sequence
 * numbers and checksums; what a command means is not its matter. Every row read is verified.
 */
export class KeyStore {
  readonly #state: State;
  readonly #keys: KeyRows;
  readonly #getTombstone: SqliteStatement;
  readonly #getValue: SqliteStatement;
  readonly #insertTombstone: SqliteStatement;
  readonly #deleteTombstone: SqliteStatement;
  readonly #anyTombstone: SqliteStatement;
  readonly #getPastValue: SqliteStatement;
  readonly #getLinks: SqliteStatement;
  readonly #getModRevision: SqliteStatement;
  readonly #insertRevision: SqliteStatement;
  /** Found by `lastSeqOf`: a listing pinned to a revision asks for the same one again and again. */
  readonly #lastSeqs = new Map<number, number>();
  readonly #bounded: RangeStatements;
  readonly #unbounded: RangeStatements;
  /** Whether `tombstone` may have rows: where nothing is ever deleted, a new key costs no look at it. */
  #tombstones = true;

  constructor(db: SqliteDatabase, state: State, limits?: KeyRowLimits) {
    this.#state = state;
    this.#keys = new KeyRows(db, limits);
    this.#getTombstone = db.prepare(`SELECT ${tombstoneNumbers} FROM tombstone WHERE key = ?`);
    this.#getValue = db.prepare(`SELECT ${headValueColumns} FROM revision WHERE seq = ?`);
    this.#insertTombstone = db.prepare("INSERT INTO tombstone VALUES (?, ?, ?, ?, ?, ?)");
    this.#deleteTombstone = db.prepare("DELETE FROM tombstone WHERE key = ?");
    this.#anyTombstone = db.prepare("SELECT EXISTS (SELECT 1 FROM tombstone)");
    this.#getPastValue = db.prepare(`SELECT ${valueColumns} FROM revision WHERE seq = ?`);
    this.#getLinks = db.prepare(`SELECT ${linkColumns} FROM revision WHERE seq = ?`);
    this.#getModRevision = db.prepare("SELECT mod_revision FROM revision WHERE seq = ?");
    this.#insertRevision = db.prepare("INSERT INTO revision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    this.#bounded = new RangeStatements(db, true);
    this.#unbounded = new RangeStatements(db, false);
    this.lookForTombstones();
  }

  /** To be called when tombstones may have been removed. */
  lookForTombstones(): void {
    this.#tombstones = this.#anyTombstone.get()?.[0] === 1;
  }

  /** To be called after a rollback: what was remembered may never have happened. */
  forget(): void {
    this.#keys.forget();
    this.#lastSeqs.clear();
    this.#tombstones = true;
  }

  /** Writes what waits in memory: to be called before a commit, and before others read the table `key`. */
  settle(): void {
    this.#keys.settle();
  }

  /** The statements, which may now be run: nothing of what they read waits in memory. */
  #settled(statements: RangeStatements): RangeStatements {
    this.#keys.settle();
    return statements;
  }

  // Writing. The caller holds a transaction and names the revision under which it writes.

  /** Puts a key whose present row is `before`, as `find` gave it. */
  put(
    key: Uint8Array,
    value: Uint8Array,
    lease: LeaseId,
    revision: number,
    before: KeyRow | undefined,
  ): void {
    if (before === undefined) {
      this.#create(key, value, lease, revision);
      return;
    }
    const { key: kept, createRevision, keyCrc } = before;
    const version = before.version + 1;
    const links = before.links + 1;
    const jump = this.#jumpAfter(before);
    const seq = this.#append(key, value, keyCrc, createRevision, revision, version, lease, before.seq, jump);
    const checksum = keyRowChecksum(keyCrc, seq, createRevision, revision, version, lease);
    this.#keys.update({
      key: kept,
      seq,
      createRevision,
      modRevision: revision,
      version,
      lease,
      prev: before.seq,
      jump,
      links,
      keyCrc,
      checksum,
    });
    this.#state.replaceKey(before.checksum, checksum);
  }

  #create(key: Uint8Array, value: Uint8Array, lease: LeaseId, revision: number): void {
    const tombstone = this.#tombstones ? this.#tombstone(key) : undefined;
    const keyCrc = keyChecksum(key);
    const prev = tombstone === undefined ? 0 : tombstone.seq;
    const jump = tombstone === undefined ? 0 : this.#jumpAfter(tombstone);
    const links = tombstone === undefined ? 1 : tombstone.links + 1;
    const seq = this.#append(key, value, keyCrc, revision, revision, 1, lease, prev, jump);
    const checksum = keyRowChecksum(keyCrc, seq, revision, revision, 1, lease);
    this.#keys.insert({
      key,
      seq,
      createRevision: revision,
      modRevision: revision,
      version: 1,
      lease,
      prev,
      jump,
      links,
      keyCrc,
      checksum,
    });
    if (tombstone !== undefined) this.#deleteTombstone.run(key);
    this.#state.addKey(checksum);
  }

  /** Deletes a key whose present row is `before`. */
  delete(before: KeyRow, revision: number): void {
    const { key, keyCrc } = before;
    const jump = this.#jumpAfter(before);
    const links = before.links + 1;
    const seq = this.#append(key, emptyBytes, keyCrc, 0, revision, 0, 0, before.seq, jump);
    const checksum = keyRowChecksum(keyCrc, seq, 0, 0, 0, 0);
    this.#keys.delete(before);
    const head = headChecksum(checksum, before.seq, jump, links);
    this.#insertTombstone.run(key, seq, before.seq, jump, links, head);
    this.#tombstones = true;
    this.#state.removeKey(before.checksum);
  }

  #append(
    key: Uint8Array,
    value: Uint8Array,
    keyCrc: number,
    createRevision: number,
    modRevision: number,
    version: number,
    lease: LeaseId,
    prev: number,
    jump: number,
  ): number {
    const seq = ++this.#state.seq;
    const valueCrc = addBytes(value, keyCrc);
    const content = keyRowChecksum(valueCrc, seq, createRevision, modRevision, version, lease);
    const checksum = linkedChecksum(content, prev, jump);
    const packed = packInt64(lease);
    this.#insertRevision.run(
      seq,
      modRevision,
      createRevision,
      version,
      packed,
      prev,
      jump,
      valueCrc,
      checksum,
      key,
      value,
    );
    this.#state.chain(content);
    return seq;
  }

  #jumpAfter(head: KeyRow): number {
    return jumpAfter(head, this.#jumpOf);
  }

  readonly #jumpOf = (seq: number): number => {
    const row = this.#getLinks.get(seq);
    if (row !== undefined) return parseLinkRow(seq, row).jump;
    if (seq > this.#state.compactedSeq) throw missing(seq);
    return 0;
  };

  // Reading the present.

  /** The row of one key, without its value. */
  find(key: Uint8Array): KeyRow | undefined {
    return this.#keys.find(key);
  }

  /** One key with its value. Two lookups by hand: a join costs several times as much on Bun. */
  findWithValue(key: Uint8Array): KeyValue | undefined {
    const row = this.find(key);
    return row === undefined ? undefined : this.keyValue(row);
  }

  /** The same key with its value. */
  keyValue(head: KeyRow): KeyValue {
    const row = this.#getValue.get(head.seq);
    if (row === undefined) throw missing(head.seq);
    return parseHeadValue(head, row);
  }

  /** The keys of a range with their values, read as `rows` are: a key and its value by one statement. */
  *keyValues(range: KeyRange, wanted: number): Generator<KeyValue> {
    const { end } = range;
    if (end === undefined) {
      const found = this.findWithValue(range.key);
      if (found !== undefined) yield found;
      return;
    }
    const demand = { rows: wanted };
    const read = (from: Uint8Array, limit: number) =>
      end === null
        ? this.#settled(this.#unbounded).values.all(from, limit)
        : this.#settled(this.#bounded).values.all(from, end, limit);
    for (const rows of portions(range.key, demand, read, 7)) {
      demand.rows -= rows.length;
      for (const row of rows) yield row[10] === null ? this.#known(row[7] as Uint8Array) : parseJoined(row);
    }
  }

  /** The key-value of a key that has just been seen. */
  #known(key: Uint8Array): KeyValue {
    return present(this.findWithValue(key), "the key that was listed");
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
    const demand = { rows: wanted };
    const read = (from: Uint8Array, limit: number) =>
      end === null
        ? this.#settled(this.#unbounded).rows.all(from, limit)
        : this.#settled(this.#bounded).rows.all(from, end, limit);
    for (const rows of portions(range.key, demand, read)) {
      demand.rows -= rows.length;
      for (const row of rows) yield parseKeyRow(row);
    }
  }

  count(range: KeyRange): number {
    if (range.end === undefined) return this.find(range.key) === undefined ? 0 : 1;
    if (range.end !== null)
      return this.#settled(this.#bounded).count.get(range.key, range.end)?.[0] as number;
    if (range.key.length === 0) return this.#state.keyCount;
    return this.#settled(this.#unbounded).count.get(range.key)?.[0] as number;
  }

  // Reading the past. `at` is a sequence number: the last one of the revision that is read.

  /** The keys of a range as they stood at `at`, in key order, read as `rows` are. */
  *pastRows(range: KeyRange, at: number, wanted = Number.POSITIVE_INFINITY): Generator<PastRow> {
    const { key, end } = range;
    if (end === undefined) {
      const found = this.#pastRow(key, at);
      if (found !== undefined) yield found;
      return;
    }
    const demand = { rows: wanted };
    const read = (from: Uint8Array, limit: number) =>
      end === null
        ? this.#settled(this.#unbounded).past.all(from, at, limit)
        : this.#settled(this.#bounded).past.all(from, end, at, limit);
    for (const rows of portions(key, demand, read)) {
      for (const row of rows) {
        const head = parseKeyRow(row);
        const seq = this.#pastSeq(head, at);
        if (seq === 0) continue;
        yield { key: head.key, seq, keyCrc: head.keyCrc };
        if (--demand.rows === 0) return;
      }
    }
  }

  /** The keys of a range with their values as they stood at `at`. */
  *pastKeyValues(range: KeyRange, at: number, wanted: number): Generator<KeyValue> {
    const { key, end } = range;
    if (end === undefined) {
      const found = this.#pastRow(key, at);
      if (found !== undefined) yield this.pastKeyValue(found);
      return;
    }
    const demand = { rows: wanted };
    const read = (from: Uint8Array, limit: number) =>
      end === null
        ? this.#settled(this.#unbounded).pastValues.all(from, at, limit)
        : this.#settled(this.#bounded).pastValues.all(from, end, at, limit);
    for (const rows of portions(key, demand, read)) {
      for (const row of rows) {
        const head = parseKeyRow(row);
        const seq = this.#pastSeq(head, at);
        if (seq === 0) continue;
        const found = { key: head.key, seq, keyCrc: head.keyCrc };
        yield row[18] === null ? this.pastKeyValue(found) : parseValue(found, row, 10);
        if (--demand.rows === 0) return;
      }
    }
  }

  #pastRow(key: Uint8Array, at: number): PastRow | undefined {
    const head = this.find(key) ?? this.#tombstone(key);
    if (head === undefined) return undefined;
    const seq = this.#pastSeq(head, at);
    return seq === 0 ? undefined : { key, seq, keyCrc: head.keyCrc };
  }

  #tombstone(key: Uint8Array): KeyRow | undefined {
    const row = this.#getTombstone.get(key);
    return row === undefined ? undefined : parseHead(key, row);
  }

  /** A key of the past with an empty value. */
  pastKey({ key, seq }: PastRow): KeyValue {
    const { createRevision, modRevision, version, lease } = this.#links(seq);
    return { key, value: emptyBytes, createRevision, modRevision, version, lease };
  }

  /** A key of the past with its value. */
  pastKeyValue(past: PastRow): KeyValue {
    const row = this.#getPastValue.get(past.seq);
    if (row === undefined) throw missing(past.seq);
    return parseValue(past, row);
  }

  pastCount({ key, end }: KeyRange, at: number): number {
    if (end === undefined) return this.#pastRow(key, at) === undefined ? 0 : 1;
    const known =
      end === null
        ? this.#settled(this.#unbounded).pastCount.get(key, at)
        : this.#settled(this.#bounded).pastCount.get(key, end, at);
    let count = known?.[0] as number;
    const read = (from: Uint8Array, limit: number) =>
      end === null
        ? this.#settled(this.#unbounded).pastDeep.all(from, at, limit)
        : this.#settled(this.#bounded).pastDeep.all(from, end, at, limit);
    for (const rows of portions(key, { rows: Number.POSITIVE_INFINITY }, read)) {
      for (const row of rows) if (this.#pastSeq(parseKeyRow(row), at) !== 0) count++;
    }
    return count;
  }

  /** The row that a key had at `at`; 0 when there was none. */
  #pastSeq(head: KeyRow, at: number): number {
    if (head.seq <= at) return head.version === 0 ? 0 : head.seq;
    const { version, prev } = rowAfter<Links & Pick<LinkRow, "version">>(head, at, (seq) => this.#links(seq));
    // A key that was made after `at` followed a tombstone, or nothing.
    return version === 1 ? 0 : prev;
  }

  #links(seq: number): LinkRow {
    const row = this.#getLinks.get(seq);
    if (row === undefined) throw missing(seq);
    return parseLinkRow(seq, row);
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
      if (row === undefined) throw missing(middle);
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

/** How many more rows are asked for; whoever takes them counts. */
interface Demand {
  rows: number;
}

/**
 * Reads rows that are in key order, from `key` on, one portion after the other while there is demand.
 * They have their key at `keyAt`.
 */
function* portions(
  key: Uint8Array,
  demand: Demand,
  read: (from: Uint8Array, limit: number) => SqlValue[][],
  keyAt = 9,
): Generator<SqlValue[][]> {
  let from = key;
  while (demand.rows > 0) {
    const limit = Math.min(portionRows, demand.rows);
    const rows = read(from, limit);
    const last = rows.at(-1)?.[keyAt] as Uint8Array | undefined;
    if (last === undefined) return;
    yield rows;
    if (rows.length < limit) return;
    from = concatBytes([last, keyAfter]);
  }
}

/** What makes of a key the next possible one. */
const keyAfter = new Uint8Array(1);

function missing(seq: number): Error {
  return damaged(`state.db lacks the revision row ${seq}`);
}
