import type { SnapshotMeta } from "../raft/types.ts";

/** What the main thread asks of the state worker; each is answered by one `StateReply` of its id. */
export type StateRequest =
  /**
   * Make what is applied durable and move the write-ahead log into the database. The sums of its pages
   * are due from then on.
   */
  | {
      readonly type: "checkpoint";
      readonly path: string;
      readonly markPath: string;
      readonly sumsPath: string;
    }
  /** Write the sums that are due. */
  | { readonly type: "sums" }
  /** Write a consistent copy. */
  | { readonly type: "copy"; readonly path: string; readonly target: string }
  /** See a received copy on disk and look at what it is. */
  | { readonly type: "inspect"; readonly path: string }
  /** Close the connection to state.db. */
  | { readonly type: "close" };

export interface CheckpointResult {
  /** Entries up to this one are durable in state.db. */
  readonly applied: number;
  /** Frames of the write-ahead log, and how many of them are in the database. */
  readonly frames: number;
  readonly moved: number;
}

export interface CopyResult {
  readonly meta: SnapshotMeta;
  readonly bytes: number;
  readonly sha256: string;
}

/** The answer to each type of request. */
export interface StateResults {
  readonly checkpoint: CheckpointResult;
  readonly sums: null;
  readonly copy: CopyResult;
  readonly inspect: CopyResult;
  readonly close: null;
}

export interface StateCall {
  readonly id: number;
  readonly request: StateRequest;
}

export type StateReply =
  | { readonly id: number; readonly result: StateResults[StateRequest["type"]] }
  | { readonly id: number; readonly error: string };
