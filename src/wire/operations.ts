import type { Compare, CompareResult, CompareTarget, KeyRange, Operation, SortTarget } from "../kv/types.ts";
import type { CborReader } from "./cbor-reader.ts";
import type { CborWriter } from "./cbor-writer.ts";
import { WireError } from "./wire-error.ts";

/*
 * Operations as positional arrays whose first item is a number from `code`. Decoding is checked by
 * hand, item by item: it runs once a command on every member, and a schema library took four times
 * as long as everything else here. `layouts` is what the fingerprint test sees.
 */

export const code = { put: 1, delete: 2, range: 3, txn: 4, compact: 5, withKey: 6 } as const;
const flag = { previous: 1, keepValue: 2, keepLease: 4, keysOnly: 1, countOnly: 2 } as const;

/** Deeper transactions cannot exist: each level is an operation of its own, and those are limited. */
const txnDepthMax = 130;

const sortTargets: readonly SortTarget[] = ["key", "version", "create", "mod", "value"];
const compareTargets: readonly CompareTarget[] = ["version", "create", "mod", "lease", "value"];
const compareResults: readonly CompareResult[] = ["equal", "not-equal", "greater", "less"];

/** A description of what is written here, for the fingerprint. Raise the protocol version with it. */
export const operationLayouts = [
  "end = undefined (one key) | null (no bound) | bytes",
  "put = [1, key bytes, value bytes, lease uint, flags uint (1 previous, 2 keepValue, 4 keepLease)]",
  "delete = [2, key bytes, end, previous boolean]",
  "range = [3, key bytes, end, revision int, limit int, null | [target uint, descending boolean]," +
    " flags uint (1 keysOnly, 2 countOnly), minMod int, maxMod int, minCreate int, maxCreate int]",
  "txn = [4, [compare], [success operation], [failure operation]]",
  "compare = [key bytes, end, target uint, result uint, operand int | bytes]",
  `sort targets ${sortTargets.join()}; compare targets ${compareTargets.join()}; results ${compareResults.join()}`,
];

/** The item of a list of words that a number stands for. */
export function wordAt<T extends string>(words: readonly T[], index: number): T {
  const word = words[index];
  if (word === undefined) throw new WireError(`${index} stands for none of ${words.join(", ")}`);
  return word;
}

export function writeOperation(writer: CborWriter, operation: Operation): void {
  switch (operation.type) {
    case "put": {
      writer.arrayHead(5);
      writer.uint(code.put);
      writer.bytes(operation.key);
      writer.bytes(operation.value);
      writer.uint(operation.lease);
      writer.uint(
        (operation.previous ? flag.previous : 0) |
          (operation.keepValue === true ? flag.keepValue : 0) |
          (operation.keepLease === true ? flag.keepLease : 0),
      );
      return;
    }
    case "delete":
      writer.arrayHead(4);
      writer.uint(code.delete);
      writeKeyRange(writer, operation);
      writer.boolean(operation.previous);
      return;
    case "range":
      writeRange(writer, operation);
      return;
    case "txn":
      writer.arrayHead(4);
      writer.uint(code.txn);
      writer.arrayHead(operation.compare.length);
      for (const compare of operation.compare) writeCompare(writer, compare);
      writer.arrayHead(operation.success.length);
      for (const inner of operation.success) writeOperation(writer, inner);
      writer.arrayHead(operation.failure.length);
      for (const inner of operation.failure) writeOperation(writer, inner);
      return;
  }
}

function writeRange(writer: CborWriter, range: Extract<Operation, { type: "range" }>): void {
  writer.arrayHead(11);
  writer.uint(code.range);
  writeKeyRange(writer, range);
  writer.int(range.revision);
  writer.int(range.limit);
  if (range.sort === undefined) {
    writer.null();
  } else {
    writer.arrayHead(2);
    writer.uint(sortTargets.indexOf(range.sort.target));
    writer.boolean(range.sort.descending);
  }
  writer.uint(
    (range.keysOnly === true ? flag.keysOnly : 0) | (range.countOnly === true ? flag.countOnly : 0),
  );
  writer.int(range.minModRevision ?? 0);
  writer.int(range.maxModRevision ?? 0);
  writer.int(range.minCreateRevision ?? 0);
  writer.int(range.maxCreateRevision ?? 0);
}

