import type { Socket } from "node:net";
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
import { createEtcdServices } from "../etcd/services.ts";
import type { EtcdServices, HandlersOf } from "../etcd/types.ts";
import { bind, type CallHost } from "./bindings.ts";
import type { CallContext } from "./call-context.ts";
import { Health } from "./gen/health_pb.ts";
import { ServerReflection } from "./gen/reflection-v1_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "./gen/reflection-v1alpha_pb.ts";
import { healthHandlers } from "./health.ts";
import { guardHttp2, lateAnswers } from "./http2-guard.ts";
import { MendedSocket } from "./mended-socket.ts";
import { reflectionHandlers } from "./reflection.ts";
import type { GrpcServices } from "./server.ts";

type ConnectionInjector = ReturnType<Server["createConnectionInjector"]>;

/** What calls need to know of the server. */
export interface GrpcCallsOptions {
  readonly receiveBytesMax: number;
  /** Absent until the member knows its cluster. */
  readonly services: () => GrpcServices | undefined;
  readonly stopping: () => boolean;
  /** Filled with the calls that wait, which the stop ends. */
  readonly waiting: Set<CallContext>;
}

// It would print what clients send, in its own format: metadata that it does not take, tokens among them.
setLogVerbosity(logVerbosity.NONE);

/** Silence after which a connection is asked for a sign of life, and how long it may take. */
const keepAlive = { afterMs: 60_000, withinMs: 20_000 };
const healthPollMs = 250;

/** The connections of clients and their calls, by grpc-js. */
export class GrpcCalls implements CallHost {
  readonly receiveBytesMax: number;
  readonly stopping: () => boolean;
  readonly waiting: Set<CallContext>;
  readonly #server: Server;
  readonly #injector: ConnectionInjector;
  /** By `address:port` of the client. */
  readonly #connections = new Map<string, MendedSocket>();
  readonly #services: () => GrpcServices | undefined;
  #etcd: EtcdServices | undefined;
  readonly #unguard = guardHttp2();

  constructor({ receiveBytesMax, services, stopping, waiting }: GrpcCallsOptions) {
    this.receiveBytesMax = receiveBytesMax;
    this.stopping = stopping;
    this.waiting = waiting;
    this.#services = services;
    this.#server = new Server({
      // The decoder refuses by the real limit, in etcd's words; this one bounds the memory of a call.
      "grpc.max_receive_message_length": 2 * receiveBytesMax,
      "grpc.max_send_message_length": -1,
      "grpc.max_concurrent_streams": 2 ** 31 - 1,
      "grpc.keepalive_time_ms": keepAlive.afterMs,
      "grpc.keepalive_timeout_ms": keepAlive.withinMs,
      "grpc.enable_channelz": 0,
      interceptors: [lateAnswers],
    });
    this.#addServices();
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** Serves a client's connection. */
  accept(socket: Socket): void {
    const connection = new MendedSocket(socket);
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#connections.set(peer, connection);
    socket.once("close", () => this.#connections.delete(peer));
    this.#injector.injectConnection(connection);
  }

  cut(peer: string): void {
    this.#connections.get(peer)?.destroy(new Error("the client does not read its answers"));
  }

  #running(): EtcdServices {
    this.#etcd ??= this.#services()?.etcd(createEtcdServices);
    if (this.#etcd !== undefined) return this.#etcd;
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
    const etcd = () => this.#running();
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
    const ready = (): boolean => !this.stopping() && (this.#services()?.ready() ?? false);
    const health = healthHandlers({ services: names, ready, pollMs: healthPollMs });
    add(Health, () => health);
    const reflection = reflectionHandlers([...services, ServerReflection, ServerReflectionAlpha]);
    add(ServerReflection, () => reflection.v1);
    add(ServerReflectionAlpha, () => reflection.v1alpha);
  }

  /** Lets the calls in flight end, and cuts what is left after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const timer = setTimeout(() => this.#server.forceShutdown(), graceMs);
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    clearTimeout(timer);
    this.#server.forceShutdown();
    this.#unguard();
  }
}
