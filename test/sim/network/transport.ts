import type { Timer } from "../../../src/base/clock.ts";
import type { Random } from "../../../src/base/prng.ts";
import type { SnapshotCarrier } from "../../../src/node/state-store.ts";
import type { PeerEndpoint, PeerMessage, Transport, TransportEvents } from "../../../src/peer/types.ts";
import type { MemberId, SnapshotMeta } from "../../../src/raft/types.ts";
import type { SnapshotFile } from "../../../src/storage/types.ts";
import { negotiateVersion, protocolVersion, type VersionRange } from "../../../src/wire/protocol.ts";
import type { Disk } from "../disk/disk.ts";
import type { Executor } from "../engine/sim-clock.ts";
import type { HostNumber } from "./conditions.ts";
import { Connection } from "./connection.ts";
import type { Network } from "./network.ts";
import { SnapshotTransfer } from "./snapshot-transfer.ts";

/** One life of a member as the network sees it. */
export interface NetworkProcess extends Executor {
  readonly events: TransportEvents;
  readonly alive: boolean;
  readonly stoppedSinceUs: number | undefined;
  readonly disk: Disk;
  snapshotImage(path: string): Uint8Array | undefined;
  snapshotReceived(from: MemberId, term: number, snapshot: SnapshotMeta): boolean;
  refusedAsRemoved(by: MemberId): void;
}

interface Link {
  readonly endpoint: PeerEndpoint;
  connection: Connection | undefined;
  failures: number;
  retry: Timer | undefined;
  dialling: boolean;
}

const reconnectMsMin = 50;
const reconnectMsMax = 2000;

/** The product's transport on the simulated network: each member dials every other, as on TCP. */
export class SimTransport implements Transport, SnapshotCarrier {
  readonly process: NetworkProcess;
  readonly host: HostNumber;
  readonly memberId: MemberId;
  readonly address: string;
  readonly versions: VersionRange;
  readonly #network: Network;
  readonly #random: Random;
  readonly #links = new Map<MemberId, Link>();
  readonly #incoming = new Map<MemberId, Connection>();
  #removed: ReadonlySet<MemberId> = new Set();
  #closed = false;

  constructor(
    network: Network,
    options: {
      readonly process: NetworkProcess;
      readonly host: HostNumber;
      readonly memberId: MemberId;
      readonly address: string;
      readonly versions: VersionRange;
      readonly random: Random;
    },
  ) {
    this.#network = network;
    this.process = options.process;
    this.host = options.host;
    this.memberId = options.memberId;
    this.address = options.address;
    this.versions = options.versions;
    this.#random = options.random;
  }

  get open(): boolean {
    return !this.#closed && this.process.alive;
  }

