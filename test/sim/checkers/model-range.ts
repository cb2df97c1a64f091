import { compareBytes, emptyBytes } from "../../../src/base/bytes.ts";
import { compareInt64, type Int64 } from "../../../src/base/int64.ts";
import type { Compare, KeyValue, RangeOperation, RangeResult } from "../../../src/kv/types.ts";

/** What a read answers when these are the keys of its range, in key order (etcd's rules). */
export function answerOf(
  all: readonly KeyValue[],
  operation: Omit<RangeOperation, "key" | "end">,
  revision: number,
): RangeResult {
  const count = all.length;
  if (operation.countOnly === true) return { type: "range", revision, keys: [], count, more: false };
  const fitting = all.filter((found) => passes(operation, found));
  const { sort, limit } = operation;
  if (sort !== undefined) {
    const sign = sort.descending ? -1 : 1;
    fitting.sort((a, b) => sign * order[sort.target](a, b));
  }
  const told = limit > 0 ? fitting.slice(0, limit) : fitting;
  const keys = operation.keysOnly === true ? told.map((found) => ({ ...found, value: emptyBytes })) : told;
  return { type: "range", revision, keys, count, more: told.length < fitting.length };
}

const order = {
  key: (a: KeyValue, b: KeyValue) => compareBytes(a.key, b.key),
  version: (a: KeyValue, b: KeyValue) => a.version - b.version,
  create: (a: KeyValue, b: KeyValue) => a.createRevision - b.createRevision,
  mod: (a: KeyValue, b: KeyValue) => a.modRevision - b.modRevision,
  value: (a: KeyValue, b: KeyValue) => compareBytes(a.value, b.value),
};

function passes(
  { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision }: Partial<RangeOperation>,
  { modRevision, createRevision }: KeyValue,
): boolean {
  const most = (max: number | undefined): number => (max === undefined || max === 0 ? Infinity : max);
  return (
    modRevision >= (minModRevision ?? 0) &&
    modRevision <= most(maxModRevision) &&
    createRevision >= (minCreateRevision ?? 0) &&
    createRevision <= most(maxCreateRevision)
  );
}

/** Whether a comparison holds on the keys of its range. */
export function holds(found: readonly KeyValue[], { target, result, operand }: Compare): boolean {
  if (target === "value") {
    return (
      found.length > 0 && found.every(({ value }) => fits(result, compareBytes(value, operand as Uint8Array)))
    );
  }
  const numbers = found.length === 0 ? [0] : found.map((key) => numberOf(key, target));
  return numbers.every((number) => fits(result, compareInt64(number, operand as Int64)));
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
