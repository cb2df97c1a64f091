import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { getLogger } from "@logtape/logtape";
import type { createEtcdServices } from "../etcd/services.ts";
import type { EtcdServices } from "../etcd/types.ts";
import { listenError } from "../runtime/http-errors.ts";
import type { CallContext } from "./call-context.ts";
import type { GrpcCalls } from "./calls.ts";

const log = getLogger(["coracle", "grpc"]);

export interface GrpcServerOptions {
  readonly host: string;
  /** 0 lets the system choose one. */
  readonly port: number;
  /** The largest request; etcd's is its `--max-request-bytes` and 512 KiB. */
  readonly receiveBytesMax: number;
}

export interface GrpcServices {
  /** Called with the first call, and given what makes the services of a member: that is loaded with it. */
  readonly etcd: (create: typeof createEtcdServices) => EtcdServices;
  /** For the health service. */
  readonly ready: () => boolean;
}

/**
 * etcd's services over gRPC, with the standard health service and reflection. It listens before the member
 * knows its cluster, so that a port that is taken is told at once; until `serve` calls are turned away.
 *
 * grpc-js is loaded with the first connection: it takes longer than all else of a start, and many members
 * never have a gRPC client.
 */
export class GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #sockets: Server;
  /** Streams and calls that wait. */
  readonly waiting = new Set<CallContext>();
  #calls: Promise<GrpcCalls> | undefined;
  #services: GrpcServices | undefined;
  #port = 0;
  #stopping = false;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#sockets = createServer((socket) => void this.#accept(socket));
  }

  get port(): number {
    return this.#port;
  }

  /** @throws CoracleError config_invalid when the address cannot be listened on. */
  async listen(): Promise<void> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#sockets.once("error", (error) =>
        reject(listenError(error, { host, port, flag: "--listen-grpc" })),
      );
      this.#sockets.listen({ host, port }, resolve);
    });
    // Listening on a port, it has an address that is no path.
    this.#port = (this.#sockets.address() as AddressInfo).port;
  }

  /** From now on calls are answered. */
  serve(services: GrpcServices): void {
    this.#services = services;
  }

  async #accept(socket: Socket): Promise<void> {
    // It may end while grpc-js is loaded.
    socket.on("error", () => socket.destroy());
    this.#calls ??= this.#load();
    try {
      const calls = await this.#calls;
      if (!socket.destroyed) calls.accept(socket);
    } catch (error) {
      // The next connection tries again.
      this.#calls = undefined;
      log.error("grpc-js could not be loaded: {error}", { error });
      socket.destroy();
    }
  }

  async #load(): Promise<GrpcCalls> {
    const { GrpcCalls } = await import("./calls.ts");
    return new GrpcCalls({
      receiveBytesMax: this.#options.receiveBytesMax,
      services: () => this.#services,
      stopping: () => this.#stopping,
      waiting: this.waiting,
    });
  }

  /** Ends streams and calls that wait: their clients then go to another member. */
  beginStop(): void {
    this.#stopping = true;
    for (const context of this.waiting) context.abort();
  }

  /** Takes no new connections, lets calls in flight end, and cuts what is left after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.beginStop();
    this.#sockets.close();
    const calls = await this.#calls?.catch(() => undefined);
    await calls?.stop(graceMs);
  }
}
