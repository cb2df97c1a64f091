import { assert, unreachable } from "../base/assert.ts";
import { type Int64, int64OfWords, int64Words } from "../base/int64.ts";
import type {
  CommandBody,
  CommandResult,
  Compare,
  KeyRange,
  KeyValue,
  LeaseCommand,
  Operation,
  OperationResult,
  RangeOperation,
} from "./types.ts";

/**
 * A compact binary form of command bodies (to compare them) and of results (to remember them).
 * Private to state.db: one value has exactly one form, on every runtime.
 */

/** Results that are remembered: a refused command changed nothing and may be tried again. */
export type StoredResult = Exclude<CommandResult, { type: "refused" }>;

class Writer {
  #buffer = new Uint8Array(256);
  #length = 0;

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + bytes));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }

  /** An integer from -2^53 to 2^53, as a variable number of 7-bit groups; the first has the sign. */
  number(value: number): void {
    this.#reserve(9);
    let rest = Math.abs(value);
    let group = (rest % 0x40) | (value < 0 ? 0x40 : 0);
    rest = Math.floor(rest / 0x40);
    while (rest > 0) {
      this.#buffer[this.#length++] = group | 0x80;
      group = rest % 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = group;
  }

  int64(value: Int64): void {
    const [high, low] = int64Words(value);
    this.number(high);
    this.number(low);
  }

  flag(value: boolean | undefined): void {
    this.number(value === true ? 1 : 0);
  }

  bytes(value: Uint8Array): void {
    this.number(value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }
}

class Reader {
  readonly #buffer: Uint8Array;
  #offset = 0;

  constructor(buffer: Uint8Array) {
    this.#buffer = buffer;
  }

  #byte(): number {
    const byte = this.#buffer[this.#offset++];
    assert(byte !== undefined, "a remembered result ends early");
    return byte;
  }

  number(): number {
    let group = this.#byte();
    const negative = (group & 0x40) !== 0;
    let value = group & 0x3f;
    let scale = 0x40;
    while ((group & 0x80) !== 0) {
      group = this.#byte();
      value += (group & 0x7f) * scale;
      scale *= 0x80;
    }
    return negative ? -value : value;
  }

  int64(): Int64 {
    const high = this.number();
    return int64OfWords(high, this.number());
  }

  flag(): boolean {
    return this.number() === 1;
  }

  bytes(): Uint8Array {
    const length = this.number();
    const value = this.#buffer.slice(this.#offset, this.#offset + length);
    this.#offset += length;
    return value;
  }

  list<T>(item: () => T): T[] {
    return Array.from({ length: this.number() }, item);
  }
}

const tags = {
  ...{ put: 1, delete: 2, range: 3, txn: 4, compact: 5 },
  ...{ "lease-grant": 6, "lease-revoke": 7, "lease-checkpoint": 8 },
} as const;
const targets = { key: 1, version: 2, create: 3, mod: 4, value: 5, lease: 6 } as const;
const comparisons = { equal: 1, "not-equal": 2, greater: 3, less: 4 } as const;

/** The canonical bytes of a command body. */
export function encodeBody(body: CommandBody): Uint8Array {
  const writer = new Writer();
  switch (body.type) {
    case "compact":
      writer.number(tags.compact);
      writer.number(body.revision);
      break;
    case "lease-grant":
    case "lease-revoke":
    case "lease-checkpoint":
      writeLeaseCommand(writer, body);
      break;
    default:
      writeOperation(writer, body);
  }
  return writer.finish();
}

function writeLeaseCommand(writer: Writer, body: LeaseCommand): void {
  writer.number(tags[body.type]);
  switch (body.type) {
    case "lease-grant":
      writer.int64(body.id);
      writer.number(body.ttlSeconds);
      return;
    case "lease-revoke":
      writer.int64(body.id);
      writer.number(body.term ?? 0);
      return;
    case "lease-checkpoint":
      writer.number(body.term);
      writer.number(body.leases.length);
      for (const { id, remainingSeconds } of body.leases) {
        writer.int64(id);
        writer.number(remainingSeconds);
      }
  }
}

function writeRange(writer: Writer, { key, end }: KeyRange): void {
  writer.bytes(key);
  writer.number(end === undefined ? 0 : end === null ? 1 : 2);
  if (end) writer.bytes(end);
}

function writeOperation(writer: Writer, operation: Operation): void {
  writer.number(tags[operation.type]);
  switch (operation.type) {
    case "put":
      writer.bytes(operation.key);
      writer.bytes(operation.value);
      writer.int64(operation.lease);
      writer.flag(operation.previous);
      writer.flag(operation.keepValue);
      writer.flag(operation.keepLease);
      return;
    case "delete":
      writeRange(writer, operation);
      writer.flag(operation.previous);
      return;
    case "range":
      writeRangeOperation(writer, operation);
      return;
    case "txn":
      writer.number(operation.compare.length);
      for (const compare of operation.compare) writeCompare(writer, compare);
      for (const branch of [operation.success, operation.failure]) {
        writer.number(branch.length);
        for (const inner of branch) writeOperation(writer, inner);
      }
      return;
    default:
      unreachable(operation);
  }
}

