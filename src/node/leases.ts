import { createHash } from "node:crypto";
import { CoracleError } from "../base/errors.ts";
import { compareInt64, packInt64, unpackInt64 } from "../base/int64.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import type { CommandResult, LeaseCommand, LeaseId } from "../kv/types.ts";
import type { MemberId } from "../raft/types.ts";
import type { LeaseService, LeaseStatus } from "../service/service.ts";
import { LeaseRenewals } from "./lease-renewals.ts";
import { Lessor, type LessorOptions } from "./lessor.ts";
import type { NodeAccess, NodePart } from "./part.ts";
import type { RequestHandler } from "./requests.ts";

/** Questions to the leader; ids are packed (`packInt64`). */
export const leaseRequests = {
  /** [id] → [TTL in seconds, 0 for a lease that does not exist]. */
  renew: "lease-renew",
  /** id → [TTL in seconds, milliseconds left], or null. */
  left: "lease-left",
} as const;

/** Ids that are tried when a chosen one is taken: one in 2^53 is. */
const chosenIdsMax = 3;
/** Leases read at once for a listing. */
const listRows = 10_000;

/** Leases as the faces see them, on every member; as a part of its node it keeps their time while this member leads. */
export class Leases implements NodePart, LeaseService {
  readonly #node: NodeAccess;
  readonly #lessor: Lessor;
  readonly #renewals: LeaseRenewals;
  readonly requests: ReadonlyMap<string, RequestHandler>;

  constructor(node: NodeAccess, options: LessorOptions = {}) {
    this.#node = node;
    this.#lessor = new Lessor(node, options);
    this.#renewals = new LeaseRenewals(node, leaseRequests.renew);
    this.requests = new Map<string, RequestHandler>([
      [leaseRequests.renew, async (body, from) => this.#lessor.renew(idsIn(body, from))],
      [leaseRequests.left, async (body, from) => this.#answerLeft(idIn(body, from))],
    ]);
  }

  leading(term: number | undefined): void {
    this.#lessor.leading(term);
  }

  applied(): void {
    this.#lessor.applied();
  }

  installed(): void {
    this.#lessor.installed();
  }

  duty(): void {
    this.#lessor.duty();
  }

  close(): void {
    this.#lessor.close();
  }

  /** As in etcd one and a half election timeouts: a lease must outlive an election. */
  get #ttlSecondsMin(): number {
    return Math.ceil((1.5 * this.#node.options.electionMs) / 1000);
  }

  async grant(
    id: LeaseId,
    ttlSeconds: number,
    idempotencyKey?: string,
  ): Promise<{ readonly id: LeaseId; readonly ttlSeconds: number; readonly revision: number }> {
    const ttl = Math.max(ttlSeconds, this.#ttlSecondsMin);
    for (let choices = 1; ; choices++) {
      const chosen = id === 0 ? this.#chooseId(idempotencyKey) : id;
      try {
        const result = await this.#propose(
          { type: "lease-grant", id: chosen, ttlSeconds: ttl },
          idempotencyKey,
        );
        if (result.type !== "lease-grant") throw new Error(`a grant was answered with a ${result.type}`);
        return { id: result.id, ttlSeconds: result.ttlSeconds, revision: result.revision };
      } catch (error) {
        const taken = error instanceof CoracleError && error.code === "lease_exists";
        if (!taken || id !== 0 || idempotencyKey !== undefined || choices >= chosenIdsMax) throw error;
      }
    }
  }

  /** With an idempotency key always the same one, so that a repeated request is the same request. */
  #chooseId(idempotencyKey: string | undefined): LeaseId {
    const { random } = this.#node;
    let [high, low] = [random.below(0x20_0000), random.below(0x1_0000_0000)];
    if (idempotencyKey !== undefined) {
      const hash = createHash("sha256").update(`lease ${idempotencyKey}`).digest();
      high = hash.readUInt32BE(0) >>> 11;
      low = hash.readUInt32BE(4);
    }
    return high * 0x1_0000_0000 + low || 1;
  }

  async revoke(id: LeaseId, idempotencyKey?: string): Promise<{ readonly revision: number }> {
    if (id === 0) throw noLease(id);
    const { revision } = await this.#propose({ type: "lease-revoke", id }, idempotencyKey);
    return { revision };
  }

  #propose(
    body: LeaseCommand,
    idempotencyKey: string | undefined,
  ): Promise<Exclude<CommandResult, { type: "refused" }>> {
    return this.#node.propose(idempotencyKey === undefined ? { body } : { body, idempotencyKey });
  }

  keepAlive(id: LeaseId): Promise<{ readonly ttlSeconds: number }> {
    return this.#renewals.renew(id);
  }

  async #answerLeft(id: LeaseId): Promise<unknown> {
    const left = await this.#lessor.left(id);
    return left === undefined ? null : [left.ttlSeconds, left.remainingMs];
  }

  async timeToLive(id: LeaseId, withKeys: boolean): Promise<LeaseStatus> {
    const body = await this.#node.askLeader(leaseRequests.left, packInt64(id));
    if (body === null) throw noLease(id);
    const [grantedSeconds, remainingMs] = body as [number, number];
    if (!Array.isArray(body) || typeof grantedSeconds !== "number" || typeof remainingMs !== "number")
      throw malformed("the leader");
    const status = { id, grantedSeconds, remainingSeconds: remainingMs / 1000 };
    if (!withKeys) return { ...status, keys: [] };
    const { leases } = await this.#currentState();
    if (leases.get(id) === undefined) throw noLease(id);
    return { ...status, keys: [...leases.keys(id)] };
  }

  async list(): Promise<readonly LeaseId[]> {
    const { leases } = await this.#currentState();
    const ids: LeaseId[] = [];
    for (;;) {
      const found = leases.list(ids.at(-1), listRows);
      for (const { id } of found) ids.push(id);
      if (found.length < listRows) break;
    }
    return ids.sort(compareInt64);
  }

  /** This member's state when it is known to be current. */
  async #currentState(): Promise<StateMachine> {
    await this.#node.current();
    const state = this.#node.state();
    if (state.closed) {
      throw new CoracleError("not_proposed", "This member takes in a snapshot at the moment; try again.");
    }
    return state;
  }
}

function noLease(id: LeaseId): CoracleError {
  return new CoracleError("lease_not_found", `Lease ${id} does not exist: it ended, or was never granted.`);
}

function idIn(item: unknown, from: MemberId): LeaseId {
  const id = unpackInt64(item);
  if (id === undefined) throw malformed(`member ${from}`);
  return id;
}

function idsIn(body: unknown, from: MemberId): LeaseId[] {
  if (!Array.isArray(body)) throw malformed(`member ${from}`);
  return body.map((item) => idIn(item, from));
}

function malformed(who: string): CoracleError {
  return new CoracleError("invalid_argument", `What ${who} sent about leases is malformed.`);
}
