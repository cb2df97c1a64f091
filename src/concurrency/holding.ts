import { CoracleError } from "../base/errors.ts";
import { pause } from "../base/pause.ts";
import { deletionOf } from "./deletion.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { isPassing } from "./passing.ts";
import type { Claim, ConcurrencyDependencies } from "./types.ts";

/** How long to rest when this member can serve no read or watch now. */
const retryMs = 500;

/**
 * Keeps a claim's lease alive until the signal aborts, and gives the TTL at the start and after each
 * renewal. The claim stays when it ends.
 *
 * @throws CoracleError `lease_not_found` when the lease ended, `not_found` when somebody deleted the key, or
 *   wrote it without its lease.
 */
export async function* hold(
  deps: ConcurrencyDependencies,
  claim: Claim,
  signal: AbortSignal,
): AsyncGenerator<number, void> {
  const { leases, clock } = deps;
  const { lease } = claim;
  // A renewal at once: it says how long the lease is, and from when on that counts.
  const renewedAtMs = clock.nowMs();
  let { ttlSeconds } = await leases.keepAlive(lease);
  let wake = Promise.withResolvers<void>();
  const ended = new AbortController();
  const onAbort = (): void => {
    ended.abort();
    wake.resolve();
  };
  let failure: { readonly error: unknown } | undefined;
  const onLost = (error: unknown): void => {
    failure ??= { error };
    wake.resolve();
  };
  const onRenewed = (seconds: number): void => {
    ttlSeconds = seconds;
    wake.resolve();
  };
  const renew = () => leases.keepAlive(lease);
  const keeper = new LeaseKeeper({ renew, clock, lease, ttlSeconds, renewedAtMs, onLost, onRenewed });
  keyLost(deps, claim, ended.signal).catch(onLost);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    while (!signal.aborted) {
      if (failure !== undefined) throw failure.error;
      yield ttlSeconds;
      await wake.promise;
      wake = Promise.withResolvers();
    }
  } finally {
    keeper.stop();
    ended.abort();
    signal.removeEventListener("abort", onAbort);
  }
}

/** Rejects when the claim's key is not there any more, or with the signal's reason. */
async function keyLost(deps: ConcurrencyDependencies, claim: Claim, signal: AbortSignal): Promise<never> {
  const { key, createRevision, lease } = claim;
  const read = { type: "range", key, revision: 0, limit: 1, keysOnly: true } as const;
  for (let from = claim.revision + 1; ; ) {
    try {
      const woken = await deletionOf(deps.watches, [{ key, lease }], from, signal);
      if (woken.because === "watch-ended" && !isPassing(woken.error)) throw woken.error;
      const { keys, revision } = await deps.kv.range(read, { mode: "linearizable" });
      if (keys[0]?.createRevision !== createRevision) {
        throw new CoracleError("not_found", "The key of this claim was deleted: it is not held any more.");
      }
      if (keys[0].lease !== lease) {
        throw new CoracleError(
          "not_found",
          "Somebody wrote the key of this claim without its lease: it is not held any more.",
        );
      }
      from = revision + 1;
      if (woken.because === "watch-ended") await pause(deps.clock, retryMs, signal);
    } catch (error) {
      if (signal.aborted || !isPassing(error)) throw error;
      await pause(deps.clock, retryMs, signal);
    }
  }
}
