import { pause } from "../base/pause.ts";
import type { KeyRange, KeyValue } from "../kv/types.ts";
import type { WatchEvent } from "../service/service.ts";
import { proclaimTxn, queueOf, resignTxn } from "./claim.ts";
import { eventsOf } from "./events.ts";
import { isPassing } from "./passing.ts";
import { ClaimQueue } from "./queue.ts";
import { headOf } from "./strangers.ts";
import type {
  CampaignRequest,
  Claim,
  ClaimKey,
  ConcurrencyDependencies,
  ElectionService,
  ElectionState,
} from "./types.ts";

/** How long an observer rests when this member can serve no read or watch now. */
const retryMs = 500;

type LeaderSeen = { readonly revision: number; readonly leader: KeyValue };

/** Elections by the keys of etcd's `concurrency.Election`. */
export class Elections implements ElectionService {
  readonly #deps: ConcurrencyDependencies;
  readonly #queue: ClaimQueue;

  constructor(deps: ConcurrencyDependencies) {
    this.#deps = deps;
    this.#queue = new ClaimQueue(deps);
  }

  campaign(request: CampaignRequest): Promise<Claim> {
    return this.#queue.claim(request, request.value);
  }

  async proclaim(claim: ClaimKey, value: Uint8Array, idempotencyKey?: string) {
    const { succeeded, revision } = await this.#queue.transact(proclaimTxn(claim, value), idempotencyKey);
    return succeeded ? { revision } : undefined;
  }

  async resign(claim: ClaimKey, idempotencyKey?: string) {
    const { succeeded, revision } = await this.#queue.transact(resignTxn(claim), idempotencyKey);
    return { revision, resigned: succeeded };
  }

  async leader(name: Uint8Array): Promise<ElectionState> {
    const { revision, head } = await headOf(this.#deps, name);
    return { revision, leader: head };
  }

  async *observe(name: Uint8Array, signal: AbortSignal): AsyncGenerator<LeaderSeen, void> {
    let toldRevision = 0;
    while (!signal.aborted) {
      try {
        const { revision, leader } = await this.leader(name);
        if (signal.aborted) return;
        let seen: LeaderSeen | undefined = leader === undefined ? undefined : { revision, leader };
        let from = revision + 1;
        if (seen === undefined) {
          // Nobody stands in the queue: the first who comes leads.
          const event = await this.#next(queueOf(name), from, signal, { withoutDeletes: true });
          // Without a lease it is no claim; the next read tells who leads.
          if (event === undefined || event.keyValue.lease === 0) continue;
          seen = { revision: event.keyValue.modRevision, leader: event.keyValue };
          from = event.keyValue.modRevision + 1;
        }
        // After a break the same is not told again.
        if (seen.leader.modRevision > toldRevision) yield seen;
        toldRevision = Math.max(toldRevision, seen.leader.modRevision);
        for await (const { keyValue } of this.#reign(seen.leader.key, from, signal)) {
          toldRevision = keyValue.modRevision;
          yield { revision: keyValue.modRevision, leader: keyValue };
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!isPassing(error)) throw error;
        await pause(this.#deps.clock, retryMs, signal);
      }
    }
  }

  /** What the leader puts to its key, until the key is deleted. */
  async *#reign(
    key: Uint8Array,
    startRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent, void> {
    for await (const event of eventsOf(this.#deps.watches, { key, startRevision }, signal)) {
      if (event.type === "delete") return;
      yield event;
    }
  }

  async #next(
    range: KeyRange,
    startRevision: number,
    signal: AbortSignal,
    filters: { readonly withoutDeletes: true },
  ): Promise<WatchEvent | undefined> {
    for await (const event of eventsOf(this.#deps.watches, { ...range, startRevision, ...filters }, signal)) {
      return event;
    }
    return undefined;
  }
}
