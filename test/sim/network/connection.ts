import type { Timer } from "../../../src/base/clock.ts";
import type { PeerMessage } from "../../../src/peer/types.ts";
import { frameHeadBytes } from "../../../src/wire/frame.ts";
import { FrameWriter } from "../../../src/wire/frame-writer.ts";
import { decodeMessage, writeMessage } from "../../../src/wire/messages.ts";
import type { Network } from "./network.ts";
import type { SimTransport } from "./transport.ts";

const writer = new FrameWriter();

/**
 * A connection that one member dialled to another; its messages go one way. Like TCP it is in order
 * and complete while it lives: what a blocked network holds back comes later, or never when the
 * connection ends first. Messages of Raft may be made worse, as Raft must bear it.
 */
export class Connection {
  readonly dialler: SimTransport;
  readonly acceptor: SimTransport;
  readonly version: number;
  diallerOpen = true;
  acceptorOpen = true;
  readonly #network: Network;
  #lastDeliveryUs = 0;
  /** Frames that wait for the network to let them through. */
  #held: Uint8Array[] = [];
  #watch: Timer | undefined;

  constructor(network: Network, dialler: SimTransport, acceptor: SimTransport, version: number) {
    this.#network = network;
    this.dialler = dialler;
    this.acceptor = acceptor;
    this.version = version;
  }

  send(message: PeerMessage): void {
    writeMessage(writer, message, this.version);
    const frame = writer.takeCopy().subarray(frameHeadBytes);
    const { conditions, coverage } = this.#network;
    const hardened = "term" in message;
    if (hardened && conditions.lost()) {
      coverage.add("network: message lost");
      return;
    }
    this.#plan(frame, hardened);
    if (hardened && conditions.duplicated()) {
      coverage.add("network: message duplicated");
      this.#plan(frame, true);
    }
  }

  #plan(frame: Uint8Array, mayDetour: boolean): void {
    const { scheduler, conditions, coverage } = this.#network;
    const detourMs = mayDetour ? conditions.detourMs() : 0;
    const arrivalUs = scheduler.nowUs + conditions.latencyMs() * 1000;
    if (detourMs > 0) {
      coverage.add("network: message reordered");
      scheduler.after(arrivalUs - scheduler.nowUs + detourMs * 1000, () => this.#arrive(frame));
      return;
    }
    this.#lastDeliveryUs = Math.max(this.#lastDeliveryUs, arrivalUs);
    scheduler.after(this.#lastDeliveryUs - scheduler.nowUs, () => this.#arrive(frame));
  }

  #arrive(frame: Uint8Array): void {
    if (!this.acceptorOpen) return;
    if (this.#network.conditions.blocked(this.dialler.host, this.acceptor.host) || this.#held.length > 0) {
      this.#held.push(frame);
      return;
    }
    this.#deliver(frame);
  }

  #deliver(frame: Uint8Array): void {
    const { acceptor, dialler } = this;
    acceptor.process.run(() => {
      if (!this.acceptorOpen) return;
      const message = decodeMessage(frame, this.version);
      this.#network.onReceive(acceptor, message);
      acceptor.process.events.onMessage(dialler.memberId, message);
    });
  }

  /** The network lets this direction through again. */
  opened(): void {
    const held = this.#held;
    this.#held = [];
    if (held.length > 0) this.#network.coverage.add("network: held messages came late", held.length);
    for (const frame of held) this.#plan(frame, false);
  }

  /**
   * Both ends notice silence some seconds after it began, and close: `silent` tells whether it
   * still lasts.
   */
  watch(silent: () => boolean): void {
    if (this.#watch !== undefined) return;
    const { scheduler } = this.#network;
    this.#watch = scheduler.afterMs(this.#network.silenceMs(), () => {
      this.#watch = undefined;
      if (!silent()) return;
      this.closeBy(this.dialler);
      scheduler.afterMs(1000, () => {
        if (this.acceptorOpen && silent()) this.closeBy(this.acceptor);
      });
    });
  }

  /** One end closes; the other hears of it when the network lets it. */
  closeBy(end: SimTransport): void {
    if (!this.#close(end)) return;
    const other = end === this.dialler ? this.acceptor : this.dialler;
    this.#tellEnd(end, other, 0);
  }

  /** The process at one end is gone, so that its machine refuses what comes from the other. */
  endedAt(end: SimTransport): void {
    if (end === this.dialler) this.diallerOpen = false;
    else this.acceptorOpen = false;
    this.#forget();
    this.#tellEnd(end, end === this.dialler ? this.acceptor : this.dialler, 0);
  }

  /** One end vanished without a word. */
  vanishedAt(end: SimTransport): void {
    if (end === this.dialler) this.diallerOpen = false;
    else this.acceptorOpen = false;
    const other = end === this.dialler ? this.acceptor : this.dialler;
    const { scheduler } = this.#network;
    scheduler.afterMs(this.#network.silenceMs(), () => {
      this.#close(other);
    });
  }

  #tellEnd(end: SimTransport, other: SimTransport, attempt: number): void {
    const { scheduler, conditions } = this.#network;
    // A connection's end comes after what was sent on it.
    const inOrderUs = end === this.dialler ? this.#lastDeliveryUs - scheduler.nowUs : 0;
    scheduler.after(Math.max(conditions.latencyMs() * 1000, inOrderUs + 1), () => {
      if (!conditions.blocked(end.host, other.host) && this.#held.length === 0) this.#close(other);
      else if (attempt < 40) this.#tellEnd(end, other, attempt + 1);
      else this.#close(other);
    });
  }

  #close(end: SimTransport): boolean {
    if (end === this.dialler) {
      if (!this.diallerOpen) return false;
      this.diallerOpen = false;
      end.outgoingClosed(this);
    } else {
      if (!this.acceptorOpen) return false;
      this.acceptorOpen = false;
      end.incomingClosed(this);
    }
    this.#forget();
    return true;
  }

  #forget(): void {
    if (this.diallerOpen || this.acceptorOpen) return;
    this.#watch?.cancel();
    this.#network.connections.delete(this);
  }
}
