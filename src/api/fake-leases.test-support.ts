import { CoracleError } from "../base/errors.ts";
import type { LeaseId } from "../kv/types.ts";
import type { LeaseService, LeaseStatus } from "../service/service.ts";
import type { FakeService } from "./fake-service.test-support.ts";

/** For tests: leases in memory, which end only when a test says so. */
export class FakeLeases implements LeaseService {
  readonly granted = new Map<LeaseId, number>();
  /** Ids in the order of their renewals. */
  readonly renewals: LeaseId[] = [];
  readonly #service: FakeService;
  readonly #answers = new Map<string, LeaseId>();
  #lastId = 1000;

  constructor(service: FakeService) {
    this.#service = service;
  }

  require(id: LeaseId): void {
    if (id === 0 || this.granted.has(id)) return;
    throw new CoracleError("lease_not_found", `Lease ${id} does not exist: grant it first.`);
  }

  /** The lease's time is over. */
  expire(id: LeaseId): void {
    this.granted.delete(id);
    this.#service.deleteKeys(this.#service.keysOf(id));
  }

  async grant(id: LeaseId, ttlSeconds: number, idempotencyKey?: string) {
    await this.#service.enter();
    const known = idempotencyKey === undefined ? undefined : this.#answers.get(idempotencyKey);
    const { revision } = this.#service;
    if (known !== undefined) return { id: known, ttlSeconds, revision };
    if (ttlSeconds > 9_000_000_000) throw new CoracleError("lease_ttl_too_large", "The TTL is too large.");
    if (this.granted.has(id)) throw new CoracleError("lease_exists", `Lease ${id} exists.`);
    const given = id === 0 ? ++this.#lastId : id;
    this.granted.set(given, ttlSeconds);
    if (idempotencyKey !== undefined) this.#answers.set(idempotencyKey, given);
    return { id: given, ttlSeconds, revision };
  }

  async revoke(id: LeaseId) {
    await this.#service.enter();
    this.require(id);
    this.expire(id);
    return { revision: this.#service.revision };
  }

  async keepAlive(id: LeaseId) {
    await this.#service.enter();
    this.require(id);
    this.renewals.push(id);
    return { ttlSeconds: this.granted.get(id) ?? 0 };
  }

  async timeToLive(id: LeaseId, withKeys: boolean): Promise<LeaseStatus> {
    await this.#service.enter();
    this.require(id);
    const grantedSeconds = this.granted.get(id) ?? 0;
    const keys = withKeys ? this.#service.keysOf(id) : [];
    return { id, grantedSeconds, remainingSeconds: grantedSeconds - 0.25, keys };
  }

  async list() {
    await this.#service.enter();
    return [...this.granted.keys()].sort((a, b) => (a < b ? -1 : 1));
  }
}
