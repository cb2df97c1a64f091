import { equalBytes } from "../base/bytes.ts";
import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import type { KeyStore } from "./key-store.ts";
import {
  type KeyRow,
  keyColumns,
  type LinkRow,
  linkColumns,
  parseKeyRow,
  parseLinkRow,
  parseRevisionRow,
  revisionColumns,
  tombstoneColumns,
} from "./rows.ts";
import { damaged } from "./schema.ts";
import { State } from "./state.ts";

const portion = 1000;

/**
 * Reads all keys of all revisions and checks every checksum, that every row stands in the chain of its
 * key, and that the keys are the ones that the log left: a lost key shows too. Takes time in proportion
 * to the store: for a snapshot that arrived, or for a member under suspicion.
 *
 * @throws CoracleError `storage_damaged` at the first thing that is wrong.
 */
export function verifyKeys(db: SqliteDatabase, store: KeyStore, state: State): void {
  new Verification(db, store, state).run();
}

class Verification {
  readonly #db: SqliteDatabase;
  readonly #store: KeyStore;
  readonly #state: State;
  readonly #getLinks: SqliteStatement;
  readonly #getHead: SqliteStatement;

  constructor(db: SqliteDatabase, store: KeyStore, state: State) {
    this.#db = db;
    this.#store = store;
    this.#state = state;
    this.#getLinks = db.prepare(`SELECT ${linkColumns}, key FROM revision WHERE seq = ?`);
    this.#getHead = db.prepare(
      "SELECT seq FROM key WHERE key = ?1 UNION ALL SELECT seq FROM tombstone WHERE key = ?1",
    );
  }

  run(): void {
    this.#checkKeys();
    for (const head of this.#heads("tombstone", tombstoneColumns)) this.#checkHead(head);
    this.#checkRevisions();
  }

  #checkKeys(): void {
    const state = this.#state;
    const found = new State();
    for (const head of this.#heads("key", keyColumns)) {
      this.#checkHead(head);
      this.#store.keyValue(head);
      found.addKey(head.checksum);
    }
    if (found.keyCount !== state.keyCount || found.keySum !== state.keySum) {
      throw damaged(
        `state.db has ${found.keyCount} keys that are not the ${state.keyCount} keys it was left with`,
      );
    }
  }

  *#heads(table: string, columns: string): Generator<KeyRow> {
    const next = this.#db.prepare(
      `SELECT ${columns} FROM ${table} WHERE key > ? ORDER BY key LIMIT ${portion}`,
    );
    let key: Uint8Array = new Uint8Array(0);
    for (let rows = next.all(key); rows.length > 0; rows = next.all(key)) {
      for (const row of rows) {
        const head = parseKeyRow(row);
        yield head;
        key = head.key;
      }
    }
  }

  /** The newest row of a chain says the same in both of its tables. */
  #checkHead({ key, seq, version, prev, jump }: KeyRow): void {
    const row = this.#row(seq, key);
    if (row.version !== version || row.prev !== prev || row.jump !== jump) {
      throw damaged(`The revision row ${seq} in state.db is not what stands about its key`);
    }
  }

  #checkRevisions(): void {
    const next = this.#db.prepare(
      `SELECT ${revisionColumns}, seq FROM revision WHERE seq > ? ORDER BY seq LIMIT ${portion}`,
    );
    // Above `compactedSeq` no row may be missing. Those below are the ones that the chains lead to.
    let seq = this.#state.compactedSeq;
    for (let rows = next.all(seq); rows.length > 0; rows = next.all(seq)) {
      for (const row of rows) {
        if (row.at(-1) !== seq + 1) throw damaged(`state.db lacks the revision row ${seq + 1}`);
        const { key } = parseRevisionRow(++seq, row);
        this.#checkLinks(key, parseLinkRow(seq, row));
      }
    }
    if (seq !== this.#state.seq) throw damaged(`state.db lacks the revision row ${seq + 1}`);
  }

  #checkLinks(key: Uint8Array, { seq, version, prev, jump }: LinkRow): void {
    const { compactedSeq } = this.#state;
    // What a row of version 1 follows is gone when compaction has visited it.
    if (version !== 1 || prev > compactedSeq) {
      const before = this.#row(prev, key).version;
      if (version === 0 ? before === 0 : before !== version - 1) {
        throw damaged(`The revision row ${seq} in state.db does not follow the row ${prev}`);
      }
    }
    if (jump > compactedSeq) this.#row(jump, key);
    // Lost heads of `key` show in the sum of all keys, those of `tombstone` only here.
    const head = version === 0 ? this.#getHead.get(key)?.[0] : seq;
    if (head === undefined || (head as number) < seq) {
      throw damaged(`state.db lacks the tombstone of the revision row ${seq}`);
    }
  }

  /** A row that must exist, of this key. */
  #row(seq: number, key: Uint8Array): LinkRow {
    const row = this.#getLinks.get(seq);
    if (row === undefined) throw damaged(`state.db lacks the revision row ${seq}`);
    if (!equalBytes(row.at(-1) as Uint8Array, key)) {
      throw damaged(`The revision row ${seq} in state.db is of another key`);
    }
    return parseLinkRow(seq, row);
  }
}
