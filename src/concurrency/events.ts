import type { CoracleError } from "../base/errors.ts";
import type { WatchEvent, WatchRequest, WatchService } from "../service/service.ts";

/** Batches that may wait for the reader before the watch is asked to hold on. */
const batchesMax = 16;

/**
 * The events of a watch, for a reader at its own pace. Ends with the signal.
 *
 * @throws CoracleError what ended the watch.
 */
export async function* eventsOf(
  watches: WatchService,
  request: WatchRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent, void> {
  const waiting: (readonly WatchEvent[])[] = [];
  let failure: CoracleError | undefined;
  let wake = Promise.withResolvers<void>();
  const onAbort = (): void => wake.resolve();
  if (signal.aborted) return;
  const watch = watches.open(request, {
    receive: ({ events }) => {
      if (events.length > 0) waiting.push(events);
      wake.resolve();
      return waiting.length < batchesMax;
    },
    ended: (error) => {
      failure = error;
      wake.resolve();
    },
  });
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      await wake.promise;
      if (signal.aborted) return;
      wake = Promise.withResolvers<void>();
      while (waiting.length > 0) {
        const full = waiting.length >= batchesMax;
        yield* waiting.shift() ?? [];
        if (signal.aborted) return;
        if (full) watch.resume();
      }
      if (failure !== undefined) throw failure;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    watch.cancel();
  }
}
