import type { SqliteDatabase } from "../base/sqlite.ts";
import { historyRowChecksum, keyChecksum } from "./checksum.ts";
import { type KeyStore, parseKeyRow, parseRevisionRow } from "./key-store.ts";
import { damaged } from "./schema.ts";
import { State } from "./state.ts";

const portion = 1000;

/**
 * Reads all keys of all revisions and checks every checksum, that rows of `key` and `history` have
 * their rows of `revision`, and that the keys are the ones that the log left: a lost key shows too.
 * Takes time in proportion to the store: for a snapshot that arrived, or for a member under suspicion.
 *
 * @throws CoracleError `storage_damaged` at the first thing that is wrong.
 */
export function verifyKeys(db: SqliteDatabase, store: KeyStore, state: State): void {
  const found = new State();
  const keyRows = db.prepare(
    `SELECT key, seq, create_revision, mod_revision, version, lease, checksum
     FROM key WHERE key > ? ORDER BY key LIMIT ${portion}`,
  );
  let key: Uint8Array = new Uint8Array(0);
  for (let rows = keyRows.all(key); rows.length > 0; rows = keyRows.all(key)) {
    for (const row of rows) {
      const parsed = parseKeyRow(row);
      store.keyValue(parsed);
      found.addKey(parsed.checksum);
      key = parsed.key;
    }
  }
  if (found.keyCount !== state.keyCount || found.keySum !== state.keySum) {
    throw damaged(
      `state.db has ${found.keyCount} keys that are not the ${state.keyCount} keys it was left with`,
    );
  }

  const historyRows = db.prepare(
    `SELECT key, seq, until, checksum FROM history WHERE (key, seq) > (?, ?) ORDER BY key, seq LIMIT ${portion}`,
  );
  let seq = 0;
  key = new Uint8Array(0);
  for (let rows = historyRows.all(key, seq); rows.length > 0; rows = historyRows.all(key, seq)) {
    for (const row of rows) {
      const [rowKey, rowSeq, until, checksum] = row as [Uint8Array, number, number, number];
      if (historyRowChecksum(keyChecksum(rowKey), rowSeq, until) !== checksum) {
        throw damaged(`The checksum of a history row in state.db is wrong (row ${rowSeq})`);
      }
      store.revision(rowSeq);
      key = rowKey;
      seq = rowSeq;
    }
  }

  const revisionRows = db.prepare(
    `SELECT mod_revision, create_revision, version, lease, checksum, key, value, seq
     FROM revision WHERE seq > ? ORDER BY seq LIMIT ${portion}`,
  );
  seq = state.compactedSeq;
  // Above `compactedSeq` no row may be missing.
  for (let rows = revisionRows.all(seq); rows.length > 0; rows = revisionRows.all(seq)) {
    for (const row of rows) {
      if (row[7] !== seq + 1) throw damaged(`state.db lacks the revision row ${seq + 1}`);
      parseRevisionRow(++seq, row);
    }
  }
  if (seq !== state.seq) throw damaged(`state.db lacks the revision row ${seq + 1}`);
}
