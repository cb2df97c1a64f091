import { connect, type Socket } from "node:net";

/**
 * A plain HTTP/1.1 client on a socket, one request at a time, that knows what a general client
 * hides: whether any byte of a request left before it failed. It never repeats a request by itself.
 */

export interface HttpRequest {
  readonly method: string;
  /** Percent-encoded, with the query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export interface HttpResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** A request without an answer. */
export class RequestFailed extends Error {
  override readonly name = "RequestFailed";
  /** False when certainly no whole request reached the server. */
  readonly sent: boolean;

  constructor(message: string, sent: boolean) {
    super(message);
    this.sent = sent;
  }
}

interface Waiter {
  readonly resolve: (response: HttpResponse) => void;
  readonly reject: (error: RequestFailed) => void;
}

export class HttpConnection {
  readonly target: string;
  readonly #host: string;
  readonly #port: number;
  #socket: Socket | undefined;
  #received: Buffer = Buffer.alloc(0);
  #waiter: Waiter | undefined;

  /** @param target `host:port` */
  constructor(target: string) {
    this.target = target;
    const colon = target.lastIndexOf(":");
    this.#host = target.slice(0, colon);
    this.#port = Number(target.slice(colon + 1));
  }

  /** @throws RequestFailed */
  async request(request: HttpRequest, timeoutMs = 15_000): Promise<HttpResponse> {
    if (this.#waiter !== undefined) throw new Error("a request is already under way on this connection");
    const socket = this.#socket ?? (await this.#connect(timeoutMs));
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(`no answer within ${timeoutMs} ms`), timeoutMs);
      this.#waiter = {
        resolve: (response) => {
          clearTimeout(timer);
          resolve(response);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      const head = Buffer.from(headOf(request, this.target), "latin1");
      socket.write(request.body === undefined ? head : Buffer.concat([head, request.body]));
    });
  }

  close(): void {
    this.#fail("closed by the client");
  }

  #connect(timeoutMs: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: this.#host, port: this.#port, noDelay: true });
      const timer = setTimeout(() => {
        socket.destroy();
        reject(new RequestFailed(`no connection to ${this.target} within ${timeoutMs} ms`, false));
      }, timeoutMs);
      const refused = (error: Error): void => {
        clearTimeout(timer);
        reject(new RequestFailed(`no connection to ${this.target}: ${error.message}`, false));
      };
      socket.once("error", refused);
      socket.once("connect", () => {
        clearTimeout(timer);
        socket.off("error", refused);
        this.#socket = socket;
        this.#received = Buffer.alloc(0);
        const gone = (reason: string, sent = true): void => {
          if (this.#socket === socket) this.#fail(reason, sent);
        };
        // EPIPE comes from a write that the kernel did not take: the request never was whole at the server.
        socket.on("error", (error: NodeJS.ErrnoException) => gone(error.message, error.code !== "EPIPE"));
        const closed = (): void => {
          if (this.#socket !== socket) return;
          this.#receive(Buffer.alloc(0), true);
          gone("closed by the server");
        };
        socket.on("end", closed);
        socket.on("close", closed);
        socket.on("data", (chunk: Buffer) => {
          if (this.#socket === socket) this.#receive(chunk, false);
        });
        resolve(socket);
      });
    });
  }

  #fail(reason: string, sent = true): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    this.#socket?.destroy();
    this.#socket = undefined;
    waiter?.reject(new RequestFailed(`${this.target}: ${reason}`, sent));
  }

  #receive(chunk: Buffer, ended: boolean): void {
    if (this.#waiter === undefined && chunk.length === 0) return;
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    let parsed: ReturnType<typeof parseResponse>;
    try {
      parsed = parseResponse(this.#received, ended);
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
      return;
    }
    if (parsed === undefined) return;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    this.#received = this.#received.subarray(parsed.length);
    if (parsed.response.headers.get("connection")?.toLowerCase() === "close") {
      this.#socket?.destroy();
      this.#socket = undefined;
    }
    waiter?.resolve(parsed.response);
  }
}

function headOf(request: HttpRequest, target: string): string {
  let head = `${request.method} ${request.path} HTTP/1.1\r\nHost: ${target}\r\n`;
  for (const [name, value] of Object.entries(request.headers ?? {})) head += `${name}: ${value}\r\n`;
  if (request.body !== undefined) head += `Content-Length: ${request.body.length}\r\n`;
  return `${head}\r\n`;
}

/**
 * The first whole response in the bytes and its length, or `undefined` when more bytes are needed.
 * `ended`: no more will come, which ends a body without a length (RFC 9112 §6.3).
 */
function parseResponse(
  bytes: Buffer,
  ended: boolean,
): { response: HttpResponse; length: number } | undefined {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1]);
  if (Number.isNaN(status)) throw new Error(`not an HTTP answer: ${statusLine}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const start = headEnd + 4;
  if (status < 200) {
    const rest = parseResponse(bytes.subarray(start), ended);
    return rest === undefined ? undefined : { response: rest.response, length: rest.length + start };
  }
  if (status === 204 || status === 304)
    return { response: { status, headers, body: Buffer.alloc(0) }, length: start };
  if (headers.get("transfer-encoding")?.toLowerCase() === "chunked") {
    const chunks = parseChunks(bytes, start);
    return chunks && { response: { status, headers, body: chunks.body }, length: chunks.end };
  }
  const contentLength = Number(headers.get("content-length") ?? Number.NaN);
  if (Number.isNaN(contentLength))
    return ended
      ? { response: { status, headers, body: bytes.subarray(start) }, length: bytes.length }
      : undefined;
  if (bytes.length < start + contentLength) return undefined;
  const body = bytes.subarray(start, start + contentLength);
  return { response: { status, headers, body }, length: start + contentLength };
}

/** RFC 9112 §7.1, without trailers. */
function parseChunks(bytes: Buffer, start: number): { body: Buffer; end: number } | undefined {
  const chunks: Buffer[] = [];
  let offset = start;
  while (true) {
    const lineEnd = bytes.indexOf("\r\n", offset);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(bytes.toString("latin1", offset, lineEnd), 16);
    if (Number.isNaN(size)) throw new Error("a chunk without size");
    const next = lineEnd + 2 + size + 2;
    if (bytes.length < next) return undefined;
    if (size === 0) return { body: Buffer.concat(chunks), end: next };
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    offset = next;
  }
}
