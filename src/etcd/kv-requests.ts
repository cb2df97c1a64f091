import { emptyBytes } from "../base/bytes.ts";
import { int64 } from "../base/int64.ts";
import { limits } from "../base/limits.ts";
import type {
  CompareResult,
  CompareTarget,
  DeleteOperation,
  KeyRange,
  Operation,
  PutOperation,
  RangeOperation,
  SortTarget,
  Compare as StoreCompare,
  TxnOperation,
} from "../kv/types.ts";
import {
  type Compare,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  Compare_CompareResult as Result,
  RangeRequest_SortTarget as SortBy,
  RangeRequest_SortOrder as SortOrder,
  Compare_CompareTarget as Target,
  type TxnRequest,
} from "./gen/kv_pb.ts";
import { safeNumber } from "./messages.ts";
import { refusal } from "./refusals.ts";

/** etcd's KV requests as operations of the store, refused in the order in which etcd looks at them. */

export function putOperation(request: PutRequest): PutOperation {
  const { key, value, ignoreValue, ignoreLease } = request;
  if (key.length === 0) throw refusal("keyEmpty");
  if (ignoreValue && value.length > 0) throw refusal("valueProvided");
  if (ignoreLease && request.lease !== 0n) throw refusal("leaseProvided");
  const lease = int64(request.lease);
  const put = { type: "put", key, value, lease, previous: request.prevKv } as const;
  if (!ignoreValue && !ignoreLease) return put;
  return {
    ...put,
    ...(ignoreValue && { keepValue: true }),
    ...(ignoreLease && { keepLease: true }),
  };
}

export function deleteOperation(request: DeleteRangeRequest): DeleteOperation {
  if (request.key.length === 0) throw refusal("keyEmpty");
  return { type: "delete", ...keyRange(request), previous: request.prevKv };
}

const sortTargets: ReadonlyMap<SortBy, SortTarget> = new Map([
  [SortBy.KEY, "key"],
  [SortBy.VERSION, "version"],
  [SortBy.CREATE, "create"],
  [SortBy.MOD, "mod"],
  [SortBy.VALUE, "value"],
]);

export function rangeOperation(request: RangeRequest): RangeOperation {
  if (request.key.length === 0) throw refusal("keyEmpty");
  const range = {
    type: "range",
    ...keyRange(request),
    revision: Math.max(0, safeNumber(request.revision)),
    limit: Math.max(0, safeNumber(request.limit)),
  } as const;
  const sort = sortOf(request);
  const { keysOnly, countOnly } = request;
  return {
    ...range,
    ...(sort !== undefined && { sort }),
    ...(keysOnly && { keysOnly }),
    ...(countOnly && { countOnly }),
    ...(request.minModRevision !== 0n && { minModRevision: safeNumber(request.minModRevision) }),
    ...(request.maxModRevision !== 0n && { maxModRevision: safeNumber(request.maxModRevision) }),
    ...(request.minCreateRevision !== 0n && { minCreateRevision: safeNumber(request.minCreateRevision) }),
    ...(request.maxCreateRevision !== 0n && { maxCreateRevision: safeNumber(request.maxCreateRevision) }),
  };
}

/** A target other than the key without an order sorts ascending; an order that is none sorts nothing. */
function sortOf({ sortOrder, sortTarget }: RangeRequest): RangeOperation["sort"] {
  const target = sortTargets.get(sortTarget);
  // etcd of this line ends with a panic here; later ones refuse.
  if (target === undefined) throw refusal("invalidSort");
  switch (sortOrder) {
    case SortOrder.NONE:
      return target === "key" ? undefined : { target, descending: false };
    case SortOrder.ASCEND:
      return { target, descending: false };
    case SortOrder.DESCEND:
      return { target, descending: true };
    default:
      return undefined;
  }
}

function keyRange({ key, rangeEnd }: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array }): KeyRange {
  if (rangeEnd.length === 0) return { key };
  return { key, end: rangeEnd.length === 1 && rangeEnd[0] === 0 ? null : rangeEnd };
}

export function txnOperation(
  request: TxnRequest,
  operationsMax: number = limits.txnOperationsMax,
): TxnOperation {
  const longest = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (longest > operationsMax) throw refusal("tooManyOperations");
  const left = operationsMax - longest;
  return {
    type: "txn",
    compare: request.compare.map(comparison),
    success: request.success.map((operation) => operationOf(operation, left)),
    failure: request.failure.map((operation) => operationOf(operation, left)),
  };
}

function operationOf({ request }: RequestOp, operationsMax: number): Operation {
  switch (request.case) {
    case "requestRange":
      return rangeOperation(request.value);
    case "requestPut":
      return putOperation(request.value);
    case "requestDeleteRange":
      return deleteOperation(request.value);
    case "requestTxn":
      return txnOperation(request.value, operationsMax);
    case undefined:
      throw refusal("keyNotFound");
  }
}

const results: ReadonlyMap<Result, CompareResult> = new Map([
  [Result.EQUAL, "equal"],
  [Result.GREATER, "greater"],
  [Result.LESS, "less"],
  [Result.NOT_EQUAL, "not-equal"],
]);
const targets: ReadonlyMap<Target, CompareTarget> = new Map([
  [Target.VERSION, "version"],
  [Target.CREATE, "create"],
  [Target.MOD, "mod"],
  [Target.VALUE, "value"],
  [Target.LEASE, "lease"],
]);

function comparison(compare: Compare): StoreCompare {
  if (compare.key.length === 0) throw refusal("keyEmpty");
  const range = keyRange(compare);
  const result = results.get(compare.result);
  const target = targets.get(compare.target);
  if (target === undefined) {
    // A target that is unknown compares as equal in etcd, whatever there is.
    return always(range, result === undefined || result === "equal");
  }
  // A result that is unknown always holds, except that there must be a value to compare with.
  if (result === undefined) {
    return target === "value"
      ? { ...range, target: "version", result: "greater", operand: 0 }
      : always(range, true);
  }
  return { ...range, target, result, operand: operandOf(compare, target) };
}

/** A comparison that holds always, or never: no version is below 0. */
function always(range: KeyRange, holds: boolean): StoreCompare {
  return { ...range, target: "version", result: holds ? "greater" : "less", operand: holds ? -1 : 0 };
}

const operandCases = {
  version: "version",
  create: "createRevision",
  mod: "modRevision",
  lease: "lease",
} as const;

/** An operand that is missing, or is one of another target, is zero or empty. */
function operandOf({ targetUnion }: Compare, target: CompareTarget): StoreCompare["operand"] {
  if (target === "value") return targetUnion.case === "value" ? targetUnion.value : emptyBytes;
  return targetUnion.case === operandCases[target] ? int64(targetUnion.value) : 0;
}
