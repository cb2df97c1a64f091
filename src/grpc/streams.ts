import type { EventEmitter } from "node:events";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { CallContext } from "./call-context.ts";
import { Unreadable } from "./codec.ts";

/**
 * The requests of a stream, one at a time: the next is read from the connection when the one before is
 * taken. They end when the client closes its side or the call ends.
 */
export async function* requestsOf<Q>(
  call: ServerDuplexStream<Q | Unreadable, unknown>,
  context: CallContext,
): AsyncGenerator<Exclude<Q, Unreadable>, void, void> {
  const { signal } = context;
  let wake: () => void = () => {};
  const woken = () => wake();
  let ended = false;
  const end = () => {
    ended = true;
    wake();
  };
  call.on("readable", woken);
  call.once("end", end);
  call.once("close", end);
  signal.addEventListener("abort", end, { once: true });
  try {
    while (!signal.aborted) {
      const request: Q | Unreadable | null = call.read();
      if (request instanceof Unreadable) throw request.error;
      if (request !== null) yield request as Exclude<Q, Unreadable>;
      else if (ended) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    call.off("readable", woken);
    call.off("end", end);
    call.off("close", end);
    signal.removeEventListener("abort", end);
    // Without a reader the end of the client's side would never be seen.
    call.resume();
  }
}

/** Resolves when the client has taken enough of what was written, or the call is over. */
export function writable(call: EventEmitter, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      call.off("drain", done);
      call.off("close", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    if (signal.aborted) return done();
    call.on("drain", done);
    call.on("close", done);
    signal.addEventListener("abort", done, { once: true });
  });
}
