import { limits } from "../base/limits.ts";
import type { Random } from "../base/prng.ts";
import type { ConfState, HardState, LogReader, MemberId } from "./types.ts";

/** Bounds on what the core queues or sends. All have defaults in `base/limits.ts` or here. */
export interface RaftLimits {
  /** Entries in one append message. */
  readonly appendEntriesMax: number;
  /** Bytes of entries in one append message; one larger entry goes alone. */
  readonly appendBytesMax: number;
  /** Append messages to one follower that are not yet answered. */
  readonly appendsInFlightMax: number;
  /** Bytes of those append messages. */
  readonly appendsInFlightBytesMax: number;
  /** Bytes of committed entries in one `Ready`. */
  readonly applyBytesMax: number;
  /** Bytes a leader accepts into its log ahead of the commit index. */
  readonly uncommittedBytesMax: number;
  /** Reads that wait for a ReadIndex round, or for the leader's answer. */
  readonly readsQueuedMax: number;
  /** ReadIndex rounds under way at once: more would share no more, only cost messages. */
  readonly readRoundsInFlightMax: number;
}

export const raftLimits: RaftLimits = {
  appendEntriesMax: limits.appendEntriesMax,
  appendBytesMax: limits.appendBytesMax,
  appendsInFlightMax: limits.appendsInFlightMax,
  appendsInFlightBytesMax: limits.appendsInFlightBytesMax,
  applyBytesMax: limits.applyBytesMax,
  uncommittedBytesMax: limits.proposalsInFlightBytesMax,
  readsQueuedMax: 65_536,
  readRoundsInFlightMax: 2,
};

export interface RaftOptions {
  readonly id: MemberId;
  /** As found in the log at start. */
  readonly hardState: HardState;
  /** The last index whose effect the state machine holds. */
  readonly applied: number;
  /** The membership as of `applied`; empty for a joiner that holds nothing yet. */
  readonly conf: ConfState;
  readonly log: LogReader;
  readonly random: Random;
  /** Ticks without a leader after which an election may begin; the timeout is drawn from [n, 2n). */
  readonly electionTicks: number;
  /** Ticks between heartbeats; 1 by default. */
  readonly heartbeatTicks?: number;
  /**
   * After the leader's connection closed, or one was made while nobody leads, a voter asks for pre-votes
   * within 0 to this many ticks.
   * `electionTicks / 10 + 1` by default.
   */
  readonly disconnectedElectionTicks?: number;
  /**
   * Whether a new commit index waits for entries that take it along to the peers, until the event
   * `announce`. False by default: it goes at once.
   */
  readonly holdNews?: boolean;
  readonly limits?: Partial<RaftLimits>;
}
