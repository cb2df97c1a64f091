import { packInt64, unpackInt64 } from "../base/int64.ts";
import type { SqliteDatabase, SqliteStatement, SqlValue } from "../base/sqlite.ts";
import { addInt64, addNumber } from "./checksum.ts";
import { damaged } from "./schema.ts";
import type { State } from "./state.ts";
import type { LeaseId } from "./types.ts";

/** A lease as the log knows it. Deadlines are the leader's matter: no clock is looked at here. */
export interface Lease {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  /** What a leader that begins now has to give it at least: the TTL, unless a checkpoint said less. */
  readonly remainingSeconds: number;
}

/** A lease that was granted, or ended. What is undone later is not told back: look it up. */
export interface LeaseChange {
  readonly id: LeaseId;
  readonly granted: boolean;
}

/** What others may do with the leases of a state machine. */
export type LeaseReader = Pick<LeaseTable, "count" | "get" | "list" | "keys" | "record" | "takeChanges">;

/** What `chain` is told of, so that equal numbers of different changes differ. */
const mark = { grant: 0x6c65_6167, revoke: 0x6c65_6172, checkpoint: 0x6c65_6163 } as const;

/** Keys that are read at once while their lease ends: with the longest ones, 8 MiB. */
const portionRows = 256;

/**
 * Leases and which keys hang on them, over the tables `lease` and `lease_key`. Keys without a lease
 * cost nothing here.
 */
export class LeaseTable {
  readonly #state: State;
  readonly #get: SqliteStatement;
  readonly #exists: SqliteStatement;
  readonly #first: SqliteStatement;
  readonly #next: SqliteStatement;
  readonly #save: SqliteStatement;
  readonly #delete: SqliteStatement;
  readonly #attach: SqliteStatement;
  readonly #detach: SqliteStatement;
  readonly #detachAll: SqliteStatement;
  readonly #keys: SqliteStatement;
  #changes: LeaseChange[] | undefined;

  constructor(db: SqliteDatabase, state: State) {
    this.#state = state;
    const columns = "id, ttl_seconds, remaining_seconds, checksum";
    this.#get = db.prepare(`SELECT ${columns} FROM lease WHERE id = ?`);
    this.#exists = db.prepare("SELECT 1 FROM lease WHERE id = ?");
    this.#first = db.prepare(`SELECT ${columns} FROM lease ORDER BY id LIMIT ?`);
    this.#next = db.prepare(`SELECT ${columns} FROM lease WHERE id > ? ORDER BY id LIMIT ?`);
    this.#save = db.prepare("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)");
    this.#delete = db.prepare("DELETE FROM lease WHERE id = ?");
    this.#attach = db.prepare("INSERT INTO lease_key VALUES (?, ?)");
    this.#detach = db.prepare("DELETE FROM lease_key WHERE lease = ? AND key = ?");
    this.#detachAll = db.prepare("DELETE FROM lease_key WHERE lease = ?");
    this.#keys = db.prepare("SELECT key FROM lease_key WHERE lease = ? AND key > ? ORDER BY key LIMIT ?");
  }

  /** Leases that have not ended. */
  get count(): number {
    return this.#state.leaseCount;
  }

  get(id: LeaseId): Lease | undefined {
    const row = this.#get.get(packInt64(id));
    return row === undefined ? undefined : parseLease(row).lease;
  }

  has(id: LeaseId): boolean {
    return this.#exists.get(packInt64(id)) !== undefined;
  }

  /** Leases after the one named, in the order of the table: each has its place, whatever else comes and goes. */
  list(after: LeaseId | undefined, rowsMax: number): Lease[] {
    const rows = after === undefined ? this.#first.all(rowsMax) : this.#next.all(packInt64(after), rowsMax);
    return rows.map((row) => parseLease(row).lease);
  }

  // Writing, inside the transaction of the caller.

  grant(id: LeaseId, ttlSeconds: number): void {
    const lease = { id, ttlSeconds, remainingSeconds: ttlSeconds };
    const checksum = leaseChecksum(lease);
    this.#write(lease, checksum);
    this.#state.addLease(checksum);
    this.#state.chain(addNumber(mark.grant, checksum));
    this.#changes?.push({ id, granted: true });
  }

  /** Records what is left of a lease. One that ended meanwhile is passed over. */
  checkpoint(id: LeaseId, remainingSeconds: number): void {
    const row = this.#get.get(packInt64(id));
    if (row === undefined) return;
    const { lease: before, checksum: replaced } = parseLease(row);
    const lease = { ...before, remainingSeconds: Math.min(remainingSeconds, before.ttlSeconds) };
    const checksum = leaseChecksum(lease);
    this.#write(lease, checksum);
    this.#state.replaceLease(replaced, checksum);
    this.#state.chain(addNumber(mark.checkpoint, checksum));
  }

  /** Removes a lease, after its keys in key order. Gives the number of keys, or nothing when there is no lease. */
  remove(id: LeaseId, removeKey: (key: Uint8Array) => void): number | undefined {
    const packed = packInt64(id);
    const row = this.#get.get(packed);
    if (row === undefined) return undefined;
    const { checksum } = parseLease(row);
    let count = 0;
    for (const key of this.keys(id)) {
      removeKey(key);
      count++;
    }
    if (count > 0) this.#detachAll.run(packed);
    this.#delete.run(packed);
    this.#state.removeLease(checksum);
    this.#state.chain(addNumber(mark.revoke, checksum));
    this.#changes?.push({ id, granted: false });
    return count;
  }

  /** A key has another lease than before; 0 stands for none. */
  move(key: Uint8Array, from: LeaseId, to: LeaseId): void {
    if (from === to) return;
    if (from !== 0) this.#detach.run(packInt64(from), key);
    if (to !== 0) this.#attach.run(packInt64(to), key);
  }

  /** The keys of a lease in key order, read in portions. */
  *keys(id: LeaseId): Generator<Uint8Array> {
    const packed = packInt64(id);
    let after: Uint8Array = new Uint8Array(0);
    for (;;) {
      const rows = this.#keys.all(packed, after, portionRows);
      for (const [key] of rows) {
        after = key as Uint8Array;
        yield after;
      }
      if (rows.length < portionRows) return;
    }
  }

  #write({ id, ttlSeconds, remainingSeconds }: Lease, checksum: number): void {
    this.#save.run(packInt64(id), ttlSeconds, remainingSeconds, checksum);
  }

  // Telling what changed, to whoever keeps the deadlines.

  /** From now on, changes are kept for `takeChanges`; or no longer. */
  record(on: boolean): void {
    this.#changes = on ? [] : undefined;
  }

  takeChanges(): readonly LeaseChange[] {
    return this.#changes === undefined || this.#changes.length === 0 ? none : this.#changes.splice(0);
  }
}

const none: readonly LeaseChange[] = [];

/** The checksum of a row of `lease`. */
export function leaseChecksum({ id, ttlSeconds, remainingSeconds }: Lease): number {
  return addNumber(remainingSeconds, addNumber(ttlSeconds, addInt64(id, 0)));
}

/** @throws CoracleError `storage_damaged` when the row is not as it was written. */
export function parseLease(row: readonly SqlValue[]): { readonly lease: Lease; readonly checksum: number } {
  const [packed, ttlSeconds, remainingSeconds, checksum] = row as [SqlValue, number, number, number];
  const id = unpackInt64(packed);
  const lease = { id: id ?? 0, ttlSeconds, remainingSeconds };
  if (id === undefined || leaseChecksum(lease) !== checksum)
    throw damaged("The checksum of a lease in state.db is wrong");
  return { lease, checksum };
}
