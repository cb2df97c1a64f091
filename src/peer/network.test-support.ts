import assert from "node:assert/strict";
import { systemClock } from "../base/clock.ts";
import { seededRandom } from "../base/prng.ts";
import type { MemberId } from "../raft/types.ts";
import { formatAddress } from "../wire/address.ts";
import type { ControlHandler, RefusedBy } from "./context.ts";
import { PeerNetwork, type PeerNetworkOptions } from "./network.ts";
import type { SnapshotSink } from "./snapshot-receiver.ts";
import type { PeerEndpoint, PeerMessage } from "./types.ts";

/** Waits until a condition holds, looking at it every few milliseconds; fails after `timeoutMs`. */
export async function until(condition: () => boolean, what: string, timeoutMs = 8_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `not within ${timeoutMs} ms: ${what}`);
    await new Promise<void>((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

/** A member's peer network with a record of all it was told. */
export interface TestMember {
  readonly network: PeerNetwork;
  readonly endpoint: PeerEndpoint;
  readonly received: { readonly from: MemberId; readonly message: PeerMessage }[];
  readonly connected: MemberId[];
  readonly disconnected: MemberId[];
  readonly refused: RefusedBy[];
}

export const refuseSnapshots: SnapshotSink = {
  begin: () => Promise.reject(new Error("no snapshots here")),
};

export const refuseControl: ControlHandler = () => Promise.reject(new Error("no requests here"));

export async function startMember(
  id: MemberId,
  options: Partial<PeerNetworkOptions> & { readonly clusterId?: number } = {},
): Promise<TestMember> {
  const received: TestMember["received"] = [];
  const connected: MemberId[] = [];
  const disconnected: MemberId[] = [];
  const refused: RefusedBy[] = [];
  const { clusterId = 99, ...rest } = options;
  const network = new PeerNetwork({
    listen: { host: "127.0.0.1", port: 0 },
    token: "the join token",
    name: `n${id}`,
    clock: systemClock,
    random: seededRandom(id),
    control: refuseControl,
    snapshots: refuseSnapshots,
    events: {
      onMessage: (from, message) => received.push({ from, message }),
      onConnected: (member) => connected.push(member),
      onDisconnected: (member) => disconnected.push(member),
    },
    onRefused: (by) => refused.push(by),
    ...rest,
  });
  const address = formatAddress(await network.listen());
  if (clusterId !== 0) network.setIdentity({ clusterId, memberId: id });
  return { network, endpoint: { id, name: `n${id}`, address }, received, connected, disconnected, refused };
}

/** Makes them peers of each other. */
export function introduce(members: readonly TestMember[]): void {
  for (const { network, endpoint } of members) {
    network.setPeers(members.map((other) => other.endpoint).filter((other) => other.id !== endpoint.id));
  }
}

export async function closeAll(members: readonly TestMember[]): Promise<void> {
  await Promise.all(members.map(({ network }) => network.close()));
}
