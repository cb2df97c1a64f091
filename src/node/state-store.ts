import type { StateMachine } from "../kv/state-machine.ts";
import type { MemberId, SnapshotMeta } from "../raft/types.ts";
import type { SnapshotFile } from "../storage/types.ts";

/** The files of the state machine, as the node needs them. The simulator keeps them in memory. */
export interface StateStore {
  /** A consistent copy of the state, made without holding up the node. */
  createSnapshot(): Promise<SnapshotFile>;
  /** Puts the completely received snapshot in place of the state, and opens it. The old state is closed by it. */
  install(snapshot: SnapshotMeta, old: StateMachine): Promise<StateMachine>;
  /** Makes the state durable up to some applied index, which it gives. */
  checkpoint(): Promise<number>;
  /** Bytes of the state on disk. */
  bytes(): number;
  /** Bytes of the state's file that hold something: what deletes and compaction freed does not count. */
  usedBytes(): number;
  close(): Promise<void>;
}

/** Carries a snapshot to another member. */
export interface SnapshotCarrier {
  /** Resolves with the index that the receiver now holds; rejects when it did not arrive. */
  sendSnapshot(
    to: MemberId,
    file: SnapshotFile,
    origin: { readonly term: number; readonly from: MemberId },
  ): Promise<number>;
}
