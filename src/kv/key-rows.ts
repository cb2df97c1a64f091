import { assert, present } from "../base/assert.ts";
import { equalBytes } from "../base/bytes.ts";
import { packInt64 } from "../base/int64.ts";
import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import { headChecksum, type KeyRow, keyNumbers, parseHead } from "./rows.ts";
import { damaged } from "./schema.ts";

/** How much of the table `key` is kept in memory. It decides no result, only what reads and writes cost. */
export interface KeyRowLimits {
  /** Rows kept, a power of two. */
  readonly rowsMax: number;
  /** Changed rows that wait to be written. */
  readonly waitingMax: number;
  /** Rows of longer keys are not kept: this bounds the memory. */
  readonly keyBytesMax: number;
}

/** About 4 MiB, at most 8. What waits is written in about 2 ms. */
const keyRowLimits: KeyRowLimits = { rowsMax: 16_384, waitingMax: 1024, keyBytesMax: 256 };

/**
 * The rows of `key`, one at a time. Rows that were read or written lately are kept in memory; those
 * of keys that were put again wait there to be written, since such keys are often put once more before
 * the transaction ends. Waiting rows belong to the open transaction: they are written by `settle`
 * before it commits and before any other statement reads the table, and dropped by `forget` when it is
 * undone.
 *
 * A row has one place that it can be kept in, by a hash of its key. Whatever comes to that place
 * next drives it out, so nothing needs to be counted or ordered.
 */
export class KeyRows {
  readonly #limits: KeyRowLimits;
  readonly #get: SqliteStatement;
  readonly #insert: SqliteStatement;
  readonly #update: SqliteStatement;
  readonly #delete: SqliteStatement;
  /** Rows in their places. They are never changed, for others hold them: a new one takes the place. */
  readonly #rows: (KeyRow | undefined)[];
  /** Places whose row is newer than the table's. */
  readonly #waiting = new Set<number>();

  constructor(db: SqliteDatabase, limits: KeyRowLimits = keyRowLimits) {
    assert((limits.rowsMax & (limits.rowsMax - 1)) === 0, `${limits.rowsMax} is no power of two`);
    this.#limits = limits;
    this.#rows = Array.from({ length: limits.rowsMax }, () => undefined);
    this.#get = db.prepare(`SELECT ${keyNumbers} FROM key WHERE key = ?`);
    this.#insert = db.prepare("INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    this.#update = db.prepare(
      `UPDATE key SET seq = ?, mod_revision = ?, version = ?, lease = ?, prev = ?, jump = ?, links = ?,
       checksum = ? WHERE key = ?`,
    );
    this.#delete = db.prepare("DELETE FROM key WHERE key = ?");
  }

  find(key: Uint8Array): KeyRow | undefined {
    if (!this.#keeps(key)) return this.#read(key, key);
    const place = this.#place(key);
    const kept = this.#rows[place];
    if (kept !== undefined && equalBytes(kept.key, key)) return kept;
    // A copy: the key may be a part of all the bytes of an entry, which would stay in memory with it.
    const row = this.#read(key);
    if (row !== undefined) this.#keep(row, place);
    return row;
  }

  #read(key: Uint8Array, as?: Uint8Array): KeyRow | undefined {
    const found = this.#get.get(key);
    return found === undefined ? undefined : parseHead(as ?? key.slice(), found);
  }

  /** Adds the row of a key that has none. It is not kept: of many new keys few are put again soon. */
  insert(row: KeyRow): void {
    const { key, seq, createRevision, modRevision, version, lease, prev, jump, links } = row;
    const packed = packInt64(lease);
    const head = headChecksum(row.checksum, prev, jump, links);
    this.#insert.run(key, seq, createRevision, modRevision, version, packed, prev, jump, links, head);
  }

  /** Replaces the row that `find` gave by one with the same `key`; it is written later. */
  update(row: KeyRow): void {
    if (!this.#keeps(row.key)) {
      this.#write(row);
      return;
    }
    const place = this.#place(row.key);
    this.#keep(row, place);
    this.#waiting.add(place);
    if (this.#waiting.size > this.#limits.waitingMax) this.settle();
  }

  delete({ key }: KeyRow): void {
    this.#delete.run(key);
    if (!this.#keeps(key)) return;
    const place = this.#place(key);
    const kept = this.#rows[place];
    if (kept === undefined || !equalBytes(kept.key, key)) return;
    this.#rows[place] = undefined;
    this.#waiting.delete(place);
  }

  /**
   * Writes the rows that wait: the table then says what was put. An error leaves them waiting, and
   * writing them again does no harm.
   */
  settle(): void {
    if (this.#waiting.size === 0) return;
    for (const place of this.#waiting) this.#write(present(this.#rows[place], "the row that waits"));
    this.#waiting.clear();
  }

  /** To be called after a rollback: no row is known any more, and none waits. */
  forget(): void {
    this.#rows.fill(undefined);
    this.#waiting.clear();
  }

  #keeps(key: Uint8Array): boolean {
    return key.length <= this.#limits.keyBytesMax;
  }

  /** By FNV-1a: two native checksums of a key for each put would be felt. */
  #place(key: Uint8Array): number {
    let hash = 0x811c_9dc5;
    for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ (key[at] as number), 0x0100_0193);
    return (hash ^ (hash >>> 16)) & (this.#limits.rowsMax - 1);
  }

  /** Gives the row its place, for which the row of another key may have to be written. */
  #keep(row: KeyRow, place: number): void {
    const before = this.#rows[place];
    if (before !== undefined && this.#waiting.has(place) && !equalBytes(before.key, row.key)) {
      this.#write(before);
      this.#waiting.delete(place);
    }
    this.#rows[place] = row;
  }

  #write({ key, seq, modRevision, version, lease, prev, jump, links, checksum }: KeyRow): void {
    const head = headChecksum(checksum, prev, jump, links);
    const packed = packInt64(lease);
    if (this.#update.run(seq, modRevision, version, packed, prev, jump, links, head, key) !== 1) {
      throw damaged(`state.db lacks the key of the revision row ${seq}`);
    }
  }
}
