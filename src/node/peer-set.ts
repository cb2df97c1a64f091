import type { Clock } from "../base/clock.ts";
import type { MemberRecord } from "../base/members.ts";
import type { Membership } from "../kv/types.ts";
import type { Transport } from "../peer/types.ts";
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
    const before = this.#others;
    this.#membership = membership;
    this.#others = membership.members.filter(({ id }) => id !== this.#context.self);
    for (const member of before) {
      if (!this.#others.some(({ id }) => id === member.id)) this.#sayFarewell(member);
    }
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
    const peers = [...this.#others, ...this.#leaving.values()];
    transport.setPeers(peers.map(({ id, name, peerAddress }) => ({ id, name, address: peerAddress })));
  }
}