  setPeers(peers: readonly PeerEndpoint[]): void {
    const wanted = new Map(peers.map((peer) => [peer.id, peer]));
    for (const [id, link] of this.#links) {
      if (wanted.get(id)?.address === link.endpoint.address) continue;
      this.#links.delete(id);
      link.retry?.cancel();
      const { connection } = link;
      if (connection !== undefined) this.#soon(() => connection.closeBy(this));
    }
    for (const [id, endpoint] of wanted) {
      if (this.#links.has(id)) continue;
      this.#links.set(id, {
        endpoint,
        connection: undefined,
        failures: 0,
        retry: undefined,
        dialling: false,
      });
      this.#hurry(id);
    }
  }

  setRemoved(ids: readonly MemberId[]): void {
    this.#removed = new Set(ids);
    for (const [member, connection] of this.#incoming) {
      if (this.#removed.has(member)) this.#soon(() => connection.closeBy(this));
    }
  }

  send(to: MemberId, message: PeerMessage): boolean {
    const connection = this.#links.get(to)?.connection;
    if (connection === undefined || !connection.diallerOpen || !this.open) return false;
    this.#network.sent(this, message);
    connection.send(message);
    return true;
  }

  connected(member: MemberId): boolean {
    return this.#links.get(member)?.connection?.diallerOpen === true;
  }

  /** The simulator looks at what members do, not at what they say of their connections. */
  trouble(): undefined {
    return undefined;
  }

  roundTripMs(member: MemberId): number | undefined {
    return this.connected(member) ? 1 : undefined;
  }

  sendSnapshot(
    to: MemberId,
    file: SnapshotFile,
    origin: { readonly term: number; readonly from: MemberId },
  ): Promise<number> {
    const address = this.#links.get(to)?.endpoint.address;
    return new SnapshotTransfer(this.#network, this, { to, address, file, origin }).run();
  }

  close(): Promise<void> {
    this.#end((connection) => connection.endedAt(this));
    return Promise.resolve();
  }

  /** The process was killed: the operating system closes its connections. */
  killed(): void {
    this.#end((connection) => connection.endedAt(this));
  }

  /** The machine lost power: nobody is told. */
  vanished(): void {
    this.#end((connection) => connection.vanishedAt(this));
  }

  isRemoved(member: MemberId): boolean {
    return this.#removed.has(member);
  }

  /** A member dialled this one. */
  accept(connection: Connection): void {
    const member = connection.dialler.memberId;
    const former = this.#incoming.get(member);
    this.#incoming.set(member, connection);
    // Nobody is told: the member is connected, and more freshly than before.
    if (former !== undefined) this.#soon(() => former.closeBy(this));
    this.process.run(() => this.#hurry(member));
  }

  outgoingClosed(connection: Connection): void {
    const member = connection.acceptor.memberId;
    const link = this.#links.get(member);
    if (link?.connection === connection) {
      link.connection = undefined;
      this.#retryLater(link);
    }
    this.process.run(() => this.process.events.onDisconnected(member));
  }

  incomingClosed(connection: Connection): void {
    const member = connection.dialler.memberId;
    if (this.#incoming.get(member) !== connection) return;
    this.#incoming.delete(member);
    this.process.run(() => this.process.events.onDisconnected(member));
  }

  #end(how: (connection: Connection) => void): void {
    this.#closed = true;
    for (const link of this.#links.values()) link.retry?.cancel();
    this.#network.gone(this);
    for (const connection of [...this.#network.connections]) {
      if (connection.dialler === this || connection.acceptor === this) how(connection);
    }
  }

  #hurry(member: MemberId): void {
    const link = this.#links.get(member);
    if (link === undefined || link.dialling || link.connection !== undefined || !this.open) return;
    link.retry?.cancel();
    link.dialling = true;
    const { scheduler, conditions } = this.#network;
    scheduler.afterMs(2 * conditions.latencyMs(), () => {
      this.process.run(() => {
        link.dialling = false;
        if (this.open && this.#links.get(member) === link) this.#dial(link);
      });
    });
  }

  #dial(link: Link): void {
    const { conditions } = this.#network;
    const target = this.#network.listening(link.endpoint.address);
    const reachable =
      target !== undefined &&
      target.process.stoppedSinceUs === undefined &&
      !conditions.blocked(this.host, target.host) &&
      !conditions.blocked(target.host, this.host);
    if (!reachable || target.memberId !== link.endpoint.id) {
      this.#retryLater(link);
      return;
    }
    if (target.isRemoved(this.memberId)) {
      this.#retryLater(link);
      this.process.refusedAsRemoved(target.memberId);
      return;
    }
    const version = negotiateVersion(this.versions, target.versions);
    if (version === undefined) {
      this.#retryLater(link);
      return;
    }
    if (this.versions.max !== target.versions.max) {
      this.#network.coverage.add("network: connection of two releases");
    } else if (version > protocolVersion) {
      this.#network.coverage.add("network: connection in the version of the next release");
    }
    const connection = new Connection(this.#network, this, target, version);
    this.#network.connections.add(connection);
    link.connection = connection;
    link.failures = 0;
    target.accept(connection);
    this.process.events.onConnected(link.endpoint.id);
  }

  #retryLater(link: Link): void {
    const ceiling = Math.min(reconnectMsMax, reconnectMsMin * 2 ** Math.min(link.failures, 16));
    link.failures++;
    const delayMs = ceiling * (0.5 + this.#random.float() / 2);
    link.retry = this.#network.scheduler.afterMs(delayMs, () => {
      this.process.run(() => {
        if (this.#links.get(link.endpoint.id) === link) this.#hurry(link.endpoint.id);
      });
    });
  }

  #soon(action: () => void): void {
    this.#network.scheduler.after(1, action);
  }
}
