import type { Compare, CompareResult, CompareTarget, KeyRange, Operation, SortTarget } from "../kv/types.ts";
import {
  arrayItem,
  booleanItem,
  bytesItem,
  expectItems,
  type Items,
  int,
  int64Form,
  int64Item,
  intItem,
  listItem,
  tupleItem,
  uintItem,
} from "./items.ts";
import { WireError } from "./wire-error.ts";

/*
 * Operations as positional arrays whose first item is a number from `code`. Decoding is checked by
 * hand, item by item. `operationLayouts` is what the fingerprint test sees.
 */

export const code = {
  put: 1,
  delete: 2,
  range: 3,
  txn: 4,
  compact: 5,
  withKey: 6,
  refused: 7,
  leaseGrant: 8,
  leaseRevoke: 9,
  leaseCheckpoint: 10,
} as const;
const flag = { previous: 1, keepValue: 2, keepLease: 4, keysOnly: 1, countOnly: 2 } as const;

/** Deeper transactions cannot exist: each level is an operation of its own, and those are limited. */
const txnDepthMax = 130;

const sortTargets: readonly SortTarget[] = ["key", "version", "create", "mod", "value"];
const compareTargets: readonly CompareTarget[] = ["version", "create", "mod", "lease", "value"];
const compareResults: readonly CompareResult[] = ["equal", "not-equal", "greater", "less"];

/** A description of what is written here, for the fingerprint. Raise the protocol version with it. */
export const operationLayouts = [
  "int64 = int (when safe) | 8 bytes, big-endian",
  "end = undefined (one key) | null (no bound) | bytes",
  "put = [1, key bytes, value bytes, lease int64, flags uint (1 previous, 2 keepValue, 4 keepLease)]",
  "delete = [2, key bytes, end, previous boolean]",
  "range = [3, key bytes, end, revision int, limit int, null | [target uint, descending boolean]," +
    " flags uint (1 keysOnly, 2 countOnly), minMod int, maxMod int, minCreate int, maxCreate int]",
  "txn = [4, [compare], [success operation], [failure operation]]",
  "compare = [key bytes, end, target uint, result uint, operand int64 | bytes]",
  `sort targets ${sortTargets.join()}; compare targets ${compareTargets.join()}; results ${compareResults.join()}`,
];

/** The item of a list of words that a number stands for. */
export function wordAt<T extends string>(words: readonly T[], index: number): T {
  const word = words[index];
  if (word === undefined) throw new WireError(`${index} stands for none of ${words.join(", ")}`);
  return word;
}

/** An operation as it is encoded. */
export function operationItems(operation: Operation): unknown[] {
  switch (operation.type) {
    case "put":
      return [
        code.put,
        operation.key,
        operation.value,
        int64Form(operation.lease),
        (operation.previous ? flag.previous : 0) |
          (operation.keepValue === true ? flag.keepValue : 0) |
          (operation.keepLease === true ? flag.keepLease : 0),
      ];
    case "delete":
      return [code.delete, operation.key, operation.end, operation.previous];
    case "range":
      return rangeItems(operation);
    case "txn":
      return [
        code.txn,
        operation.compare.map(compareItems),
        operation.success.map(operationItems),
        operation.failure.map(operationItems),
      ];
  }
}

function rangeItems(range: Extract<Operation, { type: "range" }>): unknown[] {
  const { sort } = range;
  return [
    code.range,
    range.key,
    range.end,
    int(range.revision),
    int(range.limit),
    sort === undefined ? null : [sortTargets.indexOf(sort.target), sort.descending],
    (range.keysOnly === true ? flag.keysOnly : 0) | (range.countOnly === true ? flag.countOnly : 0),
    int(range.minModRevision ?? 0),
    int(range.maxModRevision ?? 0),
    int(range.minCreateRevision ?? 0),
    int(range.maxCreateRevision ?? 0),
  ];
}

function compareItems(compare: Compare): unknown[] {
  return [
    compare.key,
    compare.end,
    compareTargets.indexOf(compare.target),
    compareResults.indexOf(compare.result),
    compare.operand instanceof Uint8Array ? compare.operand : int64Form(compare.operand),
  ];
}

/**
 * Reads an operation.
 *
 * @throws WireError when it is none.
 */
export function readOperation(item: unknown, depth = 0): Operation {
  const items = arrayItem(item);
  switch (items[0]) {
    case code.put:
      return readPut(items);
    case code.delete:
      expectItems(items, 4);
      return { type: "delete", ...readKeyRange(items[1], items[2]), previous: booleanItem(items[3]) };
    case code.range:
      return readRange(items);
    case code.txn:
      expectItems(items, 4);
      if (depth >= txnDepthMax) throw new WireError("a transaction is nested too deep");
      return {
        type: "txn",
        compare: listItem(items[1], readCompare),
        success: listItem(items[2], (inner) => readOperation(inner, depth + 1)),
        failure: listItem(items[3], (inner) => readOperation(inner, depth + 1)),
      };
    default:
      throw new WireError("an array is no known kind of operation");
  }
}

function readPut(items: Items): Extract<Operation, { type: "put" }> {
  expectItems(items, 5);
  const key = bytesItem(items[1]);
  const value = bytesItem(items[2]);
  const lease = int64Item(items[3]);
  const flags = uintItem(items[4], 7);
  // Nearly always; the conditional properties below cost more than all of the above.
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

function readRange(items: Items): Operation {
  expectItems(items, 11);
  const range = readKeyRange(items[1], items[2]);
  const sort = readSort(items[5]);
  const flags = uintItem(items[6], 3);
  const minModRevision = intItem(items[7]);
  const maxModRevision = intItem(items[8]);
  const minCreateRevision = intItem(items[9]);
  const maxCreateRevision = intItem(items[10]);
  return {
    type: "range",
    ...range,
    revision: intItem(items[3]),
    limit: intItem(items[4]),
    ...(sort !== undefined && { sort }),
    ...((flags & flag.keysOnly) !== 0 && { keysOnly: true }),
    ...((flags & flag.countOnly) !== 0 && { countOnly: true }),
    ...(minModRevision !== 0 && { minModRevision }),
    ...(maxModRevision !== 0 && { maxModRevision }),
    ...(minCreateRevision !== 0 && { minCreateRevision }),
    ...(maxCreateRevision !== 0 && { maxCreateRevision }),
  };
}

function readSort(item: unknown): { target: SortTarget; descending: boolean } | undefined {
  if (item === null) return undefined;
  const items = tupleItem(item, 2);
  return { target: wordAt(sortTargets, uintItem(items[0])), descending: booleanItem(items[1]) };
}

function readCompare(item: unknown): Compare {
  const items = tupleItem(item, 5);
  const range = readKeyRange(items[0], items[1]);
  const target = wordAt(compareTargets, uintItem(items[2]));
  const result = wordAt(compareResults, uintItem(items[3]));
  const operand = target === "value" ? bytesItem(items[4]) : int64Item(items[4]);
  return { ...range, target, result, operand };
}

function readKeyRange(key: unknown, end: unknown): KeyRange {
  if (end === undefined) return { key: bytesItem(key) };
  return { key: bytesItem(key), end: end === null ? null : bytesItem(end) };
}
