import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import { type KeyStore, parseRevisionRow, type RevisionRow } from "./key-store.ts";

/** What one revision changed, in the order of its operations. A row of version 0 is a delete. */
export interface Change {
  readonly revision: number;
  readonly rows: readonly RevisionRow[];
}

/** Reads what happened, in revision order: what a watch is fed from. */
export class ChangeReader {
  readonly #store: KeyStore;
  readonly #rows: SqliteStatement;

  constructor(db: SqliteDatabase, store: KeyStore) {
    this.#store = store;
    this.#rows = db.prepare(
      `SELECT mod_revision, create_revision, version, lease, checksum, key, value, seq
       FROM revision WHERE seq > ? ORDER BY seq LIMIT ?`,
    );
  }

  /**
   * The changes from revision `from` on, which must be readable or the one after the newest. About
   * `rowsMax` rows: the rows of one revision are never torn apart.
   */
  read(from: number, rowsMax: number): Change[] {
    const changes: { revision: number; rows: RevisionRow[] }[] = [];
    let after = this.#store.lastSeqOf(from - 1);
    let count = 0;
    for (;;) {
      const rows = this.#rows.all(after, rowsMax);
      for (const row of rows) {
        const parsed = parseRevisionRow(row[7] as number, row);
        const current = changes.at(-1);
        if (current?.revision === parsed.modRevision) current.rows.push(parsed);
        else if (count >= rowsMax) return changes;
        else changes.push({ revision: parsed.modRevision, rows: [parsed] });
        count++;
        after = parsed.seq;
      }
      if (rows.length < rowsMax) return changes;
    }
  }
}
