import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import { addNumber } from "./checksum.ts";
import { damaged } from "./schema.ts";

const columns = [
  "cluster_id",
  "applied_index",
  "applied_term",
  "revision",
  "compact_revision",
  "time_ms",
  "seq",
  "key_count",
  "key_sum",
  "chain_a",
  "chain_b",
  "idempotency_number",
  "compacted_seq",
  "lease_count",
  "lease_sum",
] as const;

/** Keeps the sum of key checksums an exact integer. */
const sumModulus = 2 ** 52;

/**
 * How `hash` is made: raised with every change of what it takes in, of `chain` and of the checksums.
 * Members of different releases then know that their hashes say nothing about each other.
 */
export const hashVersion = 1;

/**
 * The numbers that stand beside the tables: one row of `meta`, held in memory while the member
 * runs. Whoever changes them inside a transaction restores them when the transaction fails.
 */
export class State {
  clusterId = 0;
  /** Index and term of the last applied entry. */
  appliedIndex = 0;
  appliedTerm = 0;
  /** The store's revision: 1 when empty, one more for each command that changed keys. */
  revision = 1;
  /** Revisions below this one cannot be read; 0 before the first compaction. */
  compactRevision = 0;
  /** The leader's clock as the log tells it; never goes back. */
  timeMs = 0;
  /** Sequence number of the last row of `revision`. */
  seq = 0;
  /** Live keys. */
  keyCount = 0;
  /** Sum of the checksums of all rows of `key`, modulo 2^52. */
  keySum = 0;
  /** Two lanes of a hash over every change since the store began. */
  chainA = 0x243f_6a88;
  chainB = 0x85a3_08d3;
  /** Number of the last row of `idempotency`. */
  idempotencyNumber = 0;
  /** Local, not replicated: physical compaction has visited the rows up to this one. */
  compactedSeq = 0;
  /** Leases that have not ended. */
  leaseCount = 0;
  /** Sum of the checksums of all rows of `lease`, modulo 2^52. */
  leaseSum = 0;

  copy(): State {
    return Object.assign(new State(), this);
  }

  restore(from: State): void {
    Object.assign(this, from);
  }

  addKey(checksum: number): void {
    this.keyCount++;
    this.keySum = (this.keySum + checksum) % sumModulus;
  }

  removeKey(checksum: number): void {
    this.keyCount--;
    this.keySum = (this.keySum - checksum + sumModulus) % sumModulus;
  }

  replaceKey(before: number, after: number): void {
    this.keySum = (this.keySum - before + after + sumModulus) % sumModulus;
  }

  addLease(checksum: number): void {
    this.leaseCount++;
    this.leaseSum = (this.leaseSum + checksum) % sumModulus;
  }

  removeLease(checksum: number): void {
    this.leaseCount--;
    this.leaseSum = (this.leaseSum - checksum + sumModulus) % sumModulus;
  }

  replaceLease(before: number, after: number): void {
    this.leaseSum = (this.leaseSum - before + after + sumModulus) % sumModulus;
  }

  /** Adds a change, by the checksum of its row, to the hash over all changes. */
  chain(checksum: number): void {
    this.chainA = addNumber(checksum, this.chainA);
    this.chainB = addNumber(this.chainA, this.chainB ^ checksum);
  }

  /** The columns of `meta`, in the order of its statement. */
  values(): number[] {
    return [
      this.clusterId,
      this.appliedIndex,
      this.appliedTerm,
      this.revision,
      this.compactRevision,
      this.timeMs,
      this.seq,
      this.keyCount,
      this.keySum,
      this.chainA,
      this.chainB,
      this.idempotencyNumber,
      this.compactedSeq,
      this.leaseCount,
      this.leaseSum,
    ];
  }

  /**
   * A hash of what the log made of the store: equal on all members that applied the same entries.
   * It leaves out what is local (applied index, progress of physical compaction).
   */
  hash(): string {
    const { revision, compactRevision, timeMs, keyCount, keySum, chainA, chainB } = this;
    let low = chainA;
    for (const part of [revision, compactRevision, timeMs, keyCount, this.leaseCount, this.leaseSum])
      low = addNumber(part, low);
    const high = addNumber(keySum, addNumber(low, chainB));
    return low.toString(16).padStart(8, "0") + high.toString(16).padStart(8, "0");
  }
}

function checksumOf(values: readonly number[]): number {
  let checksum = 0;
  for (const value of values) checksum = addNumber(value, checksum);
  return checksum;
}

/** Loads and saves the row of `meta`. */
export class StateTable {
  readonly #save: SqliteStatement;
  readonly #load: SqliteStatement;

  constructor(db: SqliteDatabase) {
    this.#save = db.prepare(
      `INSERT OR REPLACE INTO meta (id, ${columns.join(", ")}, checksum)
       VALUES (1, ${columns.map(() => "?").join(", ")}, ?)`,
    );
    this.#load = db.prepare(`SELECT ${columns.join(", ")}, checksum FROM meta WHERE id = 1`);
  }

  save(state: State): void {
    const values = state.values();
    const checksum = checksumOf(values);
    values.push(checksum);
    this.#save.run(...values);
  }

  /** @throws CoracleError `storage_damaged` when the row is missing or not as it was written. */
  load(): State {
    const row = this.#load.get() as number[] | undefined;
    if (row === undefined) throw damaged("state.db has no row in meta");
    if (checksumOf(row.slice(0, -1)) !== row.at(-1))
      throw damaged("The checksum of meta in state.db is wrong");
    const [clusterId, appliedIndex, appliedTerm, revision, compactRevision, timeMs, seq] = row;
    const [keyCount, keySum, chainA, chainB, idempotencyNumber, compactedSeq, leaseCount, leaseSum] =
      row.slice(7);
    return Object.assign(new State(), {
      ...{ clusterId, appliedIndex, appliedTerm, revision, compactRevision, timeMs, seq },
      ...{ keyCount, keySum, chainA, chainB, idempotencyNumber, compactedSeq, leaseCount, leaseSum },
    });
  }
}
