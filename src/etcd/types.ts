import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { GenService, GenServiceMethods } from "@bufbuild/protobuf/codegenv2";
import type { Auth } from "./gen/auth_pb.ts";
import type { Cluster } from "./gen/cluster_pb.ts";
import type { Election } from "./gen/election_pb.ts";
import type { KV } from "./gen/kv_pb.ts";
import type { Lease } from "./gen/lease_pb.ts";
import type { Lock } from "./gen/lock_pb.ts";
import type { Maintenance } from "./gen/maintenance_pb.ts";
import type { Watch } from "./gen/watch_pb.ts";

/**
 * etcd's services as the faces (gRPC server, JSON gateway) call them: the handlers stand beside this file,
 * written once for both. Messages are those of the generated schema; int64 and uint64 are `bigint`.
 */

/** Through which protocol a request came: `MemberList` answers the URLs of that one. */
export type EtcdFace = "grpc" | "gateway";

export interface EtcdContext {
  readonly face: EtcdFace;
  /** Aborts when the client gave up, its deadline passed, or the server stops. */
  readonly signal: AbortSignal;
  /** Whether nobody waits for the answer any more; known without a signal, where that is cheap. */
  readonly aborted: boolean;
  /** The `authorization` (HTTP) or `token` (gRPC) the request came with, without `Bearer`. */
  readonly token?: string | undefined;
  /** The metadata `hasleader: true`: a stream is to end with `no leader` when the member has lost its leader. */
  readonly requireLeader: boolean;
}

interface EtcdMethod {
  readonly methodKind: "unary" | "server_streaming" | "client_streaming" | "bidi_streaming";
  readonly input: DescMessage;
  readonly output: DescMessage;
}

type UnaryHandler<M extends EtcdMethod> = (
  request: MessageShape<M["input"]>,
  context: EtcdContext,
) => Promise<MessageShape<M["output"]>>;

/** The answers end when the generator returns. A consumer that has enough calls `return()` and aborts `signal`. */
type ServerStreamHandler<M extends EtcdMethod> = (
  request: MessageShape<M["input"]>,
  context: EtcdContext,
) => AsyncIterable<MessageShape<M["output"]>>;

/** As a server stream. When `requests` end, the client has closed its side and may still await answers. */
type BidiHandler<M extends EtcdMethod> = (
  requests: AsyncIterable<MessageShape<M["input"]>>,
  context: EtcdContext,
) => AsyncIterable<MessageShape<M["output"]>>;

type Handler<M extends EtcdMethod> = M["methodKind"] extends "unary"
  ? UnaryHandler<M>
  : M["methodKind"] extends "server_streaming"
    ? ServerStreamHandler<M>
    : BidiHandler<M>;

/** Messages and handlers of a method that is known at run time only, as the faces bind them. */
export type AnyMessage = MessageShape<DescMessage>;
export type AnyUnary = (request: AnyMessage, context: EtcdContext) => Promise<AnyMessage>;
export type AnyServerStream = (request: AnyMessage, context: EtcdContext) => AsyncIterable<AnyMessage>;
export type AnyBidi = (
  requests: AsyncIterable<AnyMessage>,
  context: EtcdContext,
) => AsyncIterable<AnyMessage>;

type MethodsOf<S> = S extends GenService<infer M extends GenServiceMethods> ? M : never;

/** One handler for each method, by its name in lower camel case: `range`, `leaseGrant`. */
export type HandlersOf<S> = {
  readonly [K in keyof MethodsOf<S>]: Handler<MethodsOf<S>[K]>;
};

export interface EtcdServices {
  readonly kv: HandlersOf<typeof KV>;
  readonly watch: HandlersOf<typeof Watch>;
  readonly lease: HandlersOf<typeof Lease>;
  readonly cluster: HandlersOf<typeof Cluster>;
  readonly maintenance: HandlersOf<typeof Maintenance>;
  readonly auth: HandlersOf<typeof Auth>;
  readonly lock: HandlersOf<typeof Lock>;
  readonly election: HandlersOf<typeof Election>;
}