function writeCompare(writer: CborWriter, compare: Compare): void {
  writer.arrayHead(5);
  writeKeyRange(writer, compare);
  writer.uint(compareTargets.indexOf(compare.target));
  writer.uint(compareResults.indexOf(compare.result));
  if (typeof compare.operand === "number") writer.int(compare.operand);
  else writer.bytes(compare.operand);
}

function writeKeyRange(writer: CborWriter, range: KeyRange): void {
  writer.bytes(range.key);
  if (range.end === undefined) writer.undefined();
  else if (range.end === null) writer.null();
  else writer.bytes(range.end);
}

/** Reads an operation. Keys and values are views of the buffer that is read. */
export function readOperation(reader: CborReader, depth = 0): Operation {
  const items = reader.arrayHead();
  return readOperationOf(reader, items, reader.uint(), depth);
}

export function readOperationOf(
  reader: CborReader,
  items: number,
  operationCode: number,
  depth: number,
): Operation {
  switch (operationCode) {
    case code.put: {
      expectItems(items, 5);
      const key = reader.bytes();
      const value = reader.bytes();
      const lease = reader.uint();
      const flags = reader.uintUpTo(7);
      if (flags <= flag.previous) {
        return { type: "put", key, value, lease, previous: flags === flag.previous };
      }
      return {
        type: "put",
        key,
        value,
        lease,
        previous: (flags & flag.previous) !== 0,
        ...((flags & flag.keepValue) !== 0 && { keepValue: true }),
        ...((flags & flag.keepLease) !== 0 && { keepLease: true }),
      };
    }
    case code.delete:
      expectItems(items, 4);
      return { type: "delete", ...readKeyRange(reader), previous: reader.boolean() };
    case code.range:
      expectItems(items, 11);
      return readRange(reader);
    case code.txn:
      expectItems(items, 4);
      if (depth >= txnDepthMax) throw new WireError("a transaction is nested too deep");
      return {
        type: "txn",
        compare: readList(reader, readCompare),
        success: readList(reader, (inner) => readOperation(inner, depth + 1)),
        failure: readList(reader, (inner) => readOperation(inner, depth + 1)),
      };
    default:
      throw new WireError(`${operationCode} is no kind of operation`);
  }
}

function readRange(reader: CborReader): Operation {
  const range = readKeyRange(reader);
  const revision = reader.int();
  const limit = reader.int();
  const sort = readSort(reader);
  const flags = reader.uintUpTo(3);
  const minModRevision = reader.int();
  const maxModRevision = reader.int();
  const minCreateRevision = reader.int();
  const maxCreateRevision = reader.int();
  return {
    type: "range",
    ...range,
    revision,
    limit,
    ...(sort !== undefined && { sort }),
    ...((flags & flag.keysOnly) !== 0 && { keysOnly: true }),
    ...((flags & flag.countOnly) !== 0 && { countOnly: true }),
    ...(minModRevision !== 0 && { minModRevision }),
    ...(maxModRevision !== 0 && { maxModRevision }),
    ...(minCreateRevision !== 0 && { minCreateRevision }),
    ...(maxCreateRevision !== 0 && { maxCreateRevision }),
  };
}

function readSort(reader: CborReader): { target: SortTarget; descending: boolean } | undefined {
  if (reader.nullNext()) return undefined;
  reader.arrayOf(2);
  return { target: wordAt(sortTargets, reader.uint()), descending: reader.boolean() };
}

function readCompare(reader: CborReader): Compare {
  reader.arrayOf(5);
  const range = readKeyRange(reader);
  const target = wordAt(compareTargets, reader.uint());
  const result = wordAt(compareResults, reader.uint());
  const operand = reader.bytesNext() ? reader.bytes() : reader.int();
  if ((target === "value") !== (typeof operand !== "number")) {
    throw new WireError(`a comparison of ${target} has an operand of the wrong type`);
  }
  return { ...range, target, result, operand };
}

function readKeyRange(reader: CborReader): KeyRange {
  const key = reader.bytes();
  if (reader.undefinedNext()) return { key };
  if (reader.nullNext()) return { key, end: null };
  return { key, end: reader.bytes() };
}

export function readList<T>(reader: CborReader, read: (reader: CborReader) => T): T[] {
  const items = reader.arrayHead();
  const list: T[] = [];
  for (let i = 0; i < items; i++) list.push(read(reader));
  return list;
}

export function expectItems(found: number, expected: number): void {
  if (found !== expected) throw new WireError(`an array has ${found} items instead of ${expected}`);
}
