import type { Clock } from "../base/clock.ts";
import { limits } from "../base/limits.ts";
import type { MemberRecord } from "../base/members.ts";
import type { Membership } from "../kv/types.ts";
import type { PeerEndpoint, Transport } from "../peer/types.ts";
import type { MemberId } from "../raft/types.ts";

/** How long the connections of a removed member stay. */
const farewellMs = 1000;

export interface PeerSetContext {
  readonly self: MemberId;
  readonly clock: Clock;
  readonly transport: Pick<Transport, "setPeers"> & { setRemoved(ids: readonly MemberId[]): void };
}

/** The other members, and the connections that the transport keeps with them. */
export class PeerSet {
  readonly #context: PeerSetContext;
  #membership: Membership | undefined;
  #others: readonly MemberRecord[] = [];
  /** Removed a moment ago. They may still wait for the answer to the request that removed them. */
  readonly #leaving = new Map<MemberId, MemberRecord>();

  /**
   * Members that dialled this one and that its own, older membership does not name. Without an
   * answer to them it could never learn the newer one: the leader may be among them.
   */
  readonly #guests = new Map<MemberId, PeerEndpoint>();

  constructor(context: PeerSetContext) {
    this.#context = context;
  }

  get others(): readonly MemberRecord[] {
    return this.#others;
  }

  /** The name of a member for people to read. */
  nameOf(member: MemberId): string {
    return this.#membership?.members.find(({ id }) => id === member)?.name ?? `member ${member}`;
  }

  update(membership: Membership): void {
    const earlier = this.#others;
    this.#membership = membership;
    this.#others = membership.members.filter(({ id }) => id !== this.#context.self);
    for (const member of earlier) {
      if (!this.#others.some(({ id }) => id === member.id)) this.#sayFarewell(member);
    }
    // What the membership says anew is newer than what a member said of itself before.
    for (const id of this.#guests.keys()) {
      const before = earlier.find((other) => other.id === id)?.peerAddress;
      const now = this.#others.find((other) => other.id === id)?.peerAddress;
      if (now !== before || membership.removed.includes(id)) this.#guests.delete(id);
    }
    this.#connect();
  }

  /**
   * An authenticated member of the cluster says where it can be reached: one that the membership does
   * not name yet, or one that came back at another address and cannot tell before it is heard.
   */
  introduce(guest: PeerEndpoint): void {
    const known = this.#others.find(({ id }) => id === guest.id);
    const removed = this.#membership?.removed.includes(guest.id) === true;
    if (removed || guest.id === this.#context.self || known?.peerAddress === guest.address) return;
    if (this.#guests.size >= limits.membersMax && !this.#guests.has(guest.id)) return;
    this.#guests.set(guest.id, guest);
    this.#connect();
  }

  #sayFarewell(member: MemberRecord): void {
    this.#leaving.set(member.id, member);
    this.#context.clock.after(farewellMs, () => {
      this.#leaving.delete(member.id);
      this.#connect();
    });
  }

  #connect(): void {
    const { transport } = this.#context;
    const removed = this.#membership?.removed ?? [];
    transport.setRemoved(removed.filter((id) => !this.#leaving.has(id)));
    const endpoints = new Map<MemberId, PeerEndpoint>();
    for (const { id, name, peerAddress } of [...this.#others, ...this.#leaving.values()]) {
      endpoints.set(id, { id, name, address: peerAddress });
    }
    for (const guest of this.#guests.values()) endpoints.set(guest.id, guest);
    transport.setPeers([...endpoints.values()]);
  }
}
