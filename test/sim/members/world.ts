import type { Membership } from "../../../src/kv/types.ts";
import type { NodeOptions } from "../../../src/node/options.ts";
import type { MemberId } from "../../../src/raft/types.ts";
import type { VersionRange } from "../../../src/wire/protocol.ts";
import type { Checks } from "../checkers/checks.ts";
import type { Coverage } from "../engine/coverage.ts";
import type { Scheduler } from "../engine/scheduler.ts";
import type { Trace } from "../engine/trace.ts";
import type { Conditions } from "../network/conditions.ts";
import type { Network } from "../network/network.ts";
import type { History } from "../workload/history.ts";
import type { Host } from "./host.ts";
import type { PartOptions } from "./parts.ts";

/** What all machines of a simulation share. */
export interface World {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly conditions: Conditions;
  readonly coverage: Coverage;
  readonly trace: Trace;
  readonly checks: Checks;
  readonly history: History;
  readonly nodeOptions: NodeOptions;
  readonly partOptions: PartOptions;
  /** What members of the older and the newer release speak. */
  readonly releases: readonly [VersionRange, VersionRange];
  readonly hosts: readonly Host[];
  /** Machines that ask to be admitted just now. */
  readonly joining: Set<Host>;
  /** The state of a member that begins with this membership. */
  firstImage(membership: Membership, index: number, term: number): Uint8Array;
  newId(): MemberId;
  /** Whether a voter may be removed without a risk that no majority is ever left. */
  mayRemoveVoter(): boolean;
  /** Whether a member's disk may be lost for good without that risk. */
  mayLoseDisk(): boolean;
  /** One more client does one operation, through this machine. */
  burst(via: Host): void;
  /** Clients renew their leases through this machine; with `last` some of them never again. */
  renewLeases(via: Host, last: boolean): void;
  /** The state of a member went back to its last commit. */
  stateUndone(host: Host): void;
  /** A follower has served a linearizable read. */
  freshened(host: Host): void;
  /** A removal was asked for, and may take effect now or at any later time. */
  removalAsked(id: MemberId): void;
}
