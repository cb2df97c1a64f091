import { getLogger } from "@logtape/logtape";
import type { Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { MemberId } from "../raft/types.ts";
import { decodeLinkFrame, type LinkFrame, type SnapshotOffer, writeLinkFrame } from "../wire/link-frames.ts";
import { WireError } from "../wire/wire-error.ts";
import type { PeerContext } from "./context.ts";
import type { FramedSocket } from "./framed-socket.ts";
import type { Session } from "./handshake.ts";

const log = getLogger(["coracle", "peer"]);

/** Where one arriving snapshot goes. Calls come one at a time, in order. */
export interface SnapshotTarget {
  /** Bytes that an earlier attempt left: the sender goes on from here. */
  readonly offset: number;
  /** `chunk` is valid until the promise settles. */
  write(chunk: Uint8Array): Promise<void>;
  /** Verifies length and SHA-256 and keeps the file. Rejects when it is not what was offered. */
  finish(): Promise<void>;
  /** The transfer broke off. What arrived may be kept for the next attempt. */
  abort(): void;
}

/** Takes snapshots from other members. Implemented by storage. */
export interface SnapshotSink {
  /** Rejects, with a sentence for the sender, when this snapshot is not wanted. */
  begin(offer: SnapshotOffer, from: MemberId): Promise<SnapshotTarget>;
}

/** Receives one snapshot on an accepted connection. */
export class SnapshotReceiver {
  readonly #context: PeerContext;
  readonly #sink: SnapshotSink;
  readonly #socket: FramedSocket;
  readonly #session: Session;
  #offer: SnapshotOffer | undefined;
  #target: SnapshotTarget | undefined;
  #offset = 0;
  /** Frames are held back while one is worked on. */
  #busy = false;
  #over = false;
  #beat: Timer | undefined;
  #silentTicks = 0;

  constructor(context: PeerContext, sink: SnapshotSink, socket: FramedSocket, session: Session) {
    this.#context = context;
    this.#sink = sink;
    this.#socket = socket;
    this.#session = session;
  }

  start(): void {
    this.#socket.handle({
      onFrame: (frame) => this.#onFrame(frame),
      onClosed: (reason) => this.#closed(reason),
    });
    this.#scheduleBeat();
  }

  #onFrame(frame: Uint8Array): void {
    this.#silentTicks = 0;
    const decoded = decodeLinkFrame(frame, this.#session.version);
    if (decoded.type === "snapshot-offer" && this.#offer === undefined) {
      this.#offer = decoded.offer;
      this.#run(this.#begin(decoded.offer));
    } else if (decoded.type === "snapshot-chunk" && this.#offer !== undefined && this.#target !== undefined) {
      this.#run(this.#write(decoded, this.#offer, this.#target));
    } else {
      throw new WireError(`a ${decoded.type} came at the wrong time`);
    }
  }

  #run(work: Promise<void>): void {
    this.#busy = true;
    this.#socket.pause();
    void work
      .catch((error: unknown) => this.#verdict(false, messageOf(error)))
      .finally(() => {
        this.#busy = false;
        if (!this.#socket.open) this.#abort();
        else this.#socket.resume();
      });
  }

  async #begin(offer: SnapshotOffer): Promise<void> {
    const target = await this.#sink.begin(offer, this.#session.remote.memberId);
    this.#target = target;
    this.#offset = target.offset;
    this.#send({ type: "snapshot-offset", offset: target.offset });
    if (this.#offset === offer.bytes) await this.#finish(offer, target);
  }

  async #write(
    chunk: Extract<LinkFrame, { type: "snapshot-chunk" }>,
    offer: SnapshotOffer,
    target: SnapshotTarget,
  ): Promise<void> {
    if (chunk.offset !== this.#offset || chunk.data.length === 0) {
      throw new Error(`a chunk at ${chunk.offset} came where one at ${this.#offset} was expected`);
    }
    if (chunk.offset + chunk.data.length > offer.bytes) throw new Error("more came than was offered");
    await target.write(chunk.data);
    this.#offset += chunk.data.length;
    if (this.#offset === offer.bytes) await this.#finish(offer, target);
  }

  async #finish(offer: SnapshotOffer, target: SnapshotTarget): Promise<void> {
    await target.finish();
    this.#over = true;
    log.info("Received the snapshot at index {index} ({bytes} bytes) from member {from}.", {
      index: offer.meta.index,
      bytes: offer.bytes,
      from: this.#session.remote.name,
    });
    this.#verdict(true, "");
  }

  #verdict(stored: boolean, message: string): void {
    if (!stored) {
      log.warn("A snapshot from member {from} was not taken: {reason}.", {
        from: this.#session.remote.name,
        reason: message,
      });
      this.#abort();
    }
    if (!this.#socket.open) return;
    writeLinkFrame(this.#socket.writer, { type: "snapshot-verdict", stored, message }, this.#session.version);
    this.#socket.closeAfterFlush(stored ? "it was stored" : message);
  }

  #send(frame: LinkFrame): void {
    if (!this.#socket.open) return;
    writeLinkFrame(this.#socket.writer, frame, this.#session.version);
    this.#socket.flush();
  }

  /** Tells the sender that this side lives, however long its disk takes; gives up a silent sender. */
  #scheduleBeat(): void {
    const { pingMs, snapshotIdleMs } = this.#context.limits;
    this.#beat = this.#context.clock.after(pingMs, () => {
      if (!this.#busy) this.#silentTicks++;
      if (this.#silentTicks * pingMs >= snapshotIdleMs) {
        this.#socket.close("the snapshot's sender is silent");
        return;
      }
      if (this.#target !== undefined || this.#busy) {
        this.#send({ type: "snapshot-offset", offset: this.#offset });
      }
      this.#scheduleBeat();
    });
  }

  #closed(reason: string): void {
    this.#beat?.cancel();
    if (!this.#over && this.#offer !== undefined) {
      log.warn("The snapshot at index {index} broke off after {offset} bytes: {reason}.", {
        index: this.#offer.meta.index,
        offset: this.#offset,
        reason,
      });
    }
    if (!this.#busy) this.#abort();
  }

  #abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#target?.abort();
  }
}
