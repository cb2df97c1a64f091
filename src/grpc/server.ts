import { type AddressInfo, createServer, type Server as SocketServer } from "node:net";
import type { DescService } from "@bufbuild/protobuf";
import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from "@grpc/grpc-js";
import { EtcdError, grpcCodes } from "../etcd/error.ts";
import { Auth } from "../etcd/gen/auth_pb.ts";
import { Cluster } from "../etcd/gen/cluster_pb.ts";
import { Election } from "../etcd/gen/election_pb.ts";
import { KV } from "../etcd/gen/kv_pb.ts";
import { Lease } from "../etcd/gen/lease_pb.ts";
import { Lock } from "../etcd/gen/lock_pb.ts";
import { Maintenance } from "../etcd/gen/maintenance_pb.ts";
import { Watch } from "../etcd/gen/watch_pb.ts";
import type { EtcdServices, HandlersOf } from "../etcd/types.ts";
import { listenError } from "../runtime/http-errors.ts";
import { bind, type CallHost } from "./bindings.ts";
import type { CallContext } from "./call-context.ts";
import { Health } from "./gen/health_pb.ts";
import { ServerReflection } from "./gen/reflection-v1_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "./gen/reflection-v1alpha_pb.ts";
import { healthHandlers } from "./health.ts";
import { guardHttp2, lateAnswers } from "./http2-guard.ts";
import { MendedSocket } from "./mended-socket.ts";
import { reflectionHandlers } from "./reflection.ts";

export interface GrpcServerOptions {
  readonly host: string;
  /** 0 lets the system choose one. */
  readonly port: number;
  /** The largest request; etcd's is its `--max-request-bytes` and 512 KiB. */
  readonly receiveBytesMax: number;
}

export interface GrpcServices {
  readonly etcd: EtcdServices;
  /** For the health service. */
  readonly ready: () => boolean;
}

// It would print what clients send, in its own format: metadata that it does not take, tokens among them.
setLogVerbosity(logVerbosity.NONE);

/** Silence after which a connection is asked for a sign of life, and how long it may take. */
const keepAlive = { afterMs: 60_000, withinMs: 20_000 };
const healthPollMs = 250;

/**
 * etcd's services over gRPC, with the standard health service and reflection. It listens before the member
 * knows its cluster, so that a port that is taken is told at once; until `serve` calls are turned away.
 */
export class GrpcServer implements CallHost {
  readonly receiveBytesMax: number;
  readonly waiting = new Set<CallContext>();
  readonly #server: Server;
  readonly #sockets: SocketServer;
  /** By `address:port` of the client. */
  readonly #connections = new Map<string, MendedSocket>();
  readonly #options: GrpcServerOptions;
  #services: GrpcServices | undefined;
  #port = 0;
  #stopping = false;
  #unguard: (() => void) | undefined;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.receiveBytesMax = options.receiveBytesMax;
    this.#server = new Server({
      // The decoder refuses by the real limit, in etcd's words; this one bounds the memory of a call.
      "grpc.max_receive_message_length": 2 * options.receiveBytesMax,
      "grpc.max_send_message_length": -1,
      "grpc.max_concurrent_streams": 2 ** 31 - 1,
      "grpc.keepalive_time_ms": keepAlive.afterMs,
      "grpc.keepalive_timeout_ms": keepAlive.withinMs,
      "grpc.enable_channelz": 0,
      interceptors: [lateAnswers],
    });
    this.#addServices();
    const connections = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#sockets = createServer((socket) => {
      const connection = new MendedSocket(socket);
      const peer = `${socket.remoteAddress}:${socket.remotePort}`;
      this.#connections.set(peer, connection);
      socket.once("close", () => this.#connections.delete(peer));
      connections.injectConnection(connection);
    });
  }

  cut(peer: string): void {
    this.#connections.get(peer)?.destroy(new Error("the client does not read its answers"));
  }

  get port(): number {
    return this.#port;
  }

  readonly stopping = (): boolean => this.#stopping;

  /** @throws CoracleError config_invalid when the address cannot be listened on. */
  async listen(): Promise<void> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#sockets.once("error", (error) =>
        reject(listenError(error, { host, port, flag: "--listen-grpc" })),
      );
      this.#sockets.listen({ host, port }, resolve);
    });
    this.#unguard = guardHttp2();
    // Listening on a port, it has an address that is no path.
    this.#port = (this.#sockets.address() as AddressInfo).port;
  }

  /** From now on calls are answered. */
  serve(services: GrpcServices): void {
    this.#services = services;
  }

  #running(): GrpcServices {
    if (this.#services !== undefined) return this.#services;
    throw new EtcdError(
      grpcCodes.unavailable,
      "etcdserver: the member is starting and has not found its cluster yet",
    );
  }

  #addServices(): void {
    const add = <S extends DescService>(service: S, handlers: () => HandlersOf<S>): void => {
      const { definition, implementation } = bind(service, handlers, this);
      this.#server.addService(definition, implementation);
    };
    const etcd = () => this.#running().etcd;
    add(KV, () => etcd().kv);
    add(Watch, () => etcd().watch);
    add(Lease, () => etcd().lease);
    add(Cluster, () => etcd().cluster);
    add(Maintenance, () => etcd().maintenance);
    add(Auth, () => etcd().auth);
    add(Lock, () => etcd().lock);
    add(Election, () => etcd().election);
    const services = [KV, Watch, Lease, Cluster, Maintenance, Auth, Lock, Election, Health];
    const names = new Set(services.map(({ typeName }) => typeName));
    const ready = (): boolean => !this.#stopping && (this.#services?.ready() ?? false);
    const health = healthHandlers({ services: names, ready, pollMs: healthPollMs });
    add(Health, () => health);
    const reflection = reflectionHandlers([...services, ServerReflection, ServerReflectionAlpha]);
    add(ServerReflection, () => reflection.v1);
    add(ServerReflectionAlpha, () => reflection.v1alpha);
  }

  /** Ends streams and calls that wait: their clients then go to another member. */
  beginStop(): void {
    this.#stopping = true;
    for (const context of this.waiting) context.abort();
  }

  /** Takes no new calls, lets those in flight end, and cuts what is left after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.beginStop();
    this.#sockets.close();
    const timer = setTimeout(() => this.#server.forceShutdown(), graceMs);
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    clearTimeout(timer);
    this.#server.forceShutdown();
    this.#unguard?.();
    this.#unguard = undefined;
  }
}
