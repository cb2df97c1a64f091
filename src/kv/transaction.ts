import { compareBytes } from "../base/bytes.ts";
import type { KeyRow, KeyStore } from "./key-store.ts";
import type { Compare, KeyValue, Operation, TxnOperation } from "./types.ts";

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

/** Whether a comparison holds for every key of its range; without any key, it looks at zeroes. */
function holds(compare: Compare, store: KeyStore): boolean {
  const { target, operand } = compare;
  if (target === "value") {
    const bytes = operand as Uint8Array;
    const found = store.keyValues(compare, -1);
    // There is no value that a missing key could be said to have.
    return found.length > 0 && found.every(({ value }) => fits(compare, compareBytes(value, bytes)));
  }
  const found: readonly Pick<KeyValue, Numbers>[] = store.rows(compare, -1);
  const expected = operand as number;
  return (found.length === 0 ? [missing] : found).every((row) =>
    fits(compare, numberOf(row, target) - expected),
  );
}

type Numbers = "version" | "createRevision" | "modRevision" | "lease";

const missing: Pick<KeyRow, Numbers> = { version: 0, createRevision: 0, modRevision: 0, lease: 0 };

function numberOf(row: Pick<KeyRow, Numbers>, target: Exclude<Compare["target"], "value">): number {
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
