import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import type { KeyStore } from "./key-store.ts";
import { linkColumns, parseLinkRow } from "./rows.ts";
import { damaged } from "./schema.ts";
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
 * they were written, up to the last one below the compact revision. A visited row makes the row before
 * it in its chain unneeded; a visited tombstone is itself unneeded. Each row is visited once in its
 * life, so the work is spread evenly over the writes, and nothing is searched for.
 *
 * Rows of the compact revision itself stay, tombstones too: a reader of changes may begin there.
 */
export class Compaction {
  readonly #store: KeyStore;
  readonly #state: State;
  readonly #next: SqliteStatement;
  readonly #keyOf: SqliteStatement;
  readonly #deleteTombstone: SqliteStatement;
  readonly #deleteRevision: SqliteStatement;
  readonly #allPages: SqliteStatement;
  readonly #freePages: SqliteStatement;

  constructor(db: SqliteDatabase, store: KeyStore, state: State) {
    this.#store = store;
    this.#state = state;
    this.#next = db.prepare(
      `SELECT ${linkColumns}, seq FROM revision WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
    );
    this.#keyOf = db.prepare("SELECT key FROM revision WHERE seq = ?");
    this.#deleteTombstone = db.prepare("DELETE FROM tombstone WHERE key = ? AND seq = ?");
    this.#deleteRevision = db.prepare("DELETE FROM revision WHERE seq = ?");
    this.#allPages = db.prepare("PRAGMA page_count");
    this.#freePages = db.prepare("PRAGMA freelist_count");
  }

  /** Whether a slice would find something to visit. */
  get pending(): boolean {
    return this.#state.compactRevision > 0 && this.#state.compactedSeq < this.#bound();
  }

  pages(): { readonly all: number; readonly free: number } {
    return { all: Number(this.#allPages.get()?.[0]), free: Number(this.#freePages.get()?.[0]) };
  }

  /** Visits at most `rowsMax` rows, inside the transaction of the caller. */
  slice(rowsMax: number): CompactionSlice {
    const bound = this.#state.compactRevision > 0 ? this.#bound() : 0;
    const rows = this.#next.all(this.#state.compactedSeq, bound, rowsMax);
    const unneeded: number[] = [];
    let tombstones = false;
    let last = this.#state.compactedSeq;
    for (const row of rows) {
      const { seq, version, prev } = parseLinkRow(row.at(-1) as number, row);
      // Before a row of version 1 there is nothing, or a tombstone, which went when it was visited.
      if (version !== 1) unneeded.push(prev);
      if (version === 0) {
        tombstones = true;
        // Unless the key was made anew: then its chain goes on in `key`.
        this.#deleteTombstone.run(this.#keyOf.get(seq)?.[0] as Uint8Array, seq);
        unneeded.push(seq);
      }
      last = seq;
    }
    // Rows that stand beside each other go together.
    for (const seq of unneeded.sort((a, b) => a - b)) {
      if (this.#deleteRevision.run(seq) !== 1) throw damaged(`state.db lacks the revision row ${seq}`);
    }
    if (tombstones) this.#store.lookForTombstones();
    this.#state.compactedSeq = rows.length < rowsMax ? Math.max(last, bound) : last;
    return {
      visited: rows.length,
      removed: unneeded.length,
      done: this.#state.compactedSeq >= bound,
    };
  }

  /** Sequence number of the last row below the compact revision. */
  #bound(): number {
    return this.#store.lastSeqOf(this.#state.compactRevision - 1);
  }
}
