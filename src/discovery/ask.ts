import type { Clock } from "../base/clock.ts";

/** One question to a member by its address; `PeerNetwork.ask`. */
export type Ask = (
  address: string,
  name: string,
  body: unknown,
  options: { readonly timeoutMs: number },
) => Promise<unknown>;

/** Waits, no longer than until `signal` aborts. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = clock.after(ms, resolve);
  const abort = (): void => {
    timer.cancel();
    resolve();
  };
  if (signal?.aborted === true) abort();
  signal?.addEventListener("abort", abort, { once: true });
  return promise.finally(() => signal?.removeEventListener("abort", abort));
}
