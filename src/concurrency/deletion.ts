import type { CoracleError } from "../base/errors.ts";
import type { Watch, WatchService } from "../service/service.ts";

/** Why a wait for a deletion is over. */
export type Woken =
  | { readonly because: "deleted" }
  /** This watch cannot say any more; a read can. */
  | { readonly because: "watch-ended"; readonly error: CoracleError };

/**
 * Waits until one of these keys is deleted at a revision from `startRevision` on.
 *
 * @throws the signal's reason, and what opening a watch throws.
 */
export function deletionOf(
  watches: WatchService,
  keys: readonly Uint8Array[],
  startRevision: number,
  signal: AbortSignal,
): Promise<Woken> {
  const { promise, resolve, reject } = Promise.withResolvers<Woken>();
  const open: Watch[] = [];
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    signal.throwIfAborted();
    for (const key of keys) {
      const watch = watches.open(
        { key, startRevision, withoutPuts: true },
        {
          receive: ({ events }) => {
            if (events.length > 0) resolve({ because: "deleted" });
            return true;
          },
          ended: (error) => resolve({ because: "watch-ended", error }),
        },
      );
      open.push(watch);
    }
  } catch (error) {
    reject(error);
  }
  return promise.finally(() => {
    signal.removeEventListener("abort", abort);
    for (const watch of open) watch.cancel();
  });
}
