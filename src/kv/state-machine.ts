import { assert } from "../base/assert.ts";
import type { MemberChange } from "../base/members.ts";
import { isDiskFull, type SqliteDatabase, type SqliteStatement } from "../base/sqlite.ts";
import { AnswerBudget } from "./answer-budget.ts";
import { type Change, ChangeReader } from "./changes.ts";
import { keyChecksum } from "./checksum.ts";
import { Compaction, type CompactionSlice } from "./compaction.ts";
import { Executor } from "./executor.ts";
import { HashHistory } from "./hash-history.ts";
import { IdempotencyTable } from "./idempotency.ts";
import type { KeyRowLimits } from "./key-rows.ts";
import { KeyStore } from "./key-store.ts";
import { type LeaseReader, LeaseTable } from "./lease-table.ts";
import { MemberTable } from "./member-table.ts";
import { readRange, unreadable } from "./range.ts";
import type { RevisionRow } from "./rows.ts";
import { asDamage, createSchema, openSchema } from "./schema.ts";
import { hashVersion, State, StateTable } from "./state.ts";
import type {
  Batch,
  Command,
  CommandResult,
  KeyValue,
  Membership,
  RangeOperation,
  RangeResult,
  Refused,
} from "./types.ts";
import { verifyKeys } from "./verify.ts";
import { verifyLeases } from "./verify-leases.ts";

/** A committed log entry, decoded. */
export interface AppliedEntry {
  readonly index: number;
  readonly term: number;
  readonly content:
    | { readonly type: "batch"; readonly batch: Batch }
    | { readonly type: "membership"; readonly change: MemberChange }
    | { readonly type: "noop" };
}

/** What became of an entry; the results of a batch stand in the order of its commands. */
export type ApplyOutcome =
  | { readonly type: "batch"; readonly results: readonly CommandResult[] }
  | { readonly type: "membership"; readonly refused?: Refused }
  | { readonly type: "noop" };

/** What the state of a new member begins with. */
export interface InitialState {
  readonly membership: Membership;
  readonly index: number;
  readonly term: number;
}

/**
 * The replicated state machine over state.db: the same entries give the same state, results and
 * hash on every member, however they are grouped into calls. See DESIGN.md beside this file.
 *
 * An error thrown by SQLite rolls the running call back as a whole; the machine then stands where
 * it stood before and may be tried again.
 */
export class StateMachine {
  readonly #db: SqliteDatabase;
  readonly #state: State;
  readonly #stateTable: StateTable;
  readonly #store: KeyStore;
  readonly #members: MemberTable;
  readonly #leases: LeaseTable;
  readonly #executor: Executor;
  readonly #idempotency: IdempotencyTable;
  readonly #compaction: Compaction;
  readonly #changes: ChangeReader;
  readonly #begin: SqliteStatement;
  readonly #beginRead: SqliteStatement;
  readonly #endRead: SqliteStatement;
  readonly #commit: SqliteStatement;
  /** Of the states at agreed indexes, since this machine was opened. */
  readonly hashes = new HashHistory();
  #closed = false;
  /** A transaction of `readTogether` is open. */
  #readOpen = false;
  /** What a rollback leads back to, while a transaction is open. */
  #before: { readonly state: State; readonly membership: Membership } | undefined;
  /** SQLite ended the open transaction by itself, and whoever applies has not been told yet. */
  #lost = false;

  private constructor(db: SqliteDatabase, keyRows?: KeyRowLimits) {
    this.#db = db;
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#beginRead = db.prepare("BEGIN");
    this.#endRead = db.prepare("END");
    this.#commit = db.prepare("COMMIT");
    this.#state = new State();
    this.#stateTable = new StateTable(db);
    this.#store = new KeyStore(db, this.#state, keyRows);
    this.#members = new MemberTable(db, this.#state);
    this.#leases = new LeaseTable(db, this.#state);
    this.#executor = new Executor(this.#store, this.#leases, this.#state);
    this.#idempotency = new IdempotencyTable(db, this.#state);
    this.#compaction = new Compaction(db, this.#store, this.#state);
    this.#changes = new ChangeReader(db, this.#store);
  }

