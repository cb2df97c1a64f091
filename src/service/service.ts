import type { CoracleError } from "../base/errors.ts";
import type { MemberRecord } from "../base/members.ts";
import type {
  Command,
  CommandResult,
  KeyRange,
  KeyValue,
  LeaseId,
  RangeOperation,
  RangeResult,
} from "../kv/types.ts";

/**
 * What the HTTP and gRPC faces need from a member. `node/` implements it; tests use a fake.
 * Methods throw `CoracleError`; its code tells "not proposed" (`no_leader`, `not_proposed`,
 * `overloaded`, `quota_exceeded`, `shutting_down`), "outcome unknown" (`outcome_unknown`) and
 * "refused" (all others) apart.
 */
export interface Service {
  readonly kv: KvService;
  readonly leases: LeaseService;
  readonly watches: WatchService;
  readonly maintenance: MaintenanceService;
  readonly cluster: ClusterService;
}

export type Consistency =
  | { readonly mode: "linearizable" }
  /** This member's own state, however old; with `maxStaleMs` no older than that. */
  | { readonly mode: "serializable"; readonly maxStaleMs?: number };

export interface KvService {
  /** Proposes a command and resolves when it is applied. A result of type `refused` is thrown instead. */
  propose(command: Command): Promise<Exclude<CommandResult, { type: "refused" }>>;
  /**
   * Reads keys. `admit` is called right before the store is read, when all waiting is over: what it throws
   * refuses the read.
   */
  range(request: RangeOperation, consistency: Consistency, admit?: () => void): Promise<RangeResult>;
}

export interface LeaseService {
  /**
   * Grants a lease; id 0 asks for one. The TTL is raised to the smallest one allowed. Throws
   * `lease_exists`, or `invalid_argument` for a TTL over the limit. With an idempotency key a repetition
   * gets the lease that was granted first.
   */
  grant(
    id: LeaseId,
    ttlSeconds: number,
    idempotencyKey?: string,
  ): Promise<{ readonly id: LeaseId; readonly ttlSeconds: number; readonly revision: number }>;
  /** Ends a lease: its keys are deleted, in key order, at one revision. Throws `lease_not_found`. */
  revoke(id: LeaseId, idempotencyKey?: string): Promise<{ readonly revision: number }>;
  /** Renews a lease, through the leader, which has confirmed that it leads. Throws `lease_not_found`. */
  keepAlive(id: LeaseId): Promise<{ readonly ttlSeconds: number }>;
  /** Throws `lease_not_found`. */
  timeToLive(id: LeaseId, withKeys: boolean): Promise<LeaseStatus>;
  /** The ids of all leases, in the order of their ids. */
  list(): Promise<readonly LeaseId[]>;
}

export interface LeaseStatus {
  readonly id: LeaseId;
  /** What is left, not rounded. */
  readonly remainingSeconds: number;
  readonly grantedSeconds: number;
  /** In key order; empty unless asked for. */
  readonly keys: readonly Uint8Array[];
}

export interface WatchRequest extends KeyRange {
  /**
   * The first revision whose events are wanted; it may lie in the future. 0: those after the store's
   * revision now. Below the compact revision, or negative: the watch opens, and then ends with
   * `revision_compacted`.
   */
  readonly startRevision: number;
  /** With each event the key as it was before it, unless that is compacted. */
  readonly previous?: boolean;
  readonly withoutPuts?: boolean;
  readonly withoutDeletes?: boolean;
}

/**
 * Of a deleted key `keyValue` has only the key and the revision of the deletion. Watches of one range
 * are given the same objects: what a face makes of an event or a batch it may keep by identity.
 */
export interface WatchEvent {
  readonly type: "put" | "delete";
  readonly keyValue: KeyValue;
  readonly previous?: KeyValue;
}

/** Events of one or more whole revisions, in the order in which they happened. */
export interface WatchBatch {
  /** Never empty. */
  readonly events: readonly WatchEvent[];
  /** Every event up to this revision has been delivered with this batch or before it. */
  readonly revision: number;
}

