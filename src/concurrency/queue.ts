import { getLogger } from "@logtape/logtape";
import { emptyBytes } from "../base/bytes.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import { pause } from "../base/pause.ts";
import { type JoinedSignal, joinedSignal } from "../base/signals.ts";
import type { LeaseId, TxnOperation, TxnResult } from "../kv/types.ts";
import {
  type Claimed,
  type ClaimWords,
  claimedOf,
  claimKeyOf,
  claimTxn,
  type MadeClaim,
  placeOf,
  sameRevisionMax,
  standing,
  withdrawTxn,
} from "./claim.ts";
import { deletionOf } from "./deletion.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { codeOf, isPassing } from "./passing.ts";
import { type Claims, claimsAmong } from "./strangers.ts";
import type { Claim, ClaimRequest, ConcurrencyDependencies } from "./types.ts";

const log = getLogger(["coracle", "concurrency"]);

/** Of a lease that is granted for a claim; etcd's sessions have the same. */
const ttlSecondsDefault = 60;
/** A claim whose outcome is unknown is sent again so often. */
const claimTriesMax = 3;
const retryMs = { first: 100, max: 2000 } as const;
/** How long a key that must not stay behind is tried to be deleted. */
const withdrawMsMax = 10 * 60 * 1000;

/** The lease that a claim stands on, and who keeps it alive meanwhile. */
interface Session {
  readonly lease: LeaseId;
  /** Given when the lease was granted for the claim. */
  readonly ttlSeconds?: number;
  readonly keeper?: LeaseKeeper;
}

/** Makes claims and waits until they are first; locks and elections are the same here. */
export class ClaimQueue {
  readonly #deps: ConcurrencyDependencies;

  constructor(deps: ConcurrencyDependencies) {
    this.#deps = deps;
  }

  /** As `LockService.acquire`; `value` is the claim's. */
  async claim(request: ClaimRequest, value: Uint8Array = emptyBytes): Promise<Claim> {
    request.signal?.throwIfAborted();
    const session = await this.#session(request);
    const limit = this.#limitOf(request);
    try {
      const claim = await this.#first(request, session, value, limit.signal);
      return session.ttlSeconds === undefined ? claim : { ...claim, ttlSeconds: session.ttlSeconds };
    } catch (error) {
      if (session.ttlSeconds !== undefined) await this.#revoke(session.lease);
      throw error;
    } finally {
      session.keeper?.stop();
      limit.end();
    }
  }

