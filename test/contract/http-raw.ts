import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** One TCP connection, to send bytes that no well-behaved client sends. */
export class RawConnection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", end);
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    await once(socket, "connect");
    return new RawConnection(socket);
  }

  write(...parts: readonly (string | Uint8Array)[]): void {
    for (const part of parts)
      this.#socket.write(typeof part === "string" ? Buffer.from(part, "latin1") : part);
  }

  /** Sends a request with a body of known length. */
  request(method: string, target: string, body: string | Uint8Array = "", headers = ""): Promise<RawAnswer> {
    const length = method === "PUT" || method === "POST" ? `Content-Length: ${body.length}\r\n` : "";
    this.write(`${method} ${target} HTTP/1.1\r\nHost: localhost\r\n${length}${headers}\r\n`, body);
    return this.answer(method === "HEAD");
  }

  /** Ends the sending direction. */
  finish(): void {
    this.#socket.end();
  }

  get hasReceived(): boolean {
    return this.#received.length > 0;
  }

  /** Reads nothing more, so that the server's answer gets stuck. */
  pause(): void {
    this.#socket.pause();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Resolves when the server has closed, with what it sent that was not read. */
  async closed(): Promise<Buffer> {
    while (!this.#ended) await this.#more();
    this.#socket.destroy();
    return this.#received;
  }

  async answer(headOnly = false): Promise<RawAnswer> {
    const head = (await this.#until("\r\n\r\n")).toString("latin1");
    const [statusLine = "", ...lines] = head.trimEnd().split("\r\n");
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    const status = Number(statusLine.split(" ")[1]);
    if (status === 100) return this.answer(headOnly);
    const empty = headOnly || status === 204 || status === 304;
    const body = empty ? Buffer.alloc(0) : await this.#body(headers);
    return { status, headers, body };
  }

  async #body(headers: ReadonlyMap<string, string>): Promise<Buffer> {
    if (headers.get("transfer-encoding") !== "chunked")
      return this.#take(Number(headers.get("content-length") ?? 0));
    const chunks: Buffer[] = [];
    for (;;) {
      const size = Number.parseInt((await this.#until("\r\n")).toString("latin1"), 16);
      const chunk = await this.#take(size + 2);
      if (size === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, size));
    }
  }

  async #until(mark: string): Promise<Buffer> {
    for (;;) {
      const at = this.#received.indexOf(mark);
      if (at !== -1) return this.#take(at + mark.length);
      await this.#more();
    }
  }

  async #take(length: number): Promise<Buffer> {
    while (this.#received.length < length) await this.#more();
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return taken;
  }

  async #more(): Promise<void> {
    if (this.#ended)
      throw new Error(`the server closed the connection after ${this.#received.toString("latin1")}`);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
