import { toHex } from "../../../src/base/bytes.ts";
import type { LeaseId } from "../../../src/kv/types.ts";

interface ModelLease {
  readonly ttlSeconds: number;
  remainingSeconds: number;
  readonly keys: Set<string>;
}

/** The leases of `ModelStore`, and the keys that hang on them. */
export class ModelLeases {
  readonly #leases = new Map<LeaseId, ModelLease>();

  get count(): number {
    return this.#leases.size;
  }

  has(id: LeaseId): boolean {
    return this.#leases.has(id);
  }

  grant(id: LeaseId, ttlSeconds: number): void {
    this.#leases.set(id, { ttlSeconds, remainingSeconds: ttlSeconds, keys: new Set() });
  }

  checkpoint(id: LeaseId, remainingSeconds: number): void {
    const lease = this.#leases.get(id);
    if (lease !== undefined) lease.remainingSeconds = Math.min(remainingSeconds, lease.ttlSeconds);
  }

  /** Ends a lease; gives its keys in order. */
  end(id: LeaseId): Uint8Array[] {
    const names = [...(this.#leases.get(id)?.keys ?? [])].sort();
    this.#leases.delete(id);
    return names.map((name) => new Uint8Array(Buffer.from(name, "hex")));
  }

  move(key: Uint8Array, from: LeaseId, to: LeaseId): void {
    if (from === to) return;
    const name = toHex(key);
    this.#leases.get(from)?.keys.delete(name);
    this.#leases.get(to)?.keys.add(name);
  }

  /** As text that is equal for equal leases, in the order of their ids. */
  text(): string {
    const lines = [...this.#leases].map(
      ([id, { ttlSeconds, remainingSeconds, keys }]) =>
        `${id}:${ttlSeconds}/${remainingSeconds} ${[...keys].sort().join()}`,
    );
    return lines.sort().join("; ");
  }
}
