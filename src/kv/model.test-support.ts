import { compareBytes, emptyBytes } from "../base/bytes.ts";
import { compareInt64, type Int64 } from "../base/int64.ts";
import type {
  Command,
  CommandBody,
  CommandResult,
  Compare,
  KeyRange,
  KeyValue,
  LeaseCommand,
  LeaseId,
  LeaseResult,
  Operation,
  OperationResult,
  PutOperation,
  RangeOperation,
  RangeResult,
  TxnOperation,
} from "./types.ts";

/**
 * What the store should do, written as simply as it can be said and without a look at how it is
 * done: a sorted array of all keys for every revision.
 */
export class Model {
  revision = 1;
  compactRevision = 0;
  /** The whole content at each revision. */
  readonly #at = new Map<number, readonly KeyValue[]>([[1, []]]);
  /** What each revision did, in order: `version` 0 is a delete. */
  readonly events: KeyValue[] = [];
  #now: readonly KeyValue[] = [];
  #changed = false;
  /** What is left of each lease by its last checkpoint, and what it was granted. */
  readonly leases = new Map<LeaseId, { readonly ttlSeconds: number; readonly remainingSeconds: number }>();

  apply({ body }: Command): CommandResult | "refused" {
    const before = this.#now;
    const eventCount = this.events.length;
    this.#changed = false;
    if (body.type === "compact") {
      if (body.revision <= this.compactRevision || body.revision <= 0 || body.revision > this.revision) {
        return "refused";
      }
      this.compactRevision = body.revision;
      return { type: "compact", revision: this.revision };
    }
    try {
      const result = isOperation(body) ? this.#operate(body, before) : this.#lease(body);
      if (this.#changed) this.#at.set(++this.revision, this.#now);
      return result;
    } catch (error) {
      if (error !== refusal) throw error;
      this.#now = before;
      this.events.length = eventCount;
      return "refused";
    }
  }

  /** A read outside a transaction. */
  range(op: RangeOperation): RangeResult | "refused" {
    this.#changed = false;
    try {
      return this.#range(op);
    } catch (error) {
      if (error === refusal) return "refused";
      throw error;
    }
  }

  #operate(operation: Operation, before: readonly KeyValue[]): OperationResult {
    switch (operation.type) {
      case "put":
        return this.#put(operation);
      case "delete": {
        const gone = inRange(this.#now, operation);
        this.#delete(gone);
        const previous = operation.previous ? gone : [];
        return { type: "delete", revision: this.#head(), deleted: gone.length, previous };
      }
      case "range":
        return this.#range(operation);
      case "txn":
        return this.#txn(operation, before);
    }
  }

  #delete(gone: readonly KeyValue[]): void {
    if (gone.length > 0) this.#changed = true;
    this.#now = this.#now.filter((keyValue) => !gone.includes(keyValue));
    for (const { key } of gone) {
      this.events.push({
        ...{ key, value: emptyBytes, createRevision: 0, modRevision: this.revision + 1 },
        ...{ version: 0, lease: 0 },
      });
    }
  }

  /** Entries of the tests are of term 1. */
  #lease(body: LeaseCommand): LeaseResult {
    if (body.type !== "lease-grant" && body.term !== undefined && body.term !== 1) throw refusal;
    switch (body.type) {
      case "lease-grant": {
        const { id, ttlSeconds } = body;
        if (this.leases.has(id)) throw refusal;
        this.leases.set(id, { ttlSeconds, remainingSeconds: ttlSeconds });
        return { type: "lease-grant", revision: this.#head(), id, ttlSeconds };
      }
      case "lease-revoke": {
        if (!this.leases.delete(body.id)) throw refusal;
        const gone = this.#now.filter(({ lease }) => lease === body.id);
        this.#delete(gone);
        return { type: "lease-revoke", revision: this.#head(), deleted: gone.length };
      }
      case "lease-checkpoint":
        for (const { id, remainingSeconds } of body.leases) {
          const lease = this.leases.get(id);
          if (lease === undefined) continue;
          const { ttlSeconds } = lease;
          this.leases.set(id, { ttlSeconds, remainingSeconds: Math.min(ttlSeconds, remainingSeconds) });
        }
        return { type: "lease-checkpoint", revision: this.#head() };
    }
  }

  #put(operation: PutOperation): OperationResult {
    const { key } = operation;
    const old = inRange(this.#now, { key })[0];
    if (old === undefined && (operation.keepValue === true || operation.keepLease === true)) throw refusal;
    const lease = operation.keepLease === true ? (old?.lease ?? 0) : operation.lease;
    if (operation.keepLease !== true && lease !== 0 && !this.leases.has(lease)) throw refusal;
    this.#changed = true;
    const put: KeyValue = {
      key,
      value: operation.keepValue === true && old !== undefined ? old.value : operation.value,
      createRevision: old?.createRevision ?? this.revision + 1,
      modRevision: this.revision + 1,
      version: (old?.version ?? 0) + 1,
      lease,
    };
    this.events.push(put);
    this.#now = [...this.#now.filter((keyValue) => keyValue !== old), put].sort(byKey);
    const revision = this.#head();
    return operation.previous && old !== undefined
      ? { type: "put", revision, previous: old }
      : { type: "put", revision };
  }

  #txn(operation: TxnOperation, before: readonly KeyValue[]): OperationResult {
    const succeeded = operation.compare.every((compare) => holds(compare, inRange(before, compare)));
    const branch = succeeded ? operation.success : operation.failure;
    const responses = branch.map((inner) => this.#operate(inner, before));
    return { type: "txn", revision: this.#head(), succeeded, responses };
  }

  #range(op: RangeOperation): RangeResult {
    if (op.revision > this.revision) throw refusal;
    if (op.revision > 0 && op.revision < this.compactRevision) throw refusal;
    const all = inRange(op.revision > 0 ? (this.#at.get(op.revision) ?? []) : this.#now, op);
    const head = { type: "range", revision: this.#head(), count: all.length } as const;
    if (op.countOnly === true) return { ...head, keys: [], more: false };
    const chosen = all.filter(
      ({ modRevision, createRevision }) =>
        modRevision >= (op.minModRevision || 0) &&
        modRevision <= (op.maxModRevision || Number.POSITIVE_INFINITY) &&
        createRevision >= (op.minCreateRevision || 0) &&
        createRevision <= (op.maxCreateRevision || Number.POSITIVE_INFINITY),
    );
    if (op.sort !== undefined) {
      const { target, descending } = op.sort;
      const measure = { version: "version", create: "createRevision", mod: "modRevision" } as const;
      chosen.sort((a, b) => {
        const upward =
          target === "key" || target === "value"
            ? compareBytes(a[target], b[target])
            : a[measure[target]] - b[measure[target]];
        return descending ? -upward : upward;
      });
    }
    const keys = op.limit > 0 ? chosen.slice(0, op.limit) : chosen;
    const shown = op.keysOnly === true ? keys.map((key) => ({ ...key, value: emptyBytes })) : keys;
    return { ...head, keys: shown, more: keys.length < chosen.length };
  }

  /** The revision that an answer given now names. */
  #head(): number {
    return this.#changed ? this.revision + 1 : this.revision;
  }
}

function isOperation(body: CommandBody): body is Exclude<Operation, RangeOperation> {
  return body.type === "put" || body.type === "delete" || body.type === "txn";
}

const refusal = new Error("refused");

function byKey(a: KeyValue, b: KeyValue): number {
  return compareBytes(a.key, b.key);
}

function inRange(from: readonly KeyValue[], { key, end }: KeyRange): KeyValue[] {
  return from.filter((candidate) => {
    const order = compareBytes(candidate.key, key);
    if (end === undefined) return order === 0;
    return order >= 0 && (end === null || compareBytes(candidate.key, end) < 0);
  });
}

function holds({ target, result, operand }: Compare, found: readonly KeyValue[]): boolean {
  if (target === "value" && found.length === 0) return false;
  const nothing = { value: emptyBytes, version: 0, createRevision: 0, modRevision: 0, lease: 0 };
  const names = { version: "version", create: "createRevision", mod: "modRevision", lease: "lease" } as const;
  return (found.length === 0 ? [nothing] : found).every((keyValue) => {
    const order =
      target === "value"
        ? compareBytes(keyValue.value, operand as Uint8Array)
        : compareInt64(keyValue[names[target]], operand as Int64);
    return { equal: order === 0, "not-equal": order !== 0, greater: order > 0, less: order < 0 }[result];
  });
}
