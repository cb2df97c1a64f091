import type { SqliteDatabase } from "../base/sqlite.ts";
import { parseLease } from "./lease-table.ts";
import { damaged } from "./schema.ts";
import { State } from "./state.ts";

const portion = 1000;

/**
 * Checks every lease, that they are the ones that the log left, and that the list of their keys says
 * what the keys say.
 *
 * @throws CoracleError `storage_damaged` at the first thing that is wrong.
 */
export function verifyLeases(db: SqliteDatabase, state: State): void {
  const found = new State();
  for (const row of db.prepare("SELECT id, ttl_seconds, remaining_seconds, checksum FROM lease").iterate())
    found.addLease(parseLease(row).checksum);
  if (found.leaseCount !== state.leaseCount || found.leaseSum !== state.leaseSum) {
    throw damaged(
      `state.db has ${found.leaseCount} leases that are not the ${state.leaseCount} leases it was left with`,
    );
  }
  verifyKeysOfLeases(db);
}

/** Every key with a lease is listed under it, and nothing else is listed. */
function verifyKeysOfLeases(db: SqliteDatabase): void {
  const listed = db.prepare("SELECT 1 FROM lease_key WHERE lease = ? AND key = ?");
  const exists = db.prepare("SELECT 1 FROM lease WHERE id = ?");
  const next = db.prepare(
    `SELECT key, lease FROM key WHERE key > ? AND lease != 0 ORDER BY key LIMIT ${portion}`,
  );
  let count = 0;
  let after: Uint8Array = new Uint8Array(0);
  for (let rows = next.all(after); rows.length > 0; rows = next.all(after)) {
    for (const row of rows) {
      const [key, lease] = row as [Uint8Array, number | Uint8Array];
      if (exists.get(lease) === undefined) throw damaged("A key in state.db has a lease that does not exist");
      if (listed.get(lease, key) === undefined)
        throw damaged("A key in state.db is not listed under its lease");
      count++;
      after = key;
    }
  }
  const all = db.prepare("SELECT count(*) FROM lease_key").get()?.[0];
  if (all !== count) throw damaged(`state.db lists ${all} keys under leases, where ${count} keys have one`);
}
