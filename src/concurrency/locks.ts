import { ClaimQueue } from "./queue.ts";
import { headOf } from "./strangers.ts";
import type { Claim, ClaimRequest, ConcurrencyDependencies, LockService } from "./types.ts";

/** Locks by the keys of etcd's `concurrency.Mutex`. */
export class Locks implements LockService {
  readonly #deps: ConcurrencyDependencies;
  readonly #queue: ClaimQueue;

  constructor(deps: ConcurrencyDependencies) {
    this.#deps = deps;
    this.#queue = new ClaimQueue(deps);
  }

  acquire(request: ClaimRequest): Promise<Claim> {
    return this.#queue.claim(request);
  }

  async release(key: Uint8Array, idempotencyKey?: string) {
    const body = { type: "delete", key, previous: false } as const;
    const command = idempotencyKey === undefined ? { body } : { body, idempotencyKey };
    const result = await this.#deps.kv.propose(command);
    if (result.type !== "delete") throw new Error(`a delete was answered with type ${result.type}`);
    return { revision: result.revision, released: result.deleted > 0 };
  }

  async holder(name: Uint8Array) {
    const { revision, head } = await headOf(this.#deps, name);
    return { revision, holder: head };
  }
}
