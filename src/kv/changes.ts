import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import type { KeyStore } from "./key-store.ts";
import { parseRevisionRow, type RevisionRow, revisionColumns } from "./rows.ts";

/** What one revision changed, in the order of its operations. A row of version 0 is a delete. */
export interface Change {
  readonly revision: number;
  readonly rows: readonly RevisionRow[];
}

/** Rows that are read at once: with the longest values they must not fill the memory. */
const portionRows = 64;

/** Reads what happened, in revision order: what a watch is fed from. */
export class ChangeReader {
  readonly #store: KeyStore;
  readonly #rows: SqliteStatement;

  constructor(db: SqliteDatabase, store: KeyStore) {
    this.#store = store;
    this.#rows = db.prepare(
      `SELECT ${revisionColumns}, seq FROM revision WHERE seq > ? ORDER BY seq LIMIT ?`,
    );
  }

  /**
   * The changes from revision `from` on, which must be readable or the one after the newest. About
   * `rowsMax` rows and `bytesMax` bytes: the rows of one revision are never torn apart.
   */
  read(from: number, rowsMax: number, bytesMax = Number.POSITIVE_INFINITY): Change[] {
    const changes: { revision: number; rows: RevisionRow[] }[] = [];
    let after = this.#store.lastSeqOf(from - 1);
    let count = 0;
    let bytes = 0;
    const portion = Math.min(rowsMax, portionRows);
    for (;;) {
      const rows = this.#rows.all(after, portion);
      for (const row of rows) {
        const parsed = parseRevisionRow(row.at(-1) as number, row);
        const current = changes.at(-1);
        if (current?.revision === parsed.modRevision) current.rows.push(parsed);
        else if (count >= rowsMax || bytes >= bytesMax) return changes;
        else changes.push({ revision: parsed.modRevision, rows: [parsed] });
        count++;
        bytes += parsed.key.length + parsed.value.length;
        after = parsed.seq;
      }
      if (rows.length < portion) return changes;
    }
  }
}
