import type { Clock } from "../base/clock.ts";
import { FrameDecoder } from "../wire/frame.ts";
import { FrameWriter } from "../wire/frame-writer.ts";
import { WireError } from "../wire/wire-error.ts";
import type { PeerLimits } from "./peer-limits.ts";
import type { Socket } from "./sockets.ts";

/** Above this a written buffer is given to the socket as it is, below it is copied. */
const copyBytesMax = 64 * 1024;

export interface FramedSocketEvents {
  /** A whole frame, a view that is valid during the call. A `WireError` thrown closes the connection. */
  onFrame(frame: Uint8Array): void;
  /** Called once, never inside a method of the socket. */
  onClosed(reason: string): void;
}

/** A socket that carries frames: cuts what arrives, gathers what is sent in one turn into one write. */
export class FramedSocket {
  /** What is written here leaves at the end of the turn after `scheduleFlush`. */
  readonly writer = new FrameWriter();
  readonly remote: string;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #limits: PeerLimits;
  readonly #decoder: FrameDecoder;
  #events: FramedSocketEvents | undefined;
  #reason: string | undefined;
  #closed = false;
  #flushScheduled = false;
  #paused = false;
  #unsentBytes = 0;
  #received = 0;
  #onSent: (() => void) | undefined;
  #malformed = false;
  readonly #afterClose: (() => void)[] = [];

  constructor(socket: Socket, clock: Clock, limits: PeerLimits) {
    this.#socket = socket;
    this.#clock = clock;
    this.#limits = limits;
    this.#decoder = new FrameDecoder(limits.handshakeFrameBytesMax);
    this.remote = `${socket.remoteAddress ?? "?"}:${socket.remotePort ?? 0}`;
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    socket.on("error", (error) => this.close(error.message));
    socket.on("end", () => this.close("the other side closed it"));
    socket.on("close", () => {
      this.#reason ??= "the other side closed it";
      this.#closed = true;
      this.#events?.onClosed(this.#reason);
      for (const action of this.#afterClose) action();
      this.#onSent?.();
    });
  }

  /** Who is told from now on. Set again when the handshake is over. */
  handle(events: FramedSocketEvents): void {
    this.#events = events;
  }

  /** The longest frame accepted from now on. */
  set frameBytesMax(limit: number) {
    this.#decoder.limitBytes = limit;
  }

  get open(): boolean {
    return this.#reason === undefined;
  }

  /** Whether it was closed because of what the other side sent. */
  get malformed(): boolean {
    return this.#malformed;
  }

  /** A further listener to the end, whoever handles the frames. */
  onceClosed(action: () => void): void {
    this.#afterClose.push(action);
  }

  /** Bytes that wait here or in the operating system's way. */
  get queuedBytes(): number {
    return this.#unsentBytes + this.writer.length;
  }

  /** Rises with every piece received: a sign of life. */
  get received(): number {
    return this.#received;
  }

  /** Sees to it that what was written leaves at the end of this turn, or now when it is much. */
  scheduleFlush(): void {
    if (this.writer.length >= this.#limits.flushBytes) {
      this.flush();
      return;
    }
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#clock.endOfTurn(() => {
      this.#flushScheduled = false;
      this.flush();
    });
  }

  flush(): void {
    const length = this.writer.length;
    if (length === 0) return;
    const bytes = length > copyBytesMax ? this.writer.takeBuffer() : this.writer.takeCopy();
    if (!this.open) return;
    this.#unsentBytes += length;
    this.#socket.write(bytes, () => {
      this.#unsentBytes -= length;
      this.#onSent?.();
    });
  }

  /** Resolves when no more than this many bytes wait, or the socket is closed. */
  async drainedTo(bytes: number): Promise<void> {
    this.flush();
    while (this.#unsentBytes > bytes && !this.#closed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onSent = resolve;
      await promise;
      this.#onSent = undefined;
    }
  }

  /** Stops frames until `resume`: the sender is slowed down by TCP itself. */
  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#deliver();
    if (!this.#paused && this.open) this.#socket.resume();
  }

  /** Closes at once. `onClosed` follows in a later turn with the first reason given. */
  close(reason: string): void {
    if (!this.open) return;
    this.#reason = reason;
    this.#socket.destroy();
  }

  /** Writes what is there, then closes; hears nothing more. */
  closeAfterFlush(reason: string): void {
    if (!this.open) return;
    this.flush();
    this.#reason = reason;
    this.#socket.end();
    const timer = this.#clock.after(1_000, () => this.#socket.destroy());
    this.#socket.once("close", () => timer.cancel());
  }

  #receive(chunk: Uint8Array): void {
    if (!this.open) return;
    this.#received++;
    this.#decoder.push(chunk);
    this.#deliver();
  }

  #deliver(): void {
    try {
      while (!this.#paused && this.open) {
        const frame = this.#decoder.next();
        if (frame === undefined) return;
        this.#events?.onFrame(frame);
      }
    } catch (error) {
      if (error instanceof WireError) {
        this.#malformed = true;
        this.close(error.message);
        return;
      }
      this.close("an internal error");
      // Whatever the runtime does with errors in its callbacks: a bug must stop the member.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
