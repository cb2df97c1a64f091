/**
 * The words that the Raft core shares with its surroundings. Nothing here does anything.
 * Names follow Ongaro's thesis ("Consensus: Bridging Theory and Practice", 2014).
 */

/** A member's id: a random integer in [1, 2^53). 0 stands for "none". */
export type MemberId = number;
export const nobody: MemberId = 0;

export const entryKind = {
  /** A batch of commands for the state machine. The core never looks inside. */
  normal: 0,
  /** The empty entry with which a leader begins its term (thesis §6.4, step 1 of ReadIndex). */
  noop: 1,
  /** A change of membership. The core counts it; what it means is told by `conf-applied`. */
  confChange: 2,
} as const;
export type EntryKind = (typeof entryKind)[keyof typeof entryKind];

export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/** What must be on disk before the member speaks on its strength (thesis figure 3.1). */
export interface HardState {
  readonly term: number;
  /** The candidate that got this member's vote in `term`, or `nobody`. */
  readonly votedFor: MemberId;
  readonly commit: number;
}

/** Who counts. Sorted by id, without duplicates; a member is in one list at most. */
export interface ConfState {
  readonly voters: readonly MemberId[];
  readonly learners: readonly MemberId[];
}

/** What a snapshot stands for: every entry up to and including `index`. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly conf: ConfState;
}

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

/** Messages between two Raft cores. `term` is the sender's, except where a comment says otherwise. */
export type Message =
  | AppendRequest
  | AppendResponse
  | VoteRequest
  | VoteResponse
  | Heartbeat
  | HeartbeatResponse
  | InstallSnapshot
  | TimeoutNow
  | ReadIndexRequest
  | ReadIndexResponse;

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly term: number;
}

export interface AppendRequest extends Envelope {
  readonly type: "append";
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly commit: number;
  readonly entries: readonly Entry[];
}

export interface AppendResponse extends Envelope {
  readonly type: "append-response";
  /** Accepted: the last index that now matches and is durable. Rejected: the refused `prevIndex`. */
  readonly index: number;
  readonly rejected: boolean;
  /** Only when rejected: the follower's best guess where the logs still agree (fast back-off). */
  readonly hintIndex: number;
  readonly hintTerm: number;
}

export interface VoteRequest extends Envelope {
  readonly type: "vote";
  /** A pre-vote asks whether a vote in `term` would be given; `term` is then one above the sender's. */
  readonly pre: boolean;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Set after `timeout-now`: the leader itself asked for this election, so stickiness does not apply. */
  readonly transfer: boolean;
  /** What the candidate knows to be committed. A voter that holds it learns so. */
  readonly commit?: number;
  readonly commitTerm?: number;
}

export interface VoteResponse extends Envelope {
  readonly type: "vote-response";
  /** `term` of a granted pre-vote is the one that was asked for. */
  readonly pre: boolean;
  readonly granted: boolean;
  /** When refused: what the sender knows to be committed. A candidate that holds it learns so. */
  readonly commit?: number;
  readonly commitTerm?: number;
}

export interface Heartbeat extends Envelope {
  readonly type: "heartbeat";
  readonly commit: number;
  /** The newest ReadIndex round that this heartbeat confirms, or 0. */
  readonly readRound: number;
}

export interface HeartbeatResponse extends Envelope {
  readonly type: "heartbeat-response";
  readonly readRound: number;
}

/** Says that the receiver now holds the data of a snapshot and may install it. */
export interface InstallSnapshot extends Envelope {
  readonly type: "snapshot";
  readonly snapshot: SnapshotMeta;
}

export interface TimeoutNow extends Envelope {
  readonly type: "timeout-now";
}

/** A follower's or learner's linearizable read, sent to the leader. */
export interface ReadIndexRequest extends Envelope {
  readonly type: "read-index";
  /** Chosen by the asking member, given back in the answer. */
  readonly context: number;
}

export interface ReadIndexResponse extends Envelope {
  readonly type: "read-index-response";
  readonly context: number;
  /** The read may be served once this index is applied. */
  readonly index: number;
}

