import { compareBytes, toHex } from "../../../src/base/bytes.ts";
import type { ErrorCode } from "../../../src/base/errors.ts";
import { compareInt64, type Int64 } from "../../../src/base/int64.ts";
import type {
  Command,
  CommandBody,
  CommandResult,
  Compare,
  KeyRange,
  KeyValue,
  Operation,
  OperationResult,
  RangeOperation,
} from "../../../src/kv/types.ts";

/** One state of a key: from `revision` on until the next. `undefined` in `value`: deleted. */
interface Version {
  readonly revision: number;
  readonly value: KeyValue | undefined;
}

/**
 * The store as a plain table of all that ever was, fed with the committed commands. It knows
 * nothing of SQLite; what the members answer is held against it.
 */
export class ModelStore {
  /** Per key (as hexadecimal, which sorts as the bytes do) its versions, oldest first. */
  readonly #keys = new Map<string, Version[]>();
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

  apply({ body, idempotencyKey }: Command): CommandResult {
    if (idempotencyKey === undefined) return this.#execute(body);
    const known = this.#answers.get(idempotencyKey);
    if (known !== undefined) return known;
    const result = this.#execute(body);
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

  #inRange({ key, end }: KeyRange): Version[][] {
    if (end === undefined) {
      const versions = this.#keys.get(toHex(key));
      return versions === undefined ? [] : [versions];
    }
    const from = toHex(key);
    const to = end === null ? undefined : toHex(end);
    const found: Version[][] = [];
    for (const [name, versions] of this.#keys) {
      if (name >= from && (to === undefined || name < to)) found.push(versions);
    }
    return found;
  }

  #execute(body: CommandBody): CommandResult {
    this.#pending = false;
    if (body.type === "compact") return this.#compact(body.revision);
    if (!("key" in body) && body.type !== "txn") throw new Error(`the model knows no ${body.type} yet`);
    const refused = this.#unreadable(body);
    if (refused !== undefined) return { type: "refused", code: refused, message: "" };
    const result = this.#operate(body, this.#revision);
    if (this.#pending) this.#revision++;
    return result;
  }

  /** A transaction is refused as a whole when a read of its chosen branch cannot be answered. */
  #unreadable(operation: Operation): ErrorCode | undefined {
    if (operation.type === "range") {
      const { revision } = operation;
      if (revision === 0) return undefined;
      if (revision < this.compactRevision) return "revision_compacted";
      return revision > this.#revision ? "revision_future" : undefined;
    }
    if (operation.type !== "txn") return undefined;
    const succeeded = operation.compare.every((compare) => this.#holds(compare, this.#revision));
    for (const inner of succeeded ? operation.success : operation.failure) {
      const refused = this.#unreadable(inner);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  #operate(operation: Operation, before: number): OperationResult {
    switch (operation.type) {
      case "put": {
        const previous = this.#put(operation.key, operation.value);
        const revision = this.#now;
        return operation.previous && previous !== undefined
          ? { type: "put", revision, previous }
          : { type: "put", revision };
      }
      case "delete": {
        const previous = this.read(operation, Number.POSITIVE_INFINITY);
        for (const { key } of previous) this.#set(key, undefined);
        const deleted = previous.length;
        return { type: "delete", revision: this.#now, deleted, previous: operation.previous ? previous : [] };
      }
      case "range":
        return this.#range(operation);
      case "txn": {
        const succeeded = operation.compare.every((compare) => this.#holds(compare, before));
        const chosen = succeeded ? operation.success : operation.failure;
        const responses = chosen.map((inner) => this.#operate(inner, before));
        return { type: "txn", revision: this.#now, succeeded, responses };
      }
    }
  }

  #range(operation: RangeOperation): OperationResult {
    const all = this.read(
      operation,
      operation.revision === 0 ? Number.POSITIVE_INFINITY : operation.revision,
    );
    const keys = operation.limit === 0 ? all : all.slice(0, operation.limit);
    return { type: "range", revision: this.#now, keys, count: all.length, more: keys.length < all.length };
  }

  #compact(revision: number): CommandResult {
    if (revision <= 0 || revision <= this.compactRevision || revision > this.#revision) {
      const code = revision > this.#revision ? "revision_future" : "revision_compacted";
      return { type: "refused", code, message: "" };
    }
    this.compactRevision = revision;
    return { type: "compact", revision: this.#revision };
  }

  #holds({ target, result, operand, ...range }: Compare, before: number): boolean {
    const found = this.read(range, before);
    if (target === "value") {
      return (
        found.length > 0 &&
        found.every(({ value }) => fits(result, compareBytes(value, operand as Uint8Array)))
      );
    }
    const numbers = found.length === 0 ? [0] : found.map((found) => numberOf(found, target));
    return numbers.every((number) => fits(result, compareInt64(number, operand as Int64)));
  }

  /** The revision at which the running command writes or reads. */
  get #now(): number {
    return this.#pending ? this.#revision + 1 : this.#revision;
  }

  #put(key: Uint8Array, value: Uint8Array): KeyValue | undefined {
    const versions = this.#keys.get(toHex(key));
    const before = versions === undefined ? undefined : at(versions, Number.POSITIVE_INFINITY);
    this.#pending = true;
    const modRevision = this.#now;
    this.#set(key, {
      key,
      value,
      createRevision: before?.createRevision ?? modRevision,
      modRevision,
      version: (before?.version ?? 0) + 1,
      lease: 0,
    });
    return before;
  }