export interface WatchReceiver {
  /**
   * Called never from inside `open` or `resume`. Takes the batch in any case; returns false when it
   * wants no more until `Watch.resume`.
   */
  receive(batch: WatchBatch): boolean;
  /**
   * The watch ends: `revision_compacted` (details: `compact_revision`), or `shutting_down`. Called
   * never from inside `open`; nothing comes after it.
   */
  ended(error: CoracleError): void;
}

export interface Watch {
  /** The store's revision when the watch was opened. */
  readonly storeRevision: number;
  /** No event up to this revision will come: `storeRevision`, or the one before an earlier start. */
  readonly openedRevision: number;
  /**
   * Every event up to this revision has been given to the receiver. It rises also when nothing
   * matches, so it is what a bookmark may say.
   */
  readonly deliveredRevision: number;
  /** Ends the watch without a call of `ended`. */
  cancel(): void;
  resume(): void;
}

export interface WatchService {
  /** The oldest revision that a watch may start at; 0 before the first compaction. */
  readonly compactRevision: number;
  /**
   * Watches this member's applied state: it may be a little behind the leader's. Throws
   * `invalid_argument` for a range that can hold no key, `overloaded` for a watch too many,
   * `shutting_down`.
   */
  open(request: WatchRequest, receiver: WatchReceiver): Watch;
}

export interface MaintenanceService {
  /** An unsigned number of 32 bits that is the same on all members that have applied as much. */
  hash(): Promise<{ readonly hash: number; readonly revision: number; readonly compactRevision: number }>;
  /**
   * A consistent copy of this member's state as it is now. Throws `overloaded` for one copy too many,
   * `quota_exceeded` when its disk has no room for one.
   */
  snapshot(): Promise<SnapshotStream>;
  /** Bytes of this member's state on disk, and of those in use, which its quota counts; 0 for no quota. */
  storage(): {
    readonly bytes: number;
    readonly usedBytes: number;
    readonly quotaBytes?: number;
    /** Why this member would refuse writes that grow the store, if it does or would as the leader. */
    readonly full?: string | undefined;
  };
  /** Resolves when rows that the compaction made unreadable are removed here. */
  compacted(): Promise<void>;
}

/** A SQLite file in pieces. They must be read, or given up by `return`: the copy takes room until
 * then. One of which nothing is read for a minute is given up: its next piece throws `request_timeout`. */
export interface SnapshotStream {
  readonly bytes: number;
  /** Of the whole, lower-case hexadecimal. */
  readonly sha256: string;
  readonly pieces: AsyncIterable<Uint8Array>;
}

export interface MemberStatus {
  readonly member: MemberRecord;
  /** Whether the asked member could reach it; the fields below are then absent when it could not. */
  readonly reachable: boolean;
  readonly role?: "leader" | "follower" | "candidate" | "pre-candidate" | "learner";
  readonly term?: number;
  readonly leaderId?: number;
  readonly commitIndex?: number;
  readonly appliedIndex?: number;
  readonly revision?: number;
  readonly storeBytes?: number;
  readonly logEntries?: number;
  readonly logBytes?: number;
  readonly version?: string;
  readonly uptimeSeconds?: number;
  /** What an operator should see to: why it is not ready, or takes no writes. */
  readonly trouble?: string;
}

export interface ClusterHead {
  readonly clusterId: number;
  readonly memberId: number;
  readonly memberName: string;
  readonly term: number;
  /** 0 when none is known. */
  readonly leaderId: number;
  readonly revision: number;
  readonly appliedIndex: number;
}

export interface ClusterService {
  /** This member's view, without asking anybody. */
  head(): ClusterHead;
  members(): readonly MemberRecord[];
  leader(): MemberRecord | undefined;
  /** Every member asked, within about a second. */
  status(): Promise<readonly MemberStatus[]>;
  removeMember(id: number): Promise<void>;
  promoteMember(id: number): Promise<void>;
  /** To the given member, or to the most up-to-date voter. Resolves with the new leader. */
  transferLeadership(to?: number): Promise<MemberRecord>;
  /** This member leaves the cluster for good. */
  leave(): Promise<void>;
  /** Healthy enough to serve linearizable requests now: a leader is known and the state is caught up. */
  readiness(): { readonly ready: boolean; readonly reason: string };
}
