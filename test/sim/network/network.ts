import type { Random } from "../../../src/base/prng.ts";
import type { PeerMessage } from "../../../src/peer/types.ts";
import type { Coverage } from "../engine/coverage.ts";
import type { Scheduler } from "../engine/scheduler.ts";
import { between } from "../engine/streams.ts";
import type { Conditions, HostNumber } from "./conditions.ts";
import type { Connection } from "./connection.ts";
import type { SnapshotTransfer } from "./snapshot-transfer.ts";
import type { SimTransport } from "./transport.ts";

/** All machines' connections. */
export class Network {
  readonly scheduler: Scheduler;
  readonly conditions: Conditions;
  readonly coverage: Coverage;
  readonly random: Random;
  readonly connections = new Set<Connection>();
  readonly transfers = new Set<SnapshotTransfer>();
  readonly snapshotChunkBytes: number;
  /** Looks at every message as it is sent. */
  onSend: (from: SimTransport, message: PeerMessage) => void = () => {};
  onReceive: (by: SimTransport, message: PeerMessage) => void = () => {};
  readonly #listening = new Map<string, SimTransport>();
  readonly #silenceMs: number;

  constructor(options: {
    readonly scheduler: Scheduler;
    readonly conditions: Conditions;
    readonly coverage: Coverage;
    readonly random: Random;
    readonly snapshotChunkBytes: number;
    /** Silence after which a connection counts as dead, about. */
    readonly silenceMs: number;
  }) {
    this.scheduler = options.scheduler;
    this.conditions = options.conditions;
    this.coverage = options.coverage;
    this.random = options.random;
    this.snapshotChunkBytes = options.snapshotChunkBytes;
    this.#silenceMs = options.silenceMs;
    this.conditions.onBlocked = (from, to) => this.#watch(from, to);
    this.conditions.onOpened = (from, to) => {
      for (const connection of this.connections) {
        if (connection.dialler.host === from && connection.acceptor.host === to) connection.opened();
      }
    };
  }

  listen(transport: SimTransport): void {
    this.#listening.set(transport.address, transport);
  }

  gone(transport: SimTransport): void {
    if (this.#listening.get(transport.address) === transport) this.#listening.delete(transport.address);
  }

  listening(address: string): SimTransport | undefined {
    const transport = this.#listening.get(address);
    return transport?.open === true ? transport : undefined;
  }

  sent(from: SimTransport, message: PeerMessage): void {
    this.onSend(from, message);
  }

  silenceMs(): number {
    return between(this.random, this.#silenceMs, this.#silenceMs * 1.4);
  }

  /** A process was stopped: who hears nothing from it closes its connections after a while. */
  stopped(transport: SimTransport): void {
    for (const connection of this.connections) {
      if (connection.dialler !== transport && connection.acceptor !== transport) continue;
      connection.watch(() => transport.process.stoppedSinceUs !== undefined);
    }
  }

  /** Connections between these two machines break at once. */
  breakConnections(a: HostNumber, b: HostNumber): void {
    for (const connection of [...this.connections]) {
      const { dialler, acceptor } = connection;
      const between =
        (dialler.host === a && acceptor.host === b) || (dialler.host === b && acceptor.host === a);
      if (!between) continue;
      connection.closeBy(dialler);
      connection.closeBy(acceptor);
    }
  }

  #watch(from: HostNumber, to: HostNumber): void {
    for (const connection of this.connections) {
      const { dialler, acceptor } = connection;
      const hosts = [dialler.host, acceptor.host];
      if (!hosts.includes(from) || !hosts.includes(to)) continue;
      connection.watch(() => this.conditions.blockedMs(from, to) >= this.#silenceMs * 0.9);
    }
  }
}
