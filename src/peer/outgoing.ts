import { getLogger } from "@logtape/logtape";
import type { Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { parseAddress } from "../wire/address.ts";
import { decodeLinkFrame, writeLinkFrame } from "../wire/link-frames.ts";
import { writeMessage } from "../wire/messages.ts";
import { WireError } from "../wire/wire-error.ts";
import type { PeerContext, RefusedBy } from "./context.ts";
import { DialError, type Dialled, dial } from "./dial.ts";
import type { PeerEndpoint, PeerMessage } from "./types.ts";

const log = getLogger(["coracle", "peer"]);

export interface OutgoingEvents {
  onRefused(refused: RefusedBy): void;
  onRoundTrip(ms: number): void;
}

/** The connection that this member dialled to one other, kept up for as long as it is a peer. */
export class OutgoingLink {
  readonly endpoint: PeerEndpoint;
  readonly #context: PeerContext;
  readonly #events: OutgoingEvents;
  readonly #stopped = new AbortController();
  #open: Dialled | undefined;
  #dialling = false;
  #retry: Timer | undefined;
  #failures = 0;
  #pingNumber = 0;
  #pingSentMs = 0;
  #unanswered = 0;
  #roundTripMs: number | undefined;
  #trouble: string | undefined;

  constructor(context: PeerContext, endpoint: PeerEndpoint, events: OutgoingEvents) {
    this.#context = context;
    this.endpoint = endpoint;
    this.#events = events;
  }

  get connected(): boolean {
    return this.#open?.socket.open === true;
  }

  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  /** Why it is not connected, until it is. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Dials now, unless it is connected or at it. */
  hurry(): void {
    if (this.#dialling || this.#open !== undefined || this.#stopped.signal.aborted) return;
    this.#retry?.cancel();
    this.#dialling = true;
    void this.#dial();
  }

  /** False when the message was not taken. */
  send(message: PeerMessage): boolean {
    const open = this.#open;
    if (open === undefined || !open.socket.open) return false;
    if (open.socket.queuedBytes > this.#context.limits.queueBytesMax) return false;
    try {
      writeMessage(open.socket.writer, message, open.session.version);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      log.error("A {type} message to {member} cannot be sent: {reason}.", {
        type: message.type,
        member: this.endpoint.name,
        reason: error.message,
      });
      return false;
    }
    open.socket.scheduleFlush();
    return true;
  }

  flush(): void {
    this.#open?.socket.flush();
  }

  /** Called once every `pingMs`. Silence is counted in pings, so that a pause of this process is none. */
  tick(): void {
    const open = this.#open;
    if (open === undefined || !open.socket.open) return;
    if (this.#unanswered >= this.#context.limits.silentPingsMax) {
      open.socket.close(`no answer to ${this.#unanswered} pings`);
      return;
    }
    this.#unanswered++;
    this.#pingNumber++;
    this.#pingSentMs = this.#context.clock.nowMs();
    writeLinkFrame(open.socket.writer, { type: "ping", number: this.#pingNumber }, open.session.version);
    open.socket.flush();
  }

  stop(reason: string): void {
    this.#stopped.abort();
    this.#retry?.cancel();
    this.#open?.socket.closeAfterFlush(reason);
  }

  async #dial(): Promise<void> {
    const { id: expectedId, address, name } = this.endpoint;
    try {
      const target = { address: parseAddress(address), purpose: "raft" as const, expectedId };
      const dialled = await dial(this.#context, target, this.#stopped.signal);
      this.#dialling = false;
      this.#opened(dialled);
    } catch (error) {
      this.#dialling = false;
      if (this.#stopped.signal.aborted) return;
      this.#trouble = messageOf(error);
      log.debug("No connection to {name} ({member}): {reason}.", {
        name,
        member: expectedId,
        reason: this.#trouble,
      });
      this.#retryLater();
      if (error instanceof DialError && error.refusal !== undefined && error.authenticated) {
        this.#events.onRefused({ member: expectedId, ...error.refusal });
      }
    }
  }

  #opened(dialled: Dialled): void {
    if (this.#stopped.signal.aborted) {
      dialled.socket.close("it is no longer wanted");
      return;
    }
    const { id, name, address } = this.endpoint;
    this.#open = dialled;
    this.#trouble = undefined;
    this.#unanswered = 0;
    dialled.socket.handle({
      onFrame: (frame) => this.#onFrame(frame, dialled),
      onClosed: (reason) => this.#closed(reason),
    });
    dialled.socket.resume();
    log.info("Connected to member {name} at {address}.", { name, address, member: id });
    this.#context.events.onConnected(id);
    // The first measurement at once: tests of health and the choice of a transfer want one early.
    this.tick();
  }

  #onFrame(frame: Uint8Array, open: Dialled): void {
    const decoded = decodeLinkFrame(frame, open.session.version);
    if (decoded.type !== "pong" || decoded.number > this.#pingNumber) {
      throw new WireError(`a ${decoded.type} came where only answers to pings are expected`);
    }
    this.#failures = 0;
    this.#unanswered = 0;
    if (decoded.number !== this.#pingNumber) return;
    const ms = this.#context.clock.nowMs() - this.#pingSentMs;
    this.#roundTripMs = ms;
    this.#events.onRoundTrip(ms);
  }

  #closed(reason: string): void {
    this.#open = undefined;
    this.#roundTripMs = undefined;
    this.#trouble = `the connection closed: ${reason}`;
    const { id, name } = this.endpoint;
    if (!this.#stopped.signal.aborted) {
      log.info("Connection to member {name} closed: {reason}.", { name, reason });
      this.#retryLater();
    }
    this.#context.events.onDisconnected(id);
  }

  #retryLater(): void {
    const { reconnectMsMin, reconnectMsMax } = this.#context.limits;
    const ceiling = Math.min(reconnectMsMax, reconnectMsMin * 2 ** Math.min(this.#failures, 16));
    this.#failures++;
    // Between half of it and all of it, so that members do not knock in step.
    const delay = ceiling * (0.5 + this.#context.random.float() / 2);
    this.#retry = this.#context.clock.after(delay, () => this.hurry());
  }
}
