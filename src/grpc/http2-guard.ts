import process from "node:process";
import type { ServerInterceptor } from "@grpc/grpc-js";
import { getLogger } from "@logtape/logtape";

const log = getLogger(["coracle", "grpc"]);

/** As much of node:http2's stream as matters here. */
interface Http2Stream {
  readonly destroyed: boolean;
  readonly session: unknown;
  respond(...args: unknown[]): void;
  sendTrailers(...args: unknown[]): void;
}

/**
 * grpc-js asks whether a stream is destroyed before it answers, but a stream whose connection has just
 * ended is not yet, and then throws: from an event of the connection, where nobody can catch it, so that
 * a client could end the process. This makes such an answer do nothing, as to every client that is gone.
 */
export const lateAnswers: ServerInterceptor = (_method, call) => {
  const stream: unknown = Reflect.get(call, "stream");
  if (isStream(stream)) {
    const { respond, sendTrailers } = stream;
    const gone = (): boolean => stream.destroyed || stream.session === undefined;
    stream.respond = (...args) => {
      if (!gone()) respond.apply(stream, args);
    };
    stream.sendTrailers = (...args) => {
      if (!gone()) sendTrailers.apply(stream, args);
    };
  }
  return call as ReturnType<ServerInterceptor>;
};

function isStream(value: unknown): value is Http2Stream {
  return typeof value === "object" && value !== null && "respond" in value && "sendTrailers" in value;
}

let guarded = 0;

/**
 * The same for answers to calls that grpc-js turns away before they are calls: errors of node:http2 that
 * came to the process concern one connection, which is over. Every other error goes its way.
 *
 * @returns what ends the guard.
 */
export function guardHttp2(): () => void {
  if (guarded++ === 0) process.on("uncaughtException", onUncaught);
  return () => {
    if (--guarded === 0) process.off("uncaughtException", onUncaught);
  };
}

function onUncaught(error: unknown): void {
  if (isHttp2Error(error)) {
    log.debug("An answer came too late for its client: {error}", { error });
    return;
  }
  // As if nobody had listened.
  process.off("uncaughtException", onUncaught);
  guarded = 0;
  setTimeout(() => {
    throw error;
  }, 0);
}

function isHttp2Error(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("ERR_HTTP2_");
}