/** All that can happen to a core. It learns of the world by nothing else. */
export type RaftEvent =
  | { readonly type: "tick" }
  | { readonly type: "message"; readonly message: Message }
  /** A batch of commands for the log. Refused unless this member leads. */
  | { readonly type: "propose"; readonly data: Uint8Array }
  | { readonly type: "propose-conf-change"; readonly data: Uint8Array }
  /** A linearizable read; comes back in `Ready.reads` with the same context, or in `Ready.readsRefused`. */
  | { readonly type: "read"; readonly context: number }
  | { readonly type: "transfer"; readonly to: MemberId }
  /** Start an election now, for tests and for a lone member at start. */
  | { readonly type: "campaign" }
  /** The write with this id, and all before it, is durable. */
  | { readonly type: "stored"; readonly writeId: number }
  /** Entries up to here are applied. */
  | { readonly type: "applied"; readonly index: number }
  /** The membership that holds from the applied entry (or installed snapshot) at `index` on. */
  | { readonly type: "conf-applied"; readonly index: number; readonly conf: ConfState }
  /** Tell the peers the commit index that is held, see `RaftOptions.holdNews`. */
  | { readonly type: "announce" }
  /** A connection was made: the peer's process is there. */
  | { readonly type: "connected"; readonly member: MemberId }
  /** A connection that was open closed: the peer's process is probably gone. */
  | { readonly type: "disconnected"; readonly member: MemberId }
  /** Messages to this member were dropped by the transport: stop optimistic pipelining. */
  | { readonly type: "unreachable"; readonly member: MemberId }
  /** The transfer of snapshot data that `Ready.snapshotsWanted` asked for ended. */
  | {
      readonly type: "snapshot-sent";
      readonly member: MemberId;
      /** Index of the snapshot that arrived, or `undefined` when the transfer failed. */
      readonly index: number | undefined;
    };

export type RefusalReason =
  | "not-leader"
  | "transferring"
  | "conf-change-pending"
  | "no-commit-in-term"
  | "not-a-voter"
  | "too-much-uncommitted";

export type StepResult =
  | { readonly ok: true; readonly index: number; readonly term: number }
  | { readonly ok: false; readonly reason: RefusalReason };

/**
 * What the surroundings must do next. In this order: hand `write` to the log (without waiting),
 * send `messages`, apply `committed`, answer `reads`; send `messagesAfterStored` when the write
 * with `write.id` (or, without one here, every write handed over before) is durable.
 */
export interface Ready {
  /** Everything to store, as one atomic write; absent when there is nothing. */
  readonly write?: RaftWrite;
  readonly messages: readonly Message[];
  /** Messages that promise durability: votes, and acknowledgements of entries. */
  readonly messagesAfterStored: readonly Message[];
  /** Entries to apply, in order: committed and durable here. */
  readonly committed: readonly Entry[];
  /** Linearizable reads that may be served once `index` is applied. */
  readonly reads: readonly { readonly context: number; readonly index: number }[];
  /** Reads that were not confirmed, because leadership was lost or no leader is known. */
  readonly readsRefused: readonly number[];
  /** Followers too far behind for the log: send them a snapshot, then report `snapshot-sent`. */
  readonly snapshotsWanted: readonly MemberId[];
}

export interface RaftWrite {
  /** Rises by one a write. */
  readonly id: number;
  /** Present when it changed. */
  readonly hardState?: HardState;
  /** To append, first cutting the log from `entries[0].index` on. */
  readonly entries: readonly Entry[];
  /** Install this snapshot: its data replaces the state, and the log begins after it. */
  readonly snapshot?: SnapshotMeta;
  /** False when only `hardState.commit` moved: need not be written for its own sake. */
  readonly mustSync: boolean;
}

/** Where the core reads entries that are stored. Synchronous; the recent ones come from memory. */
export interface LogReader {
  /** Index of the first entry that is still there; `lastIndex + 1` when the log is empty. */
  firstIndex(): number;
  lastIndex(): number;
  /** The term at an index from `firstIndex - 1` to `lastIndex`, else `undefined` (cut or not there). */
  term(index: number): number | undefined;
  /** Entries in [from, to), at least one, no more than `bytesMax` of data beyond the first. */
  entries(from: number, to: number, bytesMax: number): readonly Entry[];
}

/** What the surroundings may look at. */
export interface RaftStatus {
  readonly id: MemberId;
  readonly role: Role;
  readonly term: number;
  readonly leader: MemberId;
  readonly commit: number;
  readonly applied: number;
  readonly lastIndex: number;
  /** The last index that is durable here. */
  readonly stable: number;
  readonly conf: ConfState;
  readonly transferee: MemberId;
  /** Only on the leader: what it knows of each other member. */
  readonly progress: readonly PeerProgress[];
}

export interface PeerProgress {
  readonly member: MemberId;
  readonly match: number;
  readonly next: number;
  readonly state: "probe" | "replicate" | "snapshot";
  readonly inFlight: number;
  /** Heard from within the last election timeout. */
  readonly active: boolean;
  readonly learner: boolean;
}
