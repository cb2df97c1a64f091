import type { Clock } from "../base/clock.ts";
import type { KeyValue, LeaseId } from "../kv/types.ts";
import type { KvService, LeaseService, WatchService } from "../service/service.ts";

/**
 * Locks and elections over keys, leases and watches, with the keys of etcd's recipes, so that clients of
 * both faces meet in one queue. A claim on a name is the key `NAME/LEASE` (the lease's id in hexadecimal),
 * attached to that lease. The claim with the lowest create revision holds the lock, or leads.
 */

/** Any member's service will do. */
export interface ConcurrencyDependencies {
  readonly kv: KvService;
  readonly leases: LeaseService;
  readonly watches: WatchService;
  readonly clock: Clock;
}

export interface ClaimRequest {
  readonly name: Uint8Array;
  /**
   * The claim ends with this lease, which the caller keeps alive. 0: a lease is granted, kept alive while
   * the claim waits, and revoked when the claim does not come first; from then on the caller keeps it.
   */
  readonly lease: LeaseId;
  /** Of a lease that is granted; 60 unless given, as in etcd. */
  readonly ttlSeconds?: number;
  /** How long to wait. Absent: for ever. 0: not at all; a claim that cannot be first is then not even made. */
  readonly waitMs?: number;
  /**
   * A request repeated with the same lease takes the claim over, so that the abort of the earlier one
   * does not withdraw it. It costs a revision, which etcd does not spend.
   */
  readonly takeOver?: boolean;
  /** Aborted when the caller gives up: the waiting key is deleted. */
  readonly signal?: AbortSignal;
}

/** What identifies a claim that was made. */
export interface ClaimKey {
  readonly key: Uint8Array;
  /** The revision that made the key. */
  readonly createRevision: number;
  readonly lease: LeaseId;
}

/** A claim that was seen to be the first of its name. */
export interface Claim extends ClaimKey {
  readonly name: Uint8Array;
  /** Rises from holder to holder: to be sent along to whatever the lock protects (a fencing token). */
  readonly createRevision: number;
  /** The store's revision at which the claim was first. */
  readonly revision: number;
  /** The TTL of the lease when it was granted for this claim. */
  readonly ttlSeconds?: number;
}

export interface LockService {
  /**
   * Waits until the lock is held. It is answered only when a linearizable read, begun after the wait, has
   * shown that the key exists and is first. A lease that has the lock already gets it again.
   *
   * @throws CoracleError `lock_held` when it was not free in time, `lease_not_found` when the lease ended,
   *   or what the service throws. After an abort the signal's reason.
   */
  acquire(request: ClaimRequest): Promise<Claim>;
  /** Gives the lock up, or the place in the queue. `released` is false when there is no such key. */
  release(
    key: Uint8Array,
    idempotencyKey?: string,
  ): Promise<{ readonly revision: number; readonly released: boolean }>;
  /** Who holds it: the claim's key, or none. */
  holder(name: Uint8Array): Promise<{ readonly revision: number; readonly holder: KeyValue | undefined }>;
}

export interface CampaignRequest extends ClaimRequest {
  readonly value: Uint8Array;
}

/** The leader's key: its value is what it proclaims. */
export interface ElectionState {
  readonly revision: number;
  readonly leader: KeyValue | undefined;
}

export interface ElectionService {
  /** Waits until elected; throws as `LockService.acquire`. A lease that campaigns already takes on the new value. */
  campaign(request: CampaignRequest): Promise<Claim>;
  /** Changes the leader's value. `undefined` when the key is not the one of that claim any more: it was lost. */
  proclaim(
    claim: ClaimKey,
    value: Uint8Array,
    idempotencyKey?: string,
  ): Promise<{ readonly revision: number } | undefined>;
  /** `resigned` is false when the claim was lost before. */
  resign(
    claim: ClaimKey,
    idempotencyKey?: string,
  ): Promise<{ readonly revision: number; readonly resigned: boolean }>;
  leader(name: Uint8Array): Promise<ElectionState>;
  /**
   * The leader now, if there is one, then each new leader and each value that it proclaims; a leader that
   * comes and goes in between may be left out. Ends with the signal; throws when the member cannot go on.
   */
  observe(
    name: Uint8Array,
    signal: AbortSignal,
  ): AsyncIterable<{
    readonly revision: number;
    readonly leader: KeyValue;
  }>;
}
