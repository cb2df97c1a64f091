import type { ErrorCode } from "../base/errors.ts";
import type { Int64 } from "../base/int64.ts";
import type { MemberChange, MemberRecord } from "../base/members.ts";

/**
 * Commands, requests and results of the replicated state machine. Keys and values are bytes.
 * Words are etcd's: a revision is store-wide, `version` counts the puts of one key's life.
 */

/**
 * A lease's id, an int64 as in etcd; 0 names none. Canonical: a number when it is a safe integer, else
 * a bigint, so that `===`, `<` and the keys of a `Map` work on both. Ids that coracle chooses are safe.
 */
export type LeaseId = Int64;

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** Lease id, 0 for none. */
  readonly lease: LeaseId;
}

/** `end` absent: the one key. `null`: every key from `key` on. Else the keys in [key, end). */
export interface KeyRange {
  readonly key: Uint8Array;
  readonly end?: Uint8Array | null;
}

export interface PutOperation {
  readonly type: "put";
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly lease: LeaseId;
  /** Answer with the key as it was. */
  readonly previous: boolean;
  /** Keep the value (etcd `ignore_value`); refused with `not_found` when there is no such key. */
  readonly keepValue?: boolean;
  /** Keep the lease (etcd `ignore_lease`). */
  readonly keepLease?: boolean;
}

export interface DeleteOperation extends KeyRange {
  readonly type: "delete";
  readonly previous: boolean;
}

export type SortTarget = "key" | "version" | "create" | "mod" | "value";

export interface RangeOperation extends KeyRange {
  readonly type: "range";
  /** 0: as of now. */
  readonly revision: number;
  /** Most keys to return, 0 for no limit. */
  readonly limit: number;
  readonly sort?: { readonly target: SortTarget; readonly descending: boolean };
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  /**
   * For reads outside of the log: `count` need not be more than the keys given. Counting those behind
   * a limit costs a scan of all of them.
   */
  readonly uncounted?: boolean;
  /** Filters on single keys; 0 or absent for none. They do not change `count`. */
  readonly minModRevision?: number;
  readonly maxModRevision?: number;
  readonly minCreateRevision?: number;
  readonly maxCreateRevision?: number;
}

export type CompareTarget = "version" | "create" | "mod" | "lease" | "value";
export type CompareResult = "equal" | "not-equal" | "greater" | "less";

/** Holds when every key of the range compares so. A missing single key compares as 0, its value never. */
export interface Compare extends KeyRange {
  readonly target: CompareTarget;
  readonly result: CompareResult;
  /** An integer of 64 bits in its canonical form, or for `value` the bytes. */
  readonly operand: Int64 | Uint8Array;
}

export interface TxnOperation {
  readonly type: "txn";
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export type Operation = PutOperation | DeleteOperation | RangeOperation | TxnOperation;

/** What a client proposes. A conditional put or delete is a transaction. */
export type CommandBody =
  | PutOperation
  | DeleteOperation
  | TxnOperation
  /** Make revisions below this one unreadable. */
  | { readonly type: "compact"; readonly revision: number }
  | LeaseCommand;

export type LeaseCommand =
  /** Refused with `lease_exists` for an id in use. */
  | { readonly type: "lease-grant"; readonly id: LeaseId; readonly ttlSeconds: number }
  /**
   * Ends a lease: its keys are deleted, in key order, at one revision. With `term` it is the leader of
   * that term that found its time to be over: refused with `not_proposed` in an entry of another term.
   */
  | { readonly type: "lease-revoke"; readonly id: LeaseId; readonly term?: number }
  /**
   * What is left of leases by the clock of the leader of `term`, so that the next one does not give
   * them all of their time again. Refused with `not_proposed` in an entry of another term.
   */
  | {
      readonly type: "lease-checkpoint";
      readonly term: number;
      readonly leases: readonly { readonly id: LeaseId; readonly remainingSeconds: number }[];
    };

export interface Command {
  readonly body: CommandBody;
  /** The client's `Idempotency-Key`: a command seen before is not applied again, its answer is given again. */
  readonly idempotencyKey?: string;
}

export interface PutResult {
  readonly type: "put";
  readonly revision: number;
  readonly previous?: KeyValue;
  /** Key-values are left out: they would pass `limits.answerBytesMax`, or the answer was too long to remember. */
  readonly abridged?: true;
}
export interface DeleteResult {
  readonly type: "delete";
  readonly revision: number;
  readonly deleted: number;
  /** In key order; empty unless asked for. */
  readonly previous: readonly KeyValue[];
  /** Key-values are left out: they would pass `limits.answerBytesMax`, or the answer was too long to remember. */
  readonly abridged?: true;
}
export interface RangeResult {
  readonly type: "range";
  /** The store's revision when it was read. */
  readonly revision: number;
  readonly keys: readonly KeyValue[];
  /** Keys in the range, whatever limit and filters say. */
  readonly count: number;
  /** More keys stand behind the limit, or behind `limits.answerBytesMax`. */
  readonly more: boolean;
  /** Key-values are left out: they would pass `limits.answerBytesMax`, or the answer was too long to remember. */
  readonly abridged?: true;
}
export interface TxnResult {
  readonly type: "txn";
  readonly revision: number;
  readonly succeeded: boolean;
  readonly responses: readonly OperationResult[];
}
export type OperationResult = PutResult | DeleteResult | RangeResult | TxnResult;

/** The state machine says no; the state is as before. The same on every member. */
export interface Refused {
  readonly type: "refused";
  readonly code: ErrorCode;
  readonly message: string;
}

export type CommandResult =
  | OperationResult
  | { readonly type: "compact"; readonly revision: number }
  | LeaseResult
  | Refused;

export type LeaseResult =
  | {
      readonly type: "lease-grant";
      readonly revision: number;
      readonly id: LeaseId;
      readonly ttlSeconds: number;
    }
  /** `deleted` counts the keys that hung on the lease. */
  | { readonly type: "lease-revoke"; readonly revision: number; readonly deleted: number }
  | { readonly type: "lease-checkpoint"; readonly revision: number };

/** The content of a `normal` log entry: what one event-loop turn of the leader collected. */
export interface Batch {
  /** The leader's wall clock, milliseconds since 1970; the state machine never lets it go back. */
  readonly timeMs: number;
  readonly commands: readonly Command[];
}

/** The content of a `confChange` log entry. */
export interface MembershipCommand {
  readonly change: MemberChange;
}

/** The membership as the applied log says. */
export interface Membership {
  readonly clusterId: number;
  readonly members: readonly MemberRecord[];
  /** Ids that were removed; they are never admitted again. */
  readonly removed: readonly number[];
}
