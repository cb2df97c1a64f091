import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/prng.ts";
import type { MemberId } from "../raft/types.ts";
import type { VersionRange } from "../wire/protocol.ts";
import type { Self } from "./handshake.ts";
import type { Refusal } from "./hello.ts";
import type { PeerLimits } from "./peer-limits.ts";
import type { RefusalLog } from "./refusals.ts";
import type { TransportEvents } from "./types.ts";

/** What this member is in its cluster. */
export interface PeerIdentity {
  readonly clusterId: number;
  readonly memberId: MemberId;
}

/**
 * Answers a control request. A `CoracleError` thrown reaches the caller with code and message;
 * any other error reaches it as `internal`.
 */
export type ControlHandler = (name: string, body: unknown) => Promise<unknown>;

/** A refusal by a member that had proved itself: not a mistake of the network. */
export interface RefusedBy extends Refusal {
  readonly member: MemberId;
}

/** What all parts of the peer network share. */
export interface PeerContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: PeerLimits;
  readonly refusals: RefusalLog;
  readonly events: TransportEvents;
  readonly name: string;
  readonly instance: string;
  readonly token: Uint8Array | undefined;
  readonly versions: VersionRange;
  /** As it is now: it begins without. */
  identity(): PeerIdentity | undefined;
}

export function selfOf(context: PeerContext): Self {
  const identity = context.identity();
  return {
    clusterId: identity?.clusterId ?? 0,
    memberId: identity?.memberId ?? 0,
    name: context.name,
    instance: context.instance,
    token: context.token,
    versions: context.versions,
  };
}