  /**
   * Makes the tables and the first state in an empty database, in one transaction. A member that
   * waits for its first snapshot begins with index 0 and no members.
   */
  static create(db: SqliteDatabase, initial: InitialState, keyRows?: KeyRowLimits): StateMachine {
    db.exec("BEGIN IMMEDIATE");
    try {
      createSchema(db);
      const machine = new StateMachine(db, keyRows);
      machine.#state.clusterId = initial.membership.clusterId;
      machine.#state.appliedIndex = initial.index;
      machine.#state.appliedTerm = initial.term;
      machine.#members.create(initial.membership);
      machine.#stateTable.save(machine.#state);
      db.exec("COMMIT");
      return machine;
    } catch (error) {
      rollback(db);
      throw error;
    }
  }

  /**
   * Opens the state that `create` and `apply` left.
   *
   * @throws CoracleError `storage_damaged` when schema or content are not what they should be.
   */
  static open(db: SqliteDatabase, keyRows?: KeyRowLimits): StateMachine {
    try {
      openSchema(db);
      const machine = new StateMachine(db, keyRows);
      machine.#state.restore(machine.#stateTable.load());
      machine.#members.load();
      return machine;
    } catch (error) {
      throw asDamage(error);
    }
  }

  get appliedIndex(): number {
    return this.#state.appliedIndex;
  }

  get appliedTerm(): number {
    return this.#state.appliedTerm;
  }

  get revision(): number {
    return this.#state.revision;
  }

  /** The oldest revision that can be read; 0 before the first compaction. */
  get compactRevision(): number {
    return this.#state.compactRevision;
  }

  /** The leader's wall clock as the log tells it, milliseconds since 1970; never goes back. */
  get timeMs(): number {
    return this.#state.timeMs;
  }

  /** Live keys. */
  get keyCount(): number {
    return this.#state.keyCount;
  }

  /** The leases as they are now. */
  get leases(): LeaseReader {
    this.#checkHeld();
    return this.#leases;
  }

  membership(): Membership {
    return this.#members.membership;
  }

  confState(): { voters: number[]; learners: number[] } {
    const voters: number[] = [];
    const learners: number[] = [];
    // The table keeps them sorted by id.
    for (const member of this.#members.membership.members)
      (member.learner ? learners : voters).push(member.id);
    return { voters, learners };
  }

  /**
   * Applies entries that follow the last applied one, in one SQLite transaction. With `hold` it stays
   * open for the entries to come, until `commit`: pages that many batches change are then written
   * once. Reads through this machine see what is applied, committed or not.
   *
   * An error leads back to the last commit; `appliedIndex` says which entries are to be applied again.
   * `TransactionLost` may be one of an earlier read: nothing of these entries was applied.
   */
  apply(
    entries: readonly AppliedEntry[],
    options: { readonly hold?: boolean } = {},
  ): readonly ApplyOutcome[] {
    if (entries.length === 0) return [];
    const outcomes = this.#work(() => {
      const applied = entries.map((entry) => this.#applyEntry(entry));
      this.#checkOpen();
      return applied;
    });
    if (options.hold !== true) this.commit();
    return outcomes;
  }

  /** Whether applied entries wait for `commit`. */
  get uncommitted(): boolean {
    return this.#before !== undefined || this.#lost;
  }