  #set(key: Uint8Array, value: KeyValue | undefined): void {
    this.#pending = true;
    const name = toHex(key);
    const versions = this.#keys.get(name);
    if (versions === undefined) this.#keys.set(name, [{ revision: this.#now, value }]);
    else versions.push({ revision: this.#now, value });
  }
}

function at(versions: readonly Version[], revision: number): KeyValue | undefined {
  for (let position = versions.length - 1; position >= 0; position--) {
    const version = versions[position] as Version;
    if (version.revision <= revision) return version.value;
  }
  return undefined;
}

function numberOf(found: KeyValue, target: Exclude<Compare["target"], "value">): Int64 {
  switch (target) {
    case "version":
      return found.version;
    case "create":
      return found.createRevision;
    case "mod":
      return found.modRevision;
    case "lease":
      return found.lease;
  }
}

function fits(result: Compare["result"], difference: number): boolean {
  switch (result) {
    case "equal":
      return difference === 0;
    case "not-equal":
      return difference !== 0;
    case "greater":
      return difference > 0;
    case "less":
      return difference < 0;
  }
}

/**
 * What a caller can see of a result, as text that is equal for equal results. `bare` leaves out
 * keys and values, as a remembered answer does that was too long to remember.
 */
export function resultText(result: CommandResult, bare = false): string {
  const texts = (found: readonly KeyValue[]): string => (bare ? "" : found.map(keyText).join());
  switch (result.type) {
    case "refused":
      return `refused ${result.code}`;
    case "compact":
    case "lease-checkpoint":
      return `${result.type} @${result.revision}`;
    case "lease-grant":
      return `grant @${result.revision} ${result.id} ${result.ttlSeconds}`;
    case "lease-revoke":
      return `revoke @${result.revision} ${result.deleted}`;
    case "put":
      return `put @${result.revision} ${texts(result.previous === undefined ? [] : [result.previous])}`;
    case "delete":
      return `delete @${result.revision} ${result.deleted} ${texts(result.previous)}`;
    case "range":
      return `range @${result.revision} ${result.count} ${result.more} ${texts(result.keys)}`;
    case "txn": {
      const responses = result.responses.map((response) => resultText(response, bare));
      return `txn @${result.revision} ${result.succeeded} [${responses.join("; ")}]`;
    }
  }
}

/** Whether keys and values were left out somewhere in a remembered answer. */
export function isAbridged(result: CommandResult): boolean {
  if (result.type === "txn") return result.responses.some(isAbridged);
  return "abridged" in result && result.abridged === true;
}

export function keyText({ key, value, createRevision, modRevision, version }: KeyValue): string {
  return `${toHex(key)}=${Bun.hash.crc32(value)}(${createRevision},${modRevision},${version})`;
}
