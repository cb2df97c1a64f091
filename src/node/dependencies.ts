import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/prng.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import type { Transport } from "../peer/types.ts";
import type { MemberId } from "../raft/types.ts";
import type { Identity, LogStore } from "../storage/types.ts";
import type { NodeMetrics } from "./metrics.ts";
import type { BuildInfo, NodeOptions } from "./options.ts";
import type { NodePartFactory } from "./part.ts";
import type { SnapshotCarrier, StateStore } from "./state-store.ts";

/** Everything outside of a member; the simulator gives its own. */
export interface NodeDependencies {
  readonly identity: Identity;
  readonly options: NodeOptions;
  /** `host:port` at which this member is reached now, if that is not what the membership says. */
  readonly peerAddress?: string;
  readonly build: BuildInfo;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: LogStore;
  readonly state: StateMachine;
  readonly store: StateStore;
  readonly transport: Transport & SnapshotCarrier & { setRemoved(ids: readonly MemberId[]): void };
  readonly newId: () => MemberId;
  readonly metrics?: NodeMetrics;
  /** Duties beside replication, in the order in which they are called. */
  readonly parts?: readonly NodePartFactory[];
  /** The member cannot go on: its process must end. */
  readonly onFatal: (error: unknown) => void;
  /** This member was removed from the cluster. */
  readonly onRemoved: () => void;
}

export type Consistency =
  | { readonly mode: "linearizable" }
  | { readonly mode: "serializable"; readonly maxStaleMs?: number };
