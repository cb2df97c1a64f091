import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";

export interface ProxyOptions {
  readonly port: number;
  /** The port of the member behind it. */
  readonly target: number;
  readonly member: number;
  readonly members: number;
  pidOf(member: number): number;
}

/** What a lost packet costs a TCP connection: the sender sends it again after about this long. */
const retransmitMs = 220;

/** The members at the ends of a connection. Who called is looked up when it matters: that takes a while. */
interface Ends {
  readonly caller: () => number;
  readonly called: number;
}

/** One direction of a connection: bytes that wait for their time, or for the end of a partition. */
class Stream {
  readonly #ends: Ends;
  readonly #back: boolean;
  readonly #target: Socket;
  readonly #proxy: PeerProxy;
  #waiting: { readonly dueMs: number; readonly bytes: Buffer }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastDueMs = 0;

  /** @param back from the one that was called to the one that called. */
  constructor(ends: Ends, back: boolean, source: Socket, target: Socket, proxy: PeerProxy) {
    this.#ends = ends;
    this.#back = back;
    this.#target = target;
    this.#proxy = proxy;
    source.on("data", (bytes: Buffer) => this.#take(bytes));
  }

  #take(bytes: Buffer): void {
    const lost = Math.random() * 100 < this.#proxy.lossPercent;
    const dueMs = performance.now() + this.#proxy.delayMs + (lost ? retransmitMs : 0);
    // What follows a lost packet waits for it: the order of bytes stays.
    this.#lastDueMs = Math.max(this.#lastDueMs, dueMs);
    this.#waiting.push({ dueMs: this.#lastDueMs, bytes });
    this.pass();
  }

  pass(): void {
    if (this.#proxy.isBlocked(this.#ends, this.#back)) return;
    const nowMs = performance.now();
    for (let next = this.#waiting[0]; next !== undefined && next.dueMs <= nowMs; next = this.#waiting[0]) {
      this.#target.write(next.bytes);
      this.#waiting.shift();
    }
    clearTimeout(this.#timer);
    const next = this.#waiting[0];
    if (next !== undefined) this.#timer = setTimeout(() => this.pass(), Math.max(1, next.dueMs - nowMs));
  }
}

/** Stands before one member's peer port, and knows which member each connection comes from. */
export class PeerProxy {
  readonly port: number;
  delayMs = 0;
  lossPercent = 0;
  readonly #options: ProxyOptions;
  readonly #server: Server;
  readonly #streams = new Set<Stream>();
  readonly #sockets = new Set<Socket>();
  readonly #blocked = new Set<string>();

  private constructor(options: ProxyOptions) {
    this.#options = options;
    this.port = options.port;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static listen(options: ProxyOptions): Promise<PeerProxy> {
    const proxy = new PeerProxy(options);
    return new Promise((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(options.port, "127.0.0.1", () => resolve(proxy));
    });
  }

  isBlocked({ caller, called }: Ends, back: boolean): boolean {
    if (this.#blocked.size === 0) return false;
    return this.#blocked.has(back ? `${called}>${caller()}` : `${caller()}>${called}`);
  }

  block(from: number, to: number): void {
    this.#blocked.add(`${from}>${to}`);
  }

  shape({
    delayMs = 0,
    lossPercent = 0,
  }: {
    readonly delayMs?: number;
    readonly lossPercent?: number;
  }): void {
    this.delayMs = delayMs;
    this.lossPercent = lossPercent;
  }

  heal(): void {
    this.#blocked.clear();
    this.shape({});
    for (const stream of this.#streams) stream.pass();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    const { member, target } = this.#options;
    const port = socket.remotePort ?? 0;
    let known: number | undefined;
    const caller = (): number => {
      known ??= this.#dialler(port);
      return known;
    };
    const ends: Ends = { caller, called: member };
    const onward = connect({ host: "127.0.0.1", port: target, noDelay: true });
    socket.setNoDelay(true);
    const streams = [
      new Stream(ends, false, socket, onward, this),
      new Stream(ends, true, onward, socket, this),
    ];
    for (const stream of streams) this.#streams.add(stream);
    const end = (): void => {
      for (const stream of streams) this.#streams.delete(stream);
      for (const one of [socket, onward]) {
        this.#sockets.delete(one);
        one.destroy();
      }
    };
    for (const one of [socket, onward]) {
      this.#sockets.add(one);
      // A partition keeps the news of an end back as well; it is noticed at the next write.
      one.on("error", end);
      one.on("close", end);
    }
  }

  /** The member whose process holds the other end of a connection; -1 when it is none. */
  #dialler(port: number): number {
    const inode = inodeOf(port);
    if (inode === undefined) return -1;
    for (let member = 0; member < this.#options.members; member++) {
      if (holds(this.#options.pidOf(member), inode)) return member;
    }
    return -1;
  }
}

function inodeOf(localPort: number): string | undefined {
  const local = `:${localPort.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const columns = line.trim().split(/\s+/);
    if (columns[1]?.endsWith(local) === true && columns[9] !== "0") return columns[9];
  }
  return undefined;
}

function holds(pid: number, inode: string): boolean {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).some((name) => {
      try {
        return readlinkSync(`${folder}/${name}`) === `socket:[${inode}]`;
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}
