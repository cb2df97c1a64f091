import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { AuthorityMender } from "./authority.ts";

/** Bytes that wait on either side before the other one is held up. */
const waitingBytesMax = 256 * 1024;

/** A client's connection as `node:http2` reads it: with what it would not take mended on the way. */
export class MendedSocket extends Duplex {
  readonly #socket: Socket;
  readonly #mender = new AuthorityMender();

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

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    if (this.#socket.write(chunk)) done();
    else this.#socket.once("drain", done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
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
