import { randomUUID } from "node:crypto";
import { getLogger } from "@logtape/logtape";
import { assert } from "../base/assert.ts";
import { utf8 } from "../base/bytes.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import type { Random } from "../base/prng.ts";
import type { MemberId } from "../raft/types.ts";
import type { SnapshotFile } from "../storage/types.ts";
import type { Address } from "../wire/address.ts";
import { supportedVersions, type VersionRange } from "../wire/protocol.ts";
import { Acceptor } from "./acceptor.ts";
import type { ControlHandler, PeerContext, PeerIdentity, RefusedBy } from "./context.ts";
import { askControl, serveControl } from "./control.ts";
import { OutgoingLink } from "./outgoing.ts";
import { type PeerLimits, peerLimits } from "./peer-limits.ts";
import { RefusalLog } from "./refusals.ts";
import { SnapshotReceiver, type SnapshotSink } from "./snapshot-receiver.ts";
import { sendSnapshotTo } from "./snapshot-sender.ts";
import { openServer, type PeerServer } from "./sockets.ts";
import type { PeerEndpoint, PeerMessage, Transport, TransportEvents } from "./types.ts";

const log = getLogger(["coracle", "peer"]);

export interface PeerNetworkOptions {
  /** Port 0 takes any free port. */
  readonly listen: Address;
  /** The cluster's join token. Without one on either side connections are not authenticated. */
  readonly token?: Uint8Array | string;
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: TransportEvents;
  readonly control: ControlHandler;
  readonly snapshots: SnapshotSink;
  observeRoundTrip?(member: MemberId, ms: number): void;
  /** An authenticated member refuses this one, for instance because it was removed. */
  onRefused?(refused: RefusedBy): void;
  readonly limits?: Partial<PeerLimits>;
  /** Only in tests: another range than this program's. */
  readonly versions?: VersionRange;
}

/**
 * Standing connections to all other members over TCP, control connections and snapshot transfers.
 * Each member dials every other: its messages leave on the connection that it dialled.
 */
export class PeerNetwork implements Transport {
  /** Drawn at start; tells this process from every other. */
  readonly instance: string = randomUUID();
  readonly #options: PeerNetworkOptions;
  readonly #context: PeerContext;
  readonly #acceptor: Acceptor;
  readonly #links = new Map<MemberId, OutgoingLink>();
  readonly #closing = new AbortController();
  #server: PeerServer | undefined;
  #identity: PeerIdentity | undefined;
  #peers: readonly PeerEndpoint[] = [];
  #removed: ReadonlySet<MemberId> = new Set();
  #ticker: Timer | undefined;

  constructor(options: PeerNetworkOptions) {
    this.#options = options;
    const { clock, random, events, name, token } = options;
    const limits: PeerLimits = { ...peerLimits, ...options.limits };
    this.#context = {
      clock,
      random,
      events,
      name,
      limits,
      instance: this.instance,
      token: typeof token === "string" ? utf8(token) : token,
      refusals: new RefusalLog(clock, limits.refusalLogMs),
      versions: options.versions ?? supportedVersions,
      identity: () => this.#identity,
    };
    this.#acceptor = new Acceptor(this.#context, {
      onMember: (member) => this.#links.get(member)?.hurry(),
      isRemoved: (member) => this.#removed.has(member),
      onControl: (socket, session) => serveControl(this.#context, options.control, socket, session),
      onSnapshot: (socket, session) =>
        new SnapshotReceiver(this.#context, options.snapshots, socket, session).start(),
    });
    this.#tickLater();
  }

  /**
   * Begins to accept connections; gives the address with the port really taken.
   *
   * @throws CoracleError `config_invalid` when the port is in use or the address is not this machine's.
   */
  async listen(): Promise<Address> {
    assert(this.#server === undefined, "the peer network listens once");
    this.#server = await openServer(this.#options.listen, (socket) => this.#acceptor.accept(socket));
    return this.#server.address;
  }

  /** Who this member is. Before it only control connections are served and made. */
  setIdentity(identity: PeerIdentity): void {
    assert(this.#identity === undefined, "a member's identity is set once");
    this.#identity = identity;
    this.#dialPeers();
  }

  setPeers(peers: readonly PeerEndpoint[]): void {
    this.#peers = peers;
    if (this.#identity !== undefined) this.#dialPeers();
  }

  /** Members that are never admitted again; their connections are closed. */
  setRemoved(ids: Iterable<MemberId>): void {
    this.#removed = new Set(ids);
    this.#acceptor.closeRemoved();
  }

  send(to: MemberId, message: PeerMessage): boolean {
    return this.#links.get(to)?.send(message) ?? false;
  }

  /** Writes what was sent in this turn now instead of at the turn's end. */
  flush(): void {
    for (const link of this.#links.values()) link.flush();
  }

  connected(member: MemberId): boolean {
    return this.#links.get(member)?.connected ?? false;
  }

  trouble(member: MemberId): string | undefined {
    return this.#links.get(member)?.trouble;
  }

  roundTripMs(member: MemberId): number | undefined {
    return this.#links.get(member)?.roundTripMs;
  }

  /**
   * Sends a snapshot and resolves with its index when the receiver has verified and stored it.
   * An interrupted transfer that is tried again goes on where it ended.
   */
  async sendSnapshot(to: MemberId, file: SnapshotFile, options: { readonly term: number }): Promise<number> {
    const endpoint = this.#peers.find((peer) => peer.id === to);
    if (endpoint === undefined) {
      throw new CoracleError("member_not_found", `Member ${to} is no member to send a snapshot to.`);
    }
    await sendSnapshotTo(this.#context, endpoint, file, {
      term: options.term,
      signal: this.#closing.signal,
    });
    return file.meta.index;
  }

  /**
   * Asks any member at an address, without being one. See `askControl` for the errors.
   */
  ask(
    address: string,
    name: string,
    body: unknown,
    options: { readonly timeoutMs: number },
  ): Promise<unknown> {
    return askControl(this.#context, address, { name, body, timeoutMs: options.timeoutMs });
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#ticker?.cancel();
    for (const link of this.#links.values()) link.stop("this member stops");
    this.#links.clear();
    const closed = this.#server?.close();
    this.#acceptor.close("this member stops");
    await closed;
  }

  #dialPeers(): void {
    if (this.#closing.signal.aborted) return;
    const own = this.#identity?.memberId;
    const wanted = new Map(this.#peers.filter((peer) => peer.id !== own).map((peer) => [peer.id, peer]));
    for (const [id, link] of this.#links) {
      if (wanted.get(id)?.address === link.endpoint.address) continue;
      link.stop("it is a member no longer, or at another address");
      this.#links.delete(id);
    }
    for (const [id, endpoint] of wanted) {
      if (this.#links.has(id)) continue;
      const link = new OutgoingLink(this.#context, endpoint, {
        onRefused: (refused) => this.#refused(refused),
        onRoundTrip: (ms) => this.#options.observeRoundTrip?.(id, ms),
      });
      this.#links.set(id, link);
      link.hurry();
    }
  }

  #refused(refused: RefusedBy): void {
    if (refused.reason !== "not-ready") {
      log.debug("Member {member} refuses this one: {reason}.", {
        member: refused.member,
        reason: refused.reason,
      });
    }
    this.#options.onRefused?.(refused);
  }

  #tickLater(): void {
    this.#ticker = this.#context.clock.after(this.#context.limits.pingMs, () => {
      for (const link of this.#links.values()) link.tick();
      this.#acceptor.tick();
      this.#tickLater();
    });
  }
}
