import type { Clock, Timer } from "../base/clock.ts";
import type { CoracleError } from "../base/errors.ts";
import type { LeaseId } from "../kv/types.ts";
import type { Watch, WatchService } from "../service/service.ts";

/** Why a wait for a deletion is over. */
export type Woken =
  /** Deleted, or written without the lease that it hung on. */
  | { readonly because: "deleted" }
  | { readonly because: "time" }
  /** This watch cannot say any more; a read can. */
  | { readonly because: "watch-ended"; readonly error: CoracleError };

/** A key, and the lease on which it hangs as far as is known. */
export interface LeasedKey {
  readonly key: Uint8Array;
  readonly lease: LeaseId;
}

/**
 * Waits until one of these keys is deleted, or put with another lease, at a revision from `startRevision`
 * on, or until a time is over.
 *
 * @throws the signal's reason, and what opening a watch throws.
 */
export function deletionOf(
  watches: WatchService,
  keys: readonly LeasedKey[],
  startRevision: number,
  signal: AbortSignal,
  limit?: { readonly clock: Clock; readonly withinMs: number },
): Promise<Woken> {
  const { promise, resolve, reject } = Promise.withResolvers<Woken>();
  const open: Watch[] = [];
  const abort = (): void => reject(signal.reason);
  const timer: Timer | undefined = limit?.clock.after(limit.withinMs, () => resolve({ because: "time" }));
  signal.addEventListener("abort", abort, { once: true });
  try {
    signal.throwIfAborted();
    for (const { key, lease } of keys) {
      const watch = watches.open(
        { key, startRevision },
        {
          receive: ({ events }) => {
            const left = events.some(({ type, keyValue }) => type === "delete" || keyValue.lease !== lease);
            if (left) resolve({ because: "deleted" });
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
    timer?.cancel();
    signal.removeEventListener("abort", abort);
    for (const watch of open) watch.cancel();
  });
}
