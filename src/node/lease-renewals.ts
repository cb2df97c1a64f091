import { CoracleError } from "../base/errors.ts";
import { packInt64 } from "../base/int64.ts";
import type { LeaseId } from "../kv/types.ts";
import type { NodeAccess } from "./part.ts";

/** Leases in one question to the leader. */
const renewalsMax = 4096;

interface Renewal {
  readonly id: LeaseId;
  readonly untilMs: number;
  resolve(answer: { readonly ttlSeconds: number }): void;
  reject(error: unknown): void;
}

/** Sends renewals to the leader: all of one turn together. */
export class LeaseRenewals {
  readonly #node: NodeAccess;
  readonly #name: string;
  #queue: Renewal[] = [];

  constructor(node: NodeAccess, name: string) {
    this.#node = node;
    this.#name = name;
  }

  renew(id: LeaseId): Promise<{ readonly ttlSeconds: number }> {
    const { clock, options } = this.#node;
    return new Promise((resolve, reject) => {
      this.#add([{ id, untilMs: clock.nowMs() + options.requestTimeoutMs, resolve, reject }]);
    });
  }

  #add(renewals: readonly Renewal[]): void {
    if (this.#queue.length === 0) this.#node.clock.endOfTurn(() => this.#flush());
    for (const renewal of renewals) this.#queue.push(renewal);
  }

  #flush(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (let at = 0; at < queue.length; at += renewalsMax) void this.#ask(queue.slice(at, at + renewalsMax));
  }

  async #ask(renewals: readonly Renewal[]): Promise<void> {
    let answers: unknown;
    try {
      answers = await this.#node.askLeader(
        this.#name,
        renewals.map(({ id }) => packInt64(id)),
      );
    } catch (error) {
      this.#failed(renewals, error);
      return;
    }
    renewals.forEach(({ id, resolve, reject }, at) => {
      const ttlSeconds: unknown = Array.isArray(answers) ? answers[at] : undefined;
      if (typeof ttlSeconds === "number" && ttlSeconds > 0) resolve({ ttlSeconds });
      else if (ttlSeconds === 0) reject(ended(id));
      else reject(new CoracleError("internal", "The leader's answer to a renewal is malformed."));
    });
  }

  /** A renewal may be done twice: what got lost with the leader is asked for again while there is time and a leader. */
  #failed(renewals: readonly Renewal[], error: unknown): void {
    const nowMs = this.#node.clock.nowMs();
    const lost = error instanceof CoracleError && error.code === "outcome_unknown";
    const again: Renewal[] = [];
    for (const renewal of renewals) {
      if (lost && nowMs < renewal.untilMs) again.push(renewal);
      else renewal.reject(error);
    }
    if (again.length > 0) this.#node.clock.after(againMs, () => this.#add(again));
  }
}

/** A pause before renewals are asked for again. */
const againMs = 50;

function ended(id: LeaseId): CoracleError {
  return new CoracleError("lease_not_found", `Lease ${id} does not exist: it ended, or was never granted.`);
}
