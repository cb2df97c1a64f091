import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  MethodDefinition,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { EtcdError, grpcCodes } from "../etcd/error.ts";
import type { AnyBidi, AnyMessage, AnyServerStream, AnyUnary, HandlersOf } from "../etcd/types.ts";
import { answerGate, countedBytesMin } from "../service/answer-gate.ts";
import { CallContext, type CancellableCall } from "./call-context.ts";
import { decoder, encoder, Unreadable } from "./codec.ts";
import { serviceError } from "./status.ts";
import { requestsOf, writable } from "./streams.ts";

type AnyHandler = AnyUnary | AnyServerStream | AnyBidi;

/** What the server and its calls share. */
export interface CallHost {
  readonly receiveBytesMax: number;
  /** Streams and calls that wait, for a lock perhaps: to be ended when the member stops, or they never would. */
  readonly waiting: Set<CallContext>;
  readonly stopping: () => boolean;
  /** Ends the connection of a client (`address:port`) that does not read its answers. */
  cut(peer: string): void;
}

export interface Binding {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** A service of the generated schema with its handlers, in the words of grpc-js. */
export function bind<S extends DescService>(
  service: S,
  handlers: () => HandlersOf<S>,
  host: CallHost,
): Binding {
  const definition: Record<string, MethodDefinition<unknown, unknown>> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    definition[method.localName] = definitionOf(service, method, host);
    // The type of `handlers` says that each method has the handler of its kind.
    const handler = () => Reflect.get(handlers(), method.localName) as AnyHandler;
    implementation[method.localName] = implement(method, handler, host);
  }
  return { definition, implementation };
}

function definitionOf(
  service: DescService,
  method: DescMethod,
  host: CallHost,
): MethodDefinition<unknown, unknown> {
  const encode = encoder(method.output);
  const unary = method.methodKind === "unary";
  const unused = (): never => {
    throw new Error("a server neither encodes requests nor decodes answers");
  };
  return {
    path: `/${service.typeName}/${method.name}`,
    originalName: method.localName,
    requestStream: method.methodKind === "bidi_streaming" || method.methodKind === "client_streaming",
    responseStream: method.methodKind === "bidi_streaming" || method.methodKind === "server_streaming",
    requestDeserialize: decoder(method.input, host.receiveBytesMax),
    // What a single call answers is encoded when it is known whether anybody waits for it.
    responseSerialize: (message) => (unary ? (message as Buffer) : encode(message as AnyMessage)),
    requestSerialize: unused,
    responseDeserialize: unused,
  };
}

function implement(method: DescMethod, handler: () => AnyHandler, host: CallHost) {
  const path = `${method.parent.typeName}/${method.name}`;
  if (method.methodKind === "unary")
    return unary(handler as () => AnyUnary, encoder(method.output), path, host);
  if (method.methodKind === "server_streaming")
    return serverStream(handler as () => AnyServerStream, path, host);
  return bidi(handler as () => AnyBidi, path, host);
}

type UnaryCall = ServerUnaryCall<AnyMessage | Unreadable, Buffer>;

function unary(
  handler: () => AnyUnary,
  encode: (message: AnyMessage) => Buffer,
  path: string,
  host: CallHost,
): handleUnaryCall<AnyMessage | Unreadable, Buffer> {
  return (call, answer) => {
    // Its connection may have gone while it waited for its turn.
    if (call.cancelled) return;
    answerUnary(call, handler, host)
      .then((response) => {
        if (call.cancelled) return;
        const bytes = encode(response);
        if (bytes.length >= countedBytesMin) holdAnswer(call, bytes.length, host);
        answer(null, bytes);
      })
      .catch((error) => answer(serviceError(error, path)));
  };
}

/** Counts a large answer until the client has taken it. grpc-js says "cancelled" of every end of a call. */
function holdAnswer(call: UnaryCall, bytes: number, host: CallHost): void {
  const peer = call.getPeer();
  call.once(
    "cancelled",
    answerGate.hold(bytes, () => host.cut(peer)),
  );
}

async function answerUnary(call: UnaryCall, handler: () => AnyUnary, host: CallHost): Promise<AnyMessage> {
  const { request } = call;
  if (request instanceof Unreadable) throw request.error;
  const context = new CallContext(call);
  const answer = handler()(request, context);
  if (!context.waits) return answer;
  host.waiting.add(context);
  if (host.stopping()) context.abort();
  try {
    return await answer;
  } catch (error) {
    throw endOf(context, error, host);
  } finally {
    host.waiting.delete(context);
  }
}

/** What ended a call: the member's stop, which its handler saw as an abort, or what the handler threw. */
function endOf(context: CallContext, error: unknown, host: CallHost): unknown {
  return host.stopping() && context.aborted ? stopped() : error;
}

function stopped(): EtcdError {
  return new EtcdError(grpcCodes.unavailable, "etcdserver: server stopped");
}

function serverStream(
  handler: () => AnyServerStream,
  path: string,
  host: CallHost,
): handleServerStreamingCall<AnyMessage | Unreadable, AnyMessage> {
  return (call) => {
    const { request } = call;
    void stream(call, path, host, (context) => {
      if (request instanceof Unreadable) throw request.error;
      return handler()(request, context);
    });
  };
}

function bidi(
  handler: () => AnyBidi,
  path: string,
  host: CallHost,
): handleBidiStreamingCall<AnyMessage | Unreadable, AnyMessage> {
  return (call) => void stream(call, path, host, (context) => handler()(requestsOf(call, context), context));
}

type StreamCall = CancellableCall &
  (
    | ServerWritableStream<AnyMessage | Unreadable, AnyMessage>
    | ServerDuplexStream<AnyMessage | Unreadable, AnyMessage>
  );

/** Sends what the handler yields, as fast as the client takes it, and then the status. */
async function stream(
  call: StreamCall,
  path: string,
  host: CallHost,
  start: (context: CallContext) => AsyncIterable<AnyMessage>,
): Promise<void> {
  const context = new CallContext(call);
  host.waiting.add(context);
  // Taken now: before the first answer the client may be gone.
  const { signal } = context;
  if (host.stopping()) context.abort();
  try {
    for await (const answer of start(context)) {
      if (signal.aborted) break;
      if (!call.write(answer)) await writable(call, signal);
    }
    if (host.stopping()) throw stopped();
    call.end();
  } catch (error) {
    // grpc-js sends what is emitted as the status; nobody waits for one of a call that is cancelled.
    if (!call.cancelled) call.emit("error", serviceError(endOf(context, error, host), path));
  } finally {
    host.waiting.delete(context);
    context.abort();
  }
}
