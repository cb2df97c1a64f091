import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import type { KeyStore } from "./key-store.ts";
import type { State } from "./state.ts";

/** What one slice of physical compaction did. */
export interface CompactionSlice {
  /** Rows of `revision` looked at. */
  readonly visited: number;
  /** Rows of `revision` removed. */
  readonly removed: number;
  /** Nothing is left to remove at the present compact revision. */
  readonly done: boolean;
}

/**
 * Removes what compaction made unreadable. It visits the rows of `revision` in the order in which
 * they were written, up to the last one below the compact revision. A visited row makes all older
 * rows of its key unneeded; a visited tombstone is itself unneeded. Each row is visited once in its
 * life, so the work is spread evenly over the writes.
 *
 * Rows of the compact revision itself stay, tombstones too: a reader of changes may begin there.
 */
export class Compaction {
  readonly #store: KeyStore;
  readonly #state: State;
  readonly #next: SqliteStatement;
  readonly #superseded: SqliteStatement;
  readonly #deleteHistory: SqliteStatement;
  readonly #deleteRevision: SqliteStatement;

  constructor(db: SqliteDatabase, store: KeyStore, state: State) {
    this.#store = store;
    this.#state = state;
    this.#next = db.prepare(
      "SELECT seq, version, key FROM revision WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
    );
    this.#superseded = db.prepare("SELECT seq FROM history WHERE key = ? AND seq < ?");
    this.#deleteHistory = db.prepare("DELETE FROM history WHERE key = ? AND seq < ?");
    this.#deleteRevision = db.prepare("DELETE FROM revision WHERE seq = ?");
  }

  /** Whether a slice would find something to visit. */
  get pending(): boolean {
    return this.#state.compactRevision > 0 && this.#state.compactedSeq < this.#bound();
  }

  /** Visits at most `rowsMax` rows, inside the transaction of the caller. */
  slice(rowsMax: number): CompactionSlice {
    const bound = this.#state.compactRevision > 0 ? this.#bound() : 0;
    const rows = this.#next.all(this.#state.compactedSeq, bound, rowsMax);
    let removed = 0;
    let last = this.#state.compactedSeq;
    for (const row of rows) {
      const [seq, version, key] = row as [number, number, Uint8Array];
      const superseded = this.#superseded.all(key, seq);
      for (const [older] of superseded) removed += this.#deleteRevision.run(older as number);
      if (superseded.length > 0) this.#deleteHistory.run(key, seq);
      if (version === 0) removed += this.#deleteRevision.run(seq);
      last = seq;
    }
    this.#state.compactedSeq = rows.length < rowsMax ? Math.max(last, bound) : last;
    return { visited: rows.length, removed, done: this.#state.compactedSeq >= bound };
  }

  /** Sequence number of the last row below the compact revision. */
  #bound(): number {
    return this.#store.lastSeqOf(this.#state.compactRevision - 1);
  }
}
