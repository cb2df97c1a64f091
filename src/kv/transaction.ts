import { compareBytes } from "../base/bytes.ts";
import { compareInt64, type Int64 } from "../base/int64.ts";
import type { KeyStore } from "./key-store.ts";
import type { KeyRow } from "./rows.ts";
import type { Compare, Operation, TxnOperation } from "./types.ts";

/**
 * A transaction whose comparisons are decided: which branch runs, with the decisions of the
 * transactions nested in it, in their order. All comparisons look at the state before the
 * transaction, the nested ones too (as etcd does).
 */
export interface Plan {
  readonly succeeded: boolean;
  readonly operations: readonly Operation[];
  readonly nested: readonly Plan[];
}

export function plan(txn: TxnOperation, store: KeyStore): Plan {
  const succeeded = txn.compare.every((compare) => holds(compare, store));
  const operations = succeeded ? txn.success : txn.failure;
  const nested: Plan[] = [];
  for (const operation of operations) {
    if (operation.type === "txn") nested.push(plan(operation, store));
  }
  return { succeeded, operations, nested };
}

/**
 * Whether a comparison holds for every key of its range; without any key, it looks at zeroes. Reads
 * up to the first key that decides, and holds one value at a time.
 */
function holds(compare: Compare, store: KeyStore): boolean {
  const { target } = compare;
  let empty = true;
  for (const row of store.rows(compare)) {
    empty = false;
    const difference =
      target === "value"
        ? compareBytes(store.keyValue(row).value, compare.operand as Uint8Array)
        : compareInt64(numberOf(row, target), compare.operand as Int64);
    if (!fits(compare, difference)) return false;
  }
  if (!empty) return true;
  // There is no value that a missing key could be said to have.
  return (
    target !== "value" && fits(compare, compareInt64(numberOf(missing, target), compare.operand as Int64))
  );
}

type Numbers = Pick<KeyRow, "version" | "createRevision" | "modRevision" | "lease">;

const missing: Numbers = { version: 0, createRevision: 0, modRevision: 0, lease: 0 };

function numberOf(row: Numbers, target: Exclude<Compare["target"], "value">): Int64 {
  switch (target) {
    case "version":
      return row.version;
    case "create":
      return row.createRevision;
    case "mod":
      return row.modRevision;
    case "lease":
      return row.lease;
  }
}

function fits({ result }: Compare, difference: number): boolean {
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