  async transact(body: TxnOperation, idempotencyKey?: string): Promise<TxnResult> {
    const result = await this.#deps.kv.propose(
      idempotencyKey === undefined ? { body } : { body, idempotencyKey },
    );
    if (result.type !== "txn") throw new Error(`a transaction was answered with type ${result.type}`);
    return result;
  }

  async #session({ lease, ttlSeconds: wanted = ttlSecondsDefault }: ClaimRequest): Promise<Session> {
    if (lease !== 0) return { lease };
    const { leases, clock } = this.#deps;
    const renewedAtMs = clock.nowMs();
    const { id, ttlSeconds } = await leases.grant(0, wanted);
    return {
      lease: id,
      ttlSeconds,
      keeper: new LeaseKeeper({
        renew: () => leases.keepAlive(id),
        clock,
        lease: id,
        ttlSeconds,
        renewedAtMs,
      }),
    };
  }

  /** The caller's signal and its limit of time as one. */
  #limitOf({ waitMs, signal }: ClaimRequest): JoinedSignal {
    if (waitMs === undefined || waitMs === 0) return joinedSignal(signal === undefined ? [] : [signal]);
    const limit = new AbortController();
    const timer = this.#deps.clock.after(waitMs, () => limit.abort(heldError(waitMs)));
    const joined = joinedSignal(signal === undefined ? [limit.signal] : [signal, limit.signal]);
    return {
      signal: joined.signal,
      end: () => {
        timer.cancel();
        joined.end();
      },
    };
  }

  async #first(
    request: ClaimRequest,
    session: Session,
    value: Uint8Array,
    signal: AbortSignal,
  ): Promise<Claim> {
    const { name, waitMs, takeOver = false } = request;
    const words = { name, lease: session.lease, value, takeOver };
    let onlyWhenFree = waitMs === 0;
    for (;;) {
      const joined = await this.#join({ ...words, onlyWhenFree });
      const { claim, revision, first, strangerFirst, inTheWay } = joined;
      if (inTheWay !== undefined) {
        await this.transact(withdrawTxn(inTheWay));
        continue;
      }
      if (claim === undefined && strangerFirst && onlyWhenFree) {
        // It may be free all the same: a place in the queue will tell.
        onlyWhenFree = false;
        continue;
      }
      if (claim === undefined || (waitMs === 0 && !first && !strangerFirst)) throw heldError(0);
      try {
        // A caller that is gone cannot be told that it holds the lock.
        request.signal?.throwIfAborted();
        const firstAt = first ? revision : await this.#wait(name, claim, signal, waitMs === 0);
        if (firstAt === "gone") continue;
        const { modRevision: _, ...found } = claim;
        return { ...found, name, revision: firstAt };
      } catch (error) {
        if (session.ttlSeconds === undefined && !isStopping(error)) await this.#withdraw(claim);
        throw error;
      }
    }
  }

  /** The claim's transaction; twice is as once, so an unknown outcome is made known by another try. */
  async #join(words: ClaimWords): Promise<Claimed> {
    const { name, lease } = words;
    for (let tries = 1; ; tries++) {
      try {
        return claimedOf(await this.transact(claimTxn(words)), claimKeyOf(name, lease), lease);
      } catch (error) {
        if (codeOf(error) !== "outcome_unknown" || tries === claimTriesMax) throw error;
      }
    }
  }

  /** Resolves with the store's revision at which the claim was first, or when the claim is no more. */
  async #wait(
    name: Uint8Array,
    claim: MadeClaim,
    signal: AbortSignal,
    once: boolean,
  ): Promise<number | "gone"> {
    const { kv, leases, watches, clock } = this.#deps;
    let delayMs: number = retryMs.first;
    const retryLater = async (error: unknown): Promise<void> => {
      if (!isPassing(error)) throw error;
      await pause(clock, delayMs, signal);
      delayMs = Math.min(2 * delayMs, retryMs.max);
    };
    for (;;) {
      signal.throwIfAborted();
      let place: Awaited<ReturnType<typeof kv.range>>;
      let claims: Claims;
      try {
        place = await kv.range(placeOf(name, claim.createRevision), { mode: "linearizable" });
        claims = await claimsAmong(leases, place.keys);
        delayMs = retryMs.first;
      } catch (error) {
        await retryLater(error);
        continue;
      }
      signal.throwIfAborted();
      // Behind so many keys that are no claims nobody looks for one: they stand in the way, as in etcd.
      const seen = standing(claims.keys, claim);
      const unsure = seen === "first" && place.keys.length > sameRevisionMax;
      const stands = unsure ? standing(place.keys, claim) : seen;
      if (stands === "first") return place.revision;
      if (stands === "gone") return "gone";
      if (once) throw heldError(0);
      const { untilSeconds } = claims;
      const woken = await deletionOf(
        watches,
        [stands.before, claim],
        place.revision + 1,
        signal,
        untilSeconds === undefined ? undefined : { clock, withinMs: untilSeconds * 1000 + retryMs.first },
      );
      if (woken.because === "watch-ended" && woken.error.code !== "revision_compacted") {
        await retryLater(woken.error);
      }
    }
  }

  /** Deletes a claim that is given up; what cannot be done now is tried again beside the answer. */
  async #withdraw(claim: MadeClaim): Promise<void> {
    const attempt = async (): Promise<unknown> => {
      try {
        await this.transact(withdrawTxn(claim));
        return undefined;
      } catch (error) {
        return error;
      }
    };
    const error = await attempt();
    if (error !== undefined) void this.#withdrawLater(attempt, error);
  }

  async #withdrawLater(attempt: () => Promise<unknown>, firstError: unknown): Promise<void> {
    const { clock } = this.#deps;
    const startMs = clock.nowMs();
    let delayMs: number = retryMs.first;
    let error = firstError;
    while (error !== undefined && !isStopping(error)) {
      if (clock.nowMs() - startMs > withdrawMsMax) {
        log.warn("A place in the queue for a lock stays until its lease ends: {reason}", {
          reason: messageOf(error),
        });
        return;
      }
      await pause(clock, delayMs);
      delayMs = Math.min(2 * delayMs, retryMs.max);
      error = await attempt();
    }
  }

  /** Ends the lease that was granted for a claim, and with it the claim. Without success its TTL does it. */
  async #revoke(lease: LeaseId): Promise<void> {
    try {
      await this.#deps.leases.revoke(lease);
    } catch (error) {
      log.debug("The lease {lease} of a claim given up ends by its TTL: {reason}", {
        lease,
        reason: messageOf(error),
      });
    }
  }
}

function heldError(waitMs: number): CoracleError {
  const when = waitMs === 0 ? "now" : `and did not come free within ${waitMs} ms`;
  return new CoracleError(
    "lock_held",
    `Another one holds the lock or leads ${when}; wait longer, or try again later.`,
  );
}

function isStopping(error: unknown): boolean {
  return codeOf(error) === "shutting_down";
}
