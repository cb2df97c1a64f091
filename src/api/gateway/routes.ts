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
import { gatewayPaths } from "./paths.ts";
import {
  bodyText,
  checkMessageBytes,
  firstMessage,
  GatewayContext,
  messageBytesMaxOf,
  readAs,
} from "./request.ts";
import { streamResponse } from "./stream.ts";

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

/** What serves each of `gatewayPaths`. */
export function gatewayHandlers(
  services: EtcdServices,
  { stopping, valueBytesMax }: GatewayOptions,
): ReadonlyMap<string, Handler> {
  const messageBytesMax = messageBytesMaxOf(valueBytesMax);
  return new Map(
    gatewayPaths.map(([path, service, name]) => {
      const method = schemas[service].method[name];
      const handler: unknown = Reflect.get(services[service], name);
      if (method === undefined || typeof handler !== "function") throw new Error(`${path} has no handler`);
      return [path, gatewayHandler(answerer(method, handler, messageBytesMax), method, stopping)];
    }),
  );
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
