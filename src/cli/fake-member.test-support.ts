import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { encode } from "cbor-x/index-no-eval";
import type { Child, ChildCommand } from "./child.ts";
import type { Io } from "./io.ts";

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

export interface CannedAnswer {
  readonly status: number;
  /** Encoded as CBOR, or sent as they are when they are bytes. */
  readonly body: unknown;
  /** Close the connection instead of answering. */
  readonly hangUp?: boolean;
}

/** An HTTP server that answers as a test says, and remembers what it was asked. */
export class FakeMember {
  readonly seen: SeenRequest[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(answer: (request: SeenRequest) => CannedAnswer): Promise<FakeMember> {
    const server = createServer(async (request, response) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const seen: SeenRequest = {
        method: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        body: new Uint8Array(Buffer.concat(chunks)),
      };
      member.seen.push(seen);
      const { status, body, hangUp } = answer(seen);
      if (hangUp) {
        request.socket.destroy();
        return;
      }
      const raw = body instanceof Uint8Array;
      response.writeHead(status, { "content-type": raw ? "application/octet-stream" : "application/cbor" });
      response.end(raw ? body : encode(body));
    });
    const member = new FakeMember(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return member;
  }

  get endpoint(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Collects what a command prints. */
export class RecordingIo implements Io {
  readonly environment: Record<string, string> = {};
  readonly files = new Map<string, Uint8Array>();
  input = new Uint8Array(0);
  inputIsTerminal = false;
  outputIsTerminal = false;
  errors = "";
  /** To be aborted as by Ctrl-C. */
  readonly interruption = new AbortController();
  /** What was run; `onRun` answers. */
  readonly ran: ChildCommand[] = [];
  onRun: (command: ChildCommand) => Child = () => ({ exited: Promise.resolve({ code: 0 }), kill: () => {} });
  readonly #out: Uint8Array[] = [];

  get output(): string {
    return new TextDecoder().decode(this.outputBytes);
  }
  get outputBytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#out));
  }

  async out(data: Uint8Array | string): Promise<void> {
    this.#out.push(typeof data === "string" ? new TextEncoder().encode(data) : data.slice());
  }
  async err(text: string): Promise<void> {
    this.errors += text;
  }
  async readInput(): Promise<Uint8Array> {
    return this.input;
  }
  interrupted(): AbortSignal {
    return this.interruption.signal;
  }
  run(command: ChildCommand): Child {
    this.ran.push(command);
    return this.onRun(command);
  }
  readFile(path: string): Uint8Array {
    const content = this.files.get(path);
    if (content === undefined) throw new Error("no such file");
    return content;
  }
}
