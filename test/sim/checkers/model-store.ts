import { compareBytes, emptyBytes, toHex } from "../../../src/base/bytes.ts";
import type { ErrorCode } from "../../../src/base/errors.ts";
import type {
  Command,
  CommandBody,
  CommandResult,
  Compare,
  KeyRange,
  KeyValue,
  LeaseCommand,
  Operation,
  OperationResult,
  PutOperation,
  RangeOperation,
  RangeResult,
} from "../../../src/kv/types.ts";
import { ModelLeases } from "./model-leases.ts";
import { answerOf, holds } from "./model-range.ts";

/** One state of a key: from `revision` on until the next. `undefined` in `value`: deleted. */
interface Version {
  readonly revision: number;
  readonly value: KeyValue | undefined;
}

/** What happened to a key; of a deleted one key and revision. */
export interface ModelEvent {
  readonly type: "put" | "delete";
  readonly keyValue: KeyValue;
}

/**
 * The store as a plain table of all that ever was, fed with the committed commands. It knows
 * nothing of SQLite; what the members answer is held against it.
 */
export class ModelStore {
  readonly leases = new ModelLeases();
  /** Per key (as hexadecimal, which sorts as the bytes do) its versions, oldest first. */
  readonly #keys = new Map<string, Version[]>();
  /** By revision: what happened, in the order of the operations. */
  readonly #events: ModelEvent[][] = [];
  readonly #answers = new Map<string, CommandResult>();
  #revision = 1;
  #pending = false;
  compactRevision = 0;

  get revision(): number {
    return this.#revision;
  }

  /** Whether it is a retry of what was carried out before. */
  knows({ idempotencyKey }: Command): boolean {
    return idempotencyKey !== undefined && this.#answers.has(idempotencyKey);
  }

  /** Carries out a command of an entry of this term. */
  apply({ body, idempotencyKey }: Command, term: number): CommandResult {
    if (idempotencyKey === undefined) return this.#execute(body, term);
    const known = this.#answers.get(idempotencyKey);
    if (known !== undefined) return known;
    const result = this.#execute(body, term);
    if (result.type !== "refused") this.#answers.set(idempotencyKey, result);
    return result;
  }

  /** The live keys of a range as they stood at a revision, in key order. */
  read(range: KeyRange, revision: number): KeyValue[] {
    const found: KeyValue[] = [];
    for (const versions of this.#inRange(range)) {
      const value = at(versions, revision);
      if (value !== undefined) found.push(value);
    }
    return found.sort((a, b) => compareBytes(a.key, b.key));
  }

  /** What a read of a revision answers when the store stands at `revision`. */
  answer(operation: RangeOperation, revision: number): RangeResult {
    const past = operation.revision === 0 ? revision : operation.revision;
    return answerOf(this.read(operation, past), operation, revision);
  }

  /** What happened in a range, from the first revision to the last. */
  *events(range: KeyRange, first: number, last: number): Generator<ModelEvent> {
    for (let revision = Math.max(first, 2); revision <= last; revision++) {
      for (const event of this.#events[revision] ?? []) {
        if (contains(range, event.keyValue.key)) yield event;
      }
    }
  }

