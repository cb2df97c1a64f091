import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { answerGate } from "../service/answer-gate.ts";
import { AuthorityMender } from "./authority.ts";

/** Bytes that wait on either side before the other one is held up. */
const waitingBytesMax = 256 * 1024;
/** Bytes that one client may leave unread here; beyond them it is cut off. */
const unreadBytesMax = 32 * 1024 * 1024;
const blockBytes = 32 * 1024;
/** How long a connection that is over may take to bring its last bytes to the client. */
const lingerMs = 5_000;

/**
 * A client's connection as `node:http2` reads and writes it. What it would not take is mended on the way
 * in. On the way out the frames of one turn are gathered: an answer is three of them, and each would be
 * a system call of its own.
 */
export class MendedSocket extends Duplex {
  readonly #socket: Socket;
  readonly #mender = new AuthorityMender();
  #block = Buffer.allocUnsafe(blockBytes);
  #used = 0;
  #flushPlanned = false;
  /** The client does not take what is sent; until it does, nothing more is taken from http2. */
  #held = false;
  /** As counted in the gate of answers. */
  #unread = 0;
  #onTaken: (() => void) | undefined;

  constructor(socket: Socket) {
    super({ highWaterMark: waitingBytesMax });
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      const mended = this.#mender.mend(chunk);
      if (mended.length > 0 && !this.push(mended)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
    // The session hears of it by the close; without a listener of its own an error would end the process.
    this.on("error", () => {});
  }

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#socket.remotePort;
  }

  get localAddress(): string | undefined {
    return this.#socket.localAddress;
  }

  get localPort(): number | undefined {
    return this.#socket.localPort;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    // Copied: whoever wrote it may use the memory again after `done`.
    // A client may allow any number of bytes to be on their way, and then read none of them.
    if (this.writableLength > unreadBytesMax) {
      this.destroy(new Error("the client does not read its answers"));
      return;
    }
    if (this.#held) this.#countUnread(this.writableLength);
    if (this.#used + chunk.length > this.#block.length) this.#grow(this.#used + chunk.length);
    this.#block.set(chunk, this.#used);
    this.#used += chunk.length;
    if (!this.#flushPlanned) {
      this.#flushPlanned = true;
      setImmediate(() => this.#flush());
    }
    if (this.#used < waitingBytesMax && !this.#held) done();
    else this.#onTaken = done;
  }

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#block.length));
    larger.set(this.#block.subarray(0, this.#used));
    this.#block = larger;
  }

  #flush(): void {
    this.#flushPlanned = false;
    if (this.#used > 0 && !this.#socket.destroyed) {
      const taken = this.#socket.write(this.#block.subarray(0, this.#used));
      this.#block = Buffer.allocUnsafe(blockBytes);
      if (!taken && !this.#held) {
        this.#held = true;
        this.#socket.once("drain", () => {
          this.#held = false;
          this.#countUnread(0);
          this.#taken();
        });
      }
    }
    this.#used = 0;
    if (!this.#held) this.#taken();
  }

  /** What the client has not read counts among the answers that wait. */
  #countUnread(bytes: number): void {
    answerGate.count(bytes - this.#unread);
    this.#unread = bytes;
  }

  #taken(): void {
    const done = this.#onTaken;
    this.#onTaken = undefined;
    done?.();
  }

  override _final(done: () => void): void {
    this.#flush();
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#countUnread(0);
    if (error === null && !this.#socket.destroyed) {
      this.#flush();
      const cut = setTimeout(() => this.#socket.destroy(), lingerMs);
      this.#socket.once("close", () => clearTimeout(cut));
      this.#socket.end(() => this.#socket.destroy());
    } else this.#socket.destroy();
    done(error);
  }

  // What http2 asks of a socket; this one has no time limit, and keeps the process up as the real one does.

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}
