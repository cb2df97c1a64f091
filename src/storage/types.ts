import type { HardState, LogReader, MemberId, RaftWrite, SnapshotMeta } from "../raft/types.ts";

/** What a member is, fixed at its first start and kept in raft.db. */
export interface Identity {
  readonly clusterId: number;
  readonly memberId: MemberId;
  readonly name: string;
}

/**
 * The Raft log and hard state of one member. Reads are synchronous and see a write from the moment
 * `write` returns; durability is told later. Implemented on SQLite with a writer worker, and in
 * memory (simulator).
 */
export interface LogStore extends LogReader {
  /** As found at start. */
  readonly hardState: HardState;
  /**
   * Queues an atomic write. Writes become durable in the order given; several may share one fsync.
   * `stored` is called once, in a later turn: without argument when durable, with an error when the
   * write failed, after which no further write is accepted and the member must stop.
   */
  write(write: RaftWrite, stored: (error?: Error) => void): void;
  /** Drops entries up to and including `index` (whose term stays known). Lazy, in slices. */
  cut(index: number): void;
  /** Ends after everything queued is durable. */
  close(): Promise<void>;
  /** Entries and bytes now held on disk. */
  size(): { readonly entries: number; readonly bytes: number };
  /** How the disk under it does now. */
  health(): LogHealth;
}

export interface LogHealth {
  /** Why writes wait: the disk is full. They go on by themselves when there is room. */
  readonly full: string | undefined;
  /** About how long a write takes to be durable of late; 0 when nothing was written. */
  readonly writeMs: number;
}

/** A file that holds a consistent copy of state.db. */
export interface SnapshotFile {
  readonly path: string;
  readonly meta: SnapshotMeta;
  readonly bytes: number;
  /** SHA-256 of the file, lower-case hexadecimal. */
  readonly sha256: string;
  /** Deletes the file. Calling it twice is fine. */
  release(): void;
}
