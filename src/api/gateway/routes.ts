import { type DescMethod, type DescService, toBinary } from "@bufbuild/protobuf";
import type { Context } from "hono";
import { utf8 } from "../../base/bytes.ts";
import { grpcCodes } from "../../etcd/error.ts";
import { Auth } from "../../etcd/gen/auth_pb.ts";
import { Cluster } from "../../etcd/gen/cluster_pb.ts";
import { Election } from "../../etcd/gen/election_pb.ts";
import { KV } from "../../etcd/gen/kv_pb.ts";
import { Lease } from "../../etcd/gen/lease_pb.ts";
import { Lock } from "../../etcd/gen/lock_pb.ts";
import { Maintenance } from "../../etcd/gen/maintenance_pb.ts";
import { Watch } from "../../etcd/gen/watch_pb.ts";
import type { AnyBidi, AnyMessage, AnyServerStream, AnyUnary, EtcdServices } from "../../etcd/types.ts";
import { answerGate, countedBytesMin } from "../../service/answer-gate.ts";
import type { Handler } from "../context.ts";
import { decoderOf } from "./decode.ts";
import { encoderOf } from "./encode.ts";
import { errorResponse, told } from "./errors.ts";
import { firstValue } from "./json.ts";
import {
  bodyText,
  checkMessageBytes,
  firstMessage,
  GatewayContext,
  messageBytesMaxOf,
  readAs,
} from "./request.ts";
import { streamResponse } from "./stream.ts";

/** etcd 3.4's paths, and those of later ones that clients use, below `/v3`. */
export const gatewayPaths: readonly (readonly [path: string, service: keyof EtcdServices, method: string])[] =
  [
    ["/kv/range", "kv", "range"],
    ["/kv/put", "kv", "put"],
    ["/kv/deleterange", "kv", "deleteRange"],
    ["/kv/txn", "kv", "txn"],
    ["/kv/compaction", "kv", "compact"],
    ["/watch", "watch", "watch"],
    ["/lease/grant", "lease", "leaseGrant"],
    ["/lease/revoke", "lease", "leaseRevoke"],
    ["/kv/lease/revoke", "lease", "leaseRevoke"],
    ["/lease/keepalive", "lease", "leaseKeepAlive"],
    ["/lease/timetolive", "lease", "leaseTimeToLive"],
    ["/kv/lease/timetolive", "lease", "leaseTimeToLive"],
    ["/lease/leases", "lease", "leaseLeases"],
    ["/kv/lease/leases", "lease", "leaseLeases"],
    ["/cluster/member/add", "cluster", "memberAdd"],
    ["/cluster/member/remove", "cluster", "memberRemove"],
    ["/cluster/member/update", "cluster", "memberUpdate"],
    ["/cluster/member/list", "cluster", "memberList"],
    ["/cluster/member/promote", "cluster", "memberPromote"],
    ["/maintenance/alarm", "maintenance", "alarm"],
    ["/maintenance/status", "maintenance", "status"],
    ["/maintenance/defragment", "maintenance", "defragment"],
    // 3.4 answers HashKV at `hash`; later ones have a path of its name.
    ["/maintenance/hash", "maintenance", "hashKV"],
    ["/maintenance/hashkv", "maintenance", "hashKV"],
    ["/maintenance/snapshot", "maintenance", "snapshot"],
    ["/maintenance/transfer-leadership", "maintenance", "moveLeader"],
    ["/maintenance/downgrade", "maintenance", "downgrade"],
    ["/auth/enable", "auth", "authEnable"],
    ["/auth/disable", "auth", "authDisable"],
    ["/auth/status", "auth", "authStatus"],
    ["/auth/authenticate", "auth", "authenticate"],
    ["/auth/user/add", "auth", "userAdd"],
    ["/auth/user/get", "auth", "userGet"],
    ["/auth/user/list", "auth", "userList"],
    ["/auth/user/delete", "auth", "userDelete"],
    ["/auth/user/changepw", "auth", "userChangePassword"],
    ["/auth/user/grant", "auth", "userGrantRole"],
    ["/auth/user/revoke", "auth", "userRevokeRole"],
    ["/auth/role/add", "auth", "roleAdd"],
    ["/auth/role/get", "auth", "roleGet"],
    ["/auth/role/list", "auth", "roleList"],
    ["/auth/role/delete", "auth", "roleDelete"],
    ["/auth/role/grant", "auth", "roleGrantPermission"],
    ["/auth/role/revoke", "auth", "roleRevokePermission"],
    ["/lock/lock", "lock", "lock"],
    ["/lock/unlock", "lock", "unlock"],
    ["/election/campaign", "election", "campaign"],
    ["/election/proclaim", "election", "proclaim"],
    ["/election/leader", "election", "leader"],
    ["/election/observe", "election", "observe"],
    ["/election/resign", "election", "resign"],
  ];