function writeRangeOperation(writer: Writer, operation: RangeOperation): void {
  writeRange(writer, operation);
  writer.number(operation.revision);
  writer.number(operation.limit);
  writer.number(operation.sort === undefined ? 0 : targets[operation.sort.target]);
  writer.flag(operation.sort?.descending);
  writer.flag(operation.keysOnly);
  writer.flag(operation.countOnly);
  writer.number(operation.minModRevision ?? 0);
  writer.number(operation.maxModRevision ?? 0);
  writer.number(operation.minCreateRevision ?? 0);
  writer.number(operation.maxCreateRevision ?? 0);
}

function writeCompare(writer: Writer, compare: Compare): void {
  writeRange(writer, compare);
  writer.number(targets[compare.target]);
  writer.number(comparisons[compare.result]);
  if (compare.operand instanceof Uint8Array) writer.bytes(compare.operand);
  else writer.int64(compare.operand);
}

/** The bytes of a result. With `abridged`, key-values are left out and the result says so. */
export function encodeResult(result: StoredResult, abridged: boolean): Uint8Array {
  const writer = new Writer();
  writeResult(writer, result, abridged);
  return writer.finish();
}

function writeResult(writer: Writer, result: StoredResult, abridged: boolean): void {
  writer.number(tags[result.type]);
  writer.number(result.revision);
  const keyValues = (list: readonly KeyValue[], abridgedBefore: true | undefined) => {
    const shortened = abridged && list.length > 0;
    writer.flag(shortened || abridgedBefore);
    writer.number(shortened ? 0 : list.length);
    if (!shortened) for (const keyValue of list) writeKeyValue(writer, keyValue);
  };
  switch (result.type) {
    case "put":
      keyValues(result.previous === undefined ? [] : [result.previous], result.abridged);
      return;
    case "delete":
      writer.number(result.deleted);
      keyValues(result.previous, result.abridged);
      return;
    case "range":
      writer.number(result.count);
      writer.flag(result.more);
      keyValues(result.keys, result.abridged);
      return;
    case "txn":
      writer.flag(result.succeeded);
      writer.number(result.responses.length);
      for (const response of result.responses) writeResult(writer, response, abridged);
      return;
    case "lease-grant":
      writer.int64(result.id);
      writer.number(result.ttlSeconds);
      return;
    case "lease-revoke":
      writer.number(result.deleted);
      return;
    case "compact":
    case "lease-checkpoint":
      return;
    default:
      unreachable(result);
  }
}

export function decodeResult(bytes: Uint8Array): StoredResult {
  return readResult(new Reader(bytes));
}

function readResult(reader: Reader): StoredResult {
  const tag = reader.number();
  const revision = reader.number();
  switch (tag) {
    case tags.put: {
      const { abridged, list } = readKeyValues(reader);
      const previous = list[0];
      return { type: "put", revision, ...(previous === undefined ? {} : { previous }), ...abridged };
    }
    case tags.delete: {
      const deleted = reader.number();
      const { abridged, list } = readKeyValues(reader);
      return { type: "delete", revision, deleted, previous: list, ...abridged };
    }
    case tags.range: {
      const count = reader.number();
      const more = reader.flag();
      const { abridged, list } = readKeyValues(reader);
      return { type: "range", revision, keys: list, count, more, ...abridged };
    }
    case tags.txn: {
      const succeeded = reader.flag();
      const responses = reader.list(() => readResult(reader) as OperationResult);
      return { type: "txn", revision, succeeded, responses };
    }
    case tags["lease-grant"]:
      return { type: "lease-grant", revision, id: reader.int64(), ttlSeconds: reader.number() };
    case tags["lease-revoke"]:
      return { type: "lease-revoke", revision, deleted: reader.number() };
    case tags["lease-checkpoint"]:
      return { type: "lease-checkpoint", revision };
    default:
      assert(tag === tags.compact, `a remembered result has the unknown tag ${tag}`);
      return { type: "compact", revision };
  }
}

function readKeyValues(reader: Reader): { abridged: { abridged?: true }; list: KeyValue[] } {
  const abridged: { abridged?: true } = reader.flag() ? { abridged: true } : {};
  return { abridged, list: reader.list(() => readKeyValue(reader)) };
}

function writeKeyValue(writer: Writer, keyValue: KeyValue): void {
  writer.bytes(keyValue.key);
  writer.bytes(keyValue.value);
  writer.number(keyValue.createRevision);
  writer.number(keyValue.modRevision);
  writer.number(keyValue.version);
  writer.int64(keyValue.lease);
}

function readKeyValue(reader: Reader): KeyValue {
  return {
    key: reader.bytes(),
    value: reader.bytes(),
    createRevision: reader.number(),
    modRevision: reader.number(),
    version: reader.number(),
    lease: reader.int64(),
  };
}