  #inRange(range: KeyRange): Version[][] {
    if (range.end === undefined) {
      const versions = this.#keys.get(toHex(range.key));
      return versions === undefined ? [] : [versions];
    }
    const from = toHex(range.key);
    const to = range.end === null ? undefined : toHex(range.end);
    const found: Version[][] = [];
    for (const [name, versions] of this.#keys) {
      if (name >= from && (to === undefined || name < to)) found.push(versions);
    }
    return found;
  }

  #execute(body: CommandBody, term: number): CommandResult {
    this.#pending = false;
    const result = this.#carryOut(body, term);
    if (this.#pending) this.#revision++;
    return result;
  }

  #carryOut(body: CommandBody, term: number): CommandResult {
    if (body.type === "compact") return this.#compact(body.revision);
    if (body.type === "lease-grant" || body.type === "lease-revoke" || body.type === "lease-checkpoint")
      return this.#lease(body, term);
    const refused = this.#refusal(body);
    return refused === undefined ? this.#operate(body, this.#revision) : refuse(refused);
  }

  /** A transaction is refused as a whole when an operation of its chosen branch cannot be done. */
  #refusal(operation: Operation): ErrorCode | undefined {
    if (operation.type === "put") return this.#putRefusal(operation);
    if (operation.type === "range") {
      const { revision } = operation;
      if (revision === 0) return undefined;
      if (revision < this.compactRevision) return "revision_compacted";
      return revision > this.#revision ? "revision_future" : undefined;
    }
    if (operation.type !== "txn") return undefined;
    const succeeded = operation.compare.every((compare) => this.#holds(compare, this.#revision));
    for (const inner of succeeded ? operation.success : operation.failure) {
      const refused = this.#refusal(inner);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  #putRefusal({ key, keepValue, keepLease, lease }: PutOperation): ErrorCode | undefined {
    const exists = this.read({ key }, this.#revision).length > 0;
    if (!exists && (keepValue === true || keepLease === true)) return "not_found";
    return lease === 0 || keepLease === true || this.leases.has(lease) ? undefined : "lease_not_found";
  }

  #operate(operation: Operation, before: number): OperationResult {
    switch (operation.type) {
      case "put": {
        const previous = this.#put(operation);
        const revision = this.#now;
        return operation.previous && previous !== undefined
          ? { type: "put", revision, previous }
          : { type: "put", revision };
      }
      case "delete": {
        const previous = this.read(operation, Number.POSITIVE_INFINITY);
        for (const found of previous) this.#remove(found);
        const deleted = previous.length;
        return { type: "delete", revision: this.#now, deleted, previous: operation.previous ? previous : [] };
      }
      case "range": {
        const revision = operation.revision === 0 ? Number.POSITIVE_INFINITY : operation.revision;
        return answerOf(this.read(operation, revision), operation, this.#now);
      }
      case "txn": {
        const succeeded = operation.compare.every((compare) => this.#holds(compare, before));
        const chosen = succeeded ? operation.success : operation.failure;
        const responses = chosen.map((inner) => this.#operate(inner, before));
        return { type: "txn", revision: this.#now, succeeded, responses };
      }
    }
  }

  #compact(revision: number): CommandResult {
    if (revision <= 0 || revision <= this.compactRevision) return refuse("revision_compacted");
    if (revision > this.#revision) return refuse("revision_future");
    this.compactRevision = revision;
    return { type: "compact", revision: this.#revision };
  }

  /** What a leader says by its own clock holds in the entries of its own term only. */
  #lease(body: LeaseCommand, term: number): CommandResult {
    const { leases } = this;
    if (body.type !== "lease-grant" && body.term !== undefined && body.term !== term)
      return refuse("not_proposed");
    if (body.type === "lease-checkpoint") {
      for (const { id, remainingSeconds } of body.leases) leases.checkpoint(id, remainingSeconds);
      return { type: "lease-checkpoint", revision: this.#revision };
    }
    if (body.type === "lease-grant") {
      const { id, ttlSeconds } = body;
      if (leases.has(id)) return refuse("lease_exists");
      leases.grant(id, ttlSeconds);
      return { type: "lease-grant", revision: this.#revision, id, ttlSeconds };
    }
    if (!leases.has(body.id)) return refuse("lease_not_found");
    const keys = leases.end(body.id);
    for (const key of keys) {
      for (const found of this.read({ key }, Number.POSITIVE_INFINITY)) this.#remove(found);
    }
    return { type: "lease-revoke", revision: this.#now, deleted: keys.length };
  }

  #holds(compare: Compare, before: number): boolean {
    return holds(this.read({ key: compare.key, end: compare.end } as KeyRange, before), compare);
  }

  /** The revision at which the running command writes or reads. */
  get #now(): number {
    return this.#pending ? this.#revision + 1 : this.#revision;
  }

  #put({ key, value, lease, keepValue, keepLease }: PutOperation): KeyValue | undefined {
    const before = this.read({ key }, Number.POSITIVE_INFINITY)[0];
    this.#pending = true;
    const modRevision = this.#now;
    const after: KeyValue = {
      key,
      value: keepValue === true ? (before?.value ?? emptyBytes) : value,
      createRevision: before?.createRevision ?? modRevision,
      modRevision,
      version: (before?.version ?? 0) + 1,
      lease: keepLease === true ? (before?.lease ?? 0) : lease,
    };
    this.leases.move(key, before?.lease ?? 0, after.lease);
    this.#set(key, after);
    this.#tell({ type: "put", keyValue: after });
    return before;
  }

  #remove({ key, lease }: KeyValue): void {
    this.#pending = true;
    this.leases.move(key, lease, 0);
    this.#set(key, undefined);
    const keyValue: KeyValue = {
      key,
      value: emptyBytes,
      createRevision: 0,
      modRevision: this.#now,
      version: 0,
      lease: 0,
    };
    this.#tell({ type: "delete", keyValue });
  }

  #set(key: Uint8Array, value: KeyValue | undefined): void {
    const name = toHex(key);
    const versions = this.#keys.get(name);
    if (versions === undefined) this.#keys.set(name, [{ revision: this.#now, value }]);
    else versions.push({ revision: this.#now, value });
  }

  #tell(event: ModelEvent): void {
    const { modRevision } = event.keyValue;
    const told = this.#events[modRevision];
    if (told === undefined) this.#events[modRevision] = [event];
    else told.push(event);
  }
}

function refuse(code: ErrorCode): CommandResult {
  return { type: "refused", code, message: "" };
}

function contains({ key: from, end }: KeyRange, key: Uint8Array): boolean {
  if (end === undefined) return compareBytes(from, key) === 0;
  return compareBytes(from, key) <= 0 && (end === null || compareBytes(key, end) < 0);
}

function at(versions: readonly Version[], revision: number): KeyValue | undefined {
  for (let position = versions.length - 1; position >= 0; position--) {
    const version = versions[position] as Version;
    if (version.revision <= revision) return version.value;
  }
  return undefined;
}