  /** Ends the transaction that `apply` held open. An error leads back to the commit before. */
  commit(): void {
    if (!this.uncommitted) return;
    this.#work(() => {
      this.#store.settle();
      this.#stateTable.save(this.#state);
      this.#checkOpen();
      this.#commit.run();
    });
    this.#before = undefined;
  }

  #applyEntry({ index, term, content }: AppliedEntry): ApplyOutcome {
    const state = this.#state;
    assert(index === state.appliedIndex + 1, `entry ${index} applied after entry ${state.appliedIndex}`);
    assert(term >= state.appliedTerm, `entry of term ${term} applied after one of term ${state.appliedTerm}`);
    this.hashes.note(state.appliedIndex, () => `${hashVersion}:${state.hash()}`);
    state.appliedIndex = index;
    state.appliedTerm = term;
    switch (content.type) {
      case "batch": {
        const { timeMs, commands } = content.batch;
        if (timeMs > state.timeMs) state.timeMs = timeMs;
        return { type: "batch", results: commands.map((command) => this.#applyCommand(command)) };
      }
      case "membership": {
        const refused = this.#members.apply(content.change);
        return refused === undefined ? { type: "membership" } : { type: "membership", refused };
      }
      case "noop":
        return { type: "noop" };
    }
  }

  #applyCommand({ body, idempotencyKey }: Command): CommandResult {
    if (idempotencyKey === undefined) return this.#executor.execute(body);
    return this.#idempotency.once(idempotencyKey, body, () => this.#executor.execute(body));
  }

  /**
   * Reads keys.
   *
   * @throws CoracleError `revision_compacted` or `revision_future` when the revision cannot be read,
   *   `storage_damaged` when what is stored is not what was written.
   */
  range(op: RangeOperation): RangeResult {
    const error = unreadable(op.revision, this.#state);
    if (error !== undefined) throw error;
    return this.#reading(() => readRange(op, this.#store, this.#state, false, new AnswerBudget()));
  }

  /**
   * What happened from revision `from` on, in revision order, the rows of one revision together;
   * about `rowsMax` rows and `bytesMax` bytes, none when `from` is in the future.
   *
   * With `standing` the caller vouches that no `compactSlice` ran since `from` was readable: its rows
   * are then read even when they lie below the compact revision.
   *
   * @throws CoracleError `revision_compacted` when `from` lies below the compact revision.
   */
  changes(
    from: number,
    rowsMax: number,
    options: { readonly bytesMax?: number; readonly standing?: boolean } = {},
  ): readonly Change[] {
    if (from > this.#state.revision) return [];
    const error = unreadable(Math.max(from, 1), this.#state);
    if (error !== undefined && options.standing !== true) throw error;
    return this.#reading(() => this.#changes.read(Math.max(from, 1), rowsMax, options.bytesMax));
  }

  /**
   * The key as it was before a change that `changes` told; nothing when it did not exist, or when the
   * revision before is compacted.
   */
  before({ key, modRevision, version, prev }: RevisionRow): KeyValue | undefined {
    if (version === 1 || modRevision - 1 < Math.max(this.#state.compactRevision, 1)) return undefined;
    const past = { key, seq: prev, keyCrc: keyChecksum(key) };
    return this.#reading(() => this.#store.pastKeyValue(past));
  }

  /** Whether `compactSlice` has something to do. */
  get compactionPending(): boolean {
    return this.#compaction.pending;
  }

  /**
   * Removes rows that the replicated compact revision made unreadable, visiting at most `rowsMax`.
   * Local to this member: neither what can be read nor the hash changes. With `hold` it belongs to the
   * transaction that `apply` holds open, or begins one.
   */
  compactSlice(rowsMax: number, options: { readonly hold?: boolean } = {}): CompactionSlice {
    const slice = this.#work(() => {
      this.#idempotency.removeExpired(rowsMax);
      return this.#compaction.slice(rowsMax);
    });
    if (options.hold !== true) this.commit();
    return slice;
  }

  /** Pages of the file, and those of them that hold nothing. */
  pages(): { readonly all: number; readonly free: number } {
    return this.#guarded(() => this.#compaction.pages());
  }

  /**
   * Gives at most `pagesMax` pages that hold nothing back to the file system, by moving the last ones
   * of the file. Local to this member, with `hold` as `compactSlice` has it.
   */
  releaseSlice(pagesMax: number, options: { readonly hold?: boolean } = {}): void {
    this.#work(() => this.#db.exec(`PRAGMA incremental_vacuum(${pagesMax})`));
    if (options.hold !== true) this.commit();
  }

  /**
   * Reads and checks everything stored about keys and leases. Takes time in proportion to the store.
   *
   * @throws CoracleError `storage_damaged` at the first thing that is wrong.
   */
  verify(): void {
    this.#reading(() => {
      this.#store.settle();
      verifyKeys(this.#db, this.#store, this.#state);
      verifyLeases(this.#db, this.#state);
    });
  }

  /** A hash of the logical state at the applied index, for comparison between members. */
  hash(): string {
    return this.#state.hash();
  }

  /** Whether it was closed: nothing can be read any more. */
  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
    try {
      this.commit();
    } catch {
      // Whatever the reason (a full disk), nothing is lost: the log still has those entries.
    }
    this.#db.close();
  }

  /** Runs reads in one transaction, in which each of them takes a third of the time. Throws only what `reads` does. */
  readTogether(reads: () => void): void {
    try {
      if (this.#before === undefined) {
        this.#beginRead.run();
        this.#readOpen = true;
      }
    } catch {
      // Each read begins its own then, and tells what is wrong.
    }
    try {
      reads();
    } finally {
      if (this.#readOpen) this.#endReads();
    }
  }

  #endReads(): void {
    this.#readOpen = false;
    try {
      this.#endRead.run();
    } catch {
      // A statement that failed may have ended it.
      rollback(this.#db);
    }
  }

  /** In one transaction: each statement alone would lock the file and look for news in it anew. */
  #reading<T>(read: () => T): T {
    this.#checkHeld();
    if (this.#before !== undefined || this.#readOpen) return this.#guarded(read);
    try {
      this.#beginRead.run();
      const found = read();
      this.#endRead.run();
      return found;
    } catch (error) {
      rollback(this.#db);
      throw asDamage(error);
    }
  }

  /** A read in the open transaction; it may have to write what waits, which a full disk refuses. */
  #guarded<T>(read: () => T): T {
    const held = this.#before !== undefined;
    try {
      return read();
    } catch (error) {
      if (isDiskFull(error)) rollback(this.#db);
      this.#noticeLoss();
      throw held && isDiskFull(error) ? new TransactionLost() : asDamage(error);
    }
  }

  /** Runs `work` inside the open transaction, or a new one. An error undoes the whole transaction. */
  #work<T>(work: () => T): T {
    this.#noticeLoss();
    if (this.#lost) {
      this.#lost = false;
      throw new TransactionLost();
    }
    const before = this.#before ?? { state: this.#state.copy(), membership: this.#members.membership };
    try {
      if (this.#before === undefined) this.#begin.run();
      this.#before = before;
      return work();
    } catch (error) {
      this.#undo(before);
      rollback(this.#db);
      throw asDamage(error);
    }
  }

  #undo(before: { readonly state: State; readonly membership: Membership }): void {
    this.#before = undefined;
    this.#state.restore(before.state);
    this.#store.forget();
    this.#members.restore(before.membership);
  }

  /** A statement that fails may end the transaction: then what is in memory goes back with it. */
  #noticeLoss(): void {
    if (this.#before === undefined || this.#db.inTransaction) return;
    this.#undo(this.#before);
    this.#lost = true;
  }

  /** @throws TransactionLost when the state turns out to be older than its reader may believe. */
  #checkHeld(): void {
    const known = this.#lost;
    this.#noticeLoss();
    if (this.#lost && !known) throw new TransactionLost();
  }

  #checkOpen(): void {
    if (!this.#db.inTransaction) throw new TransactionLost();
  }
}

/**
 * The open transaction was rolled back because a statement in it failed, by SQLite or here: the state is
 * that of the last commit, and the entries since then can be applied again.
 */
export class TransactionLost extends Error {
  override readonly name = "TransactionLost";

  constructor() {
    super("the open transaction was undone because a statement in it failed");
  }
}

function rollback(db: SqliteDatabase): void {
  try {
    db.exec("ROLLBACK");
  } catch {
    // SQLite has rolled back by itself, as it may when the disk is full.
  }
}