const schemas: Readonly<Record<keyof EtcdServices, DescService>> = {
  kv: KV,
  watch: Watch,
  lease: Lease,
  cluster: Cluster,
  maintenance: Maintenance,
  auth: Auth,
  lock: Lock,
  election: Election,
};

export interface GatewayOptions {
  /** Aborted when the member begins to stop: what waits or streams ends. */
  readonly stopping: AbortSignal;
  readonly valueBytesMax: number;
}

/** Serves etcd's JSON gateway: each path of it, by POST. */
export function mountGateway(
  serve: (method: string, path: string, handler: Handler) => void,
  services: EtcdServices,
  { stopping, valueBytesMax }: GatewayOptions,
): void {
  const messageBytesMax = messageBytesMaxOf(valueBytesMax);
  for (const [path, service, name] of gatewayPaths) {
    const method = schemas[service].method[name];
    const handler: unknown = Reflect.get(services[service], name);
    if (method === undefined || typeof handler !== "function") throw new Error(`${path} has no handler`);
    const gateway = gatewayHandler(answerer(method, handler, messageBytesMax), method, stopping);
    serve("POST", `/v3${path}`, gateway);
    serve("POST", `/v3beta${path}`, gateway);
  }
}

const served = new Set(gatewayPaths.flatMap(([path]) => [`/v3${path}`, `/v3beta${path}`]));

export function isGatewayPath(path: string): boolean {
  return path.startsWith("/v3/") || path.startsWith("/v3beta/");
}

/**
 * What nothing else serves below `/v3`. OPTIONS is answered as etcd does, but names no origin: pages of
 * other origins get no permission (`crossSiteGuard`).
 */
export function strayGatewayResponse(method: string, path: string): Response {
  if (method === "OPTIONS") {
    return new Response(null, {
      headers: {
        "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
        "access-control-allow-headers": "accept, content-type, authorization",
      },
    });
  }
  const headers = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
  return served.has(path)
    ? new Response("Method Not Allowed\n", { status: 405, headers: { ...headers, allow: "POST, OPTIONS" } })
    : new Response("Not Found\n", { status: 404, headers });
}

function gatewayHandler(answer: Answer, method: DescMethod, stopping: AbortSignal): Handler {
  const path = `${method.parent.typeName}/${method.name}`;
  return async (c) => {
    const context = new GatewayContext(c, stopping);
    try {
      return await answer(c, context, path);
    } catch (error) {
      return errorResponse(told(error, path, context));
    }
  };
}

type Answer = (c: Context, context: GatewayContext, path: string) => Promise<Response>;

const jsonHeaders = { headers: { "content-type": "application/json" } };

/** The type of `EtcdServices` says that each method has the handler of its kind. */
function answerer(method: DescMethod, handler: unknown, messageBytesMax: number): Answer {
  const decode = decoderOf(method.input);
  const encode = encoderOf(method.output);
  const first = async (c: Context): Promise<AnyMessage> => {
    const text = await bodyText(c.req.raw, messageBytesMax);
    const message = firstMessage(text, decode);
    checkMessageBytes(text, messageBytesMax, () => toBinary(method.input, message).length);
    return message;
  };
  if (method.methodKind === "unary") {
    const unary = handler as AnyUnary;
    return async (c, context) => {
      try {
        const text = encode(await unary(await first(c), context));
        return new Response(text.length < countedBytesMin ? text : answerGate.body(utf8(text)), jsonHeaders);
      } finally {
        context.end();
      }
    };
  }
  const line = (message: AnyMessage): string => `{"result":${encode(message)}}`;
  if (method.methodKind === "server_streaming") {
    const stream = handler as AnyServerStream;
    return async (c, context, path) => streamResponse(stream(await first(c), context), line, context, path);
  }
  const bidi = handler as AnyBidi;
  return async (c, context, path) => {
    const text = await bodyText(c.req.raw, messageBytesMax);
    // What is wrong with the first document is told, what is wrong behind it ends the requests.
    const head = readAs(grpcCodes.unknown, () => {
      const found = firstValue(text);
      return found && { message: decode(found.value), end: found.end };
    });
    return streamResponse(bidi(messagesOf(text, head, decode), context), line, context, path);
  };
}

async function* messagesOf<M>(
  text: string,
  head: { readonly message: M; readonly end: number } | undefined,
  decode: (json: NonNullable<ReturnType<typeof firstValue>>["value"]) => M,
): AsyncGenerator<M, void> {
  if (head === undefined) return;
  yield head.message;
  let position = head.end;
  for (;;) {
    let next: M;
    try {
      const found = firstValue(text, position);
      if (found === undefined) return;
      next = decode(found.value);
      position = found.end;
    } catch {
      return;
    }
    yield next;
  }
}
