import { fromUtf8, prefixEnd, utf8 } from "../../../src/base/bytes.ts";
import type {
  Command,
  CommandBody,
  CommandResult,
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  RangeOperation,
} from "../../../src/kv/types.ts";
import type { Condition, Seen, Step, StoreInput, StoreOutput } from "../checkers/store-model.ts";

/** Keys of the one object that transactions span. */
export const groupPrefix = "g/";

const everything = { revision: 0, limit: 0 } as const;

/** A value that carries its own mark, and bytes to make it larger. */
export function paddedValue(mark: string, bytes: number): Uint8Array {
  return utf8(`${mark}:${"x".repeat(bytes)}`);
}

export function markOf(value: Uint8Array): string {
  const end = value.indexOf(58);
  return fromUtf8(end < 0 ? value : value.subarray(0, end));
}

export function rangeOf(step: Extract<Step, { op: "get" | "list" }>): RangeOperation {
  if (step.op === "get") return { type: "range", key: utf8(step.key), ...everything };
  const key = utf8(groupPrefix);
  return { type: "range", key, end: prefixEnd(key), ...everything };
}

export function operationOf(step: Step, padding: number): Operation {
  switch (step.op) {
    case "put":
      return {
        type: "put",
        key: utf8(step.key),
        value: paddedValue(step.value, padding),
        lease: 0,
        previous: false,
      };
    case "delete":
      return { type: "delete", key: utf8(step.key), previous: false };
    default:
      return rangeOf(step);
  }
}

function compareOf({ key, target, equals }: Condition, padding: number): Compare {
  const operand = typeof equals === "number" ? equals : paddedValue(equals, padding);
  return { key: utf8(key), target, result: "equal", operand };
}

/** Whether it is one step without a condition, which clients send as what it is. */
function single(input: StoreInput): Step | undefined {
  return input.conditions.length === 0 && input.success.length === 1 ? input.success[0] : undefined;
}

export function commandOf(input: StoreInput, padding: number): CommandBody {
  const step = single(input);
  if (step !== undefined && (step.op === "put" || step.op === "delete")) {
    return operationOf(step, padding) as Extract<CommandBody, { type: "put" | "delete" }>;
  }
  return {
    type: "txn",
    compare: input.conditions.map((condition) => compareOf(condition, padding)),
    success: input.success.map((step) => operationOf(step, padding)),
    failure: input.failure.map((step) => operationOf(step, padding)),
  };
}

export function seenOf({ key, value, version, modRevision }: KeyValue): Seen {
  return { key: fromUtf8(key), value: markOf(value), version, mod: modRevision };
}

function resultOf(result: OperationResult): number | readonly Seen[] | undefined {
  switch (result.type) {
    case "delete":
      return result.deleted;
    case "range":
      return result.keys.map(seenOf);
    default:
      return undefined;
  }
}

/** What a client learned. */
export function outputOf(result: Exclude<CommandResult, { type: "refused" }>): StoreOutput {
  const { revision } = result;
  switch (result.type) {
    case "compact":
    case "lease-grant":
    case "lease-revoke":
    case "lease-checkpoint":
      return { succeeded: true, revision, results: [] };
    case "txn":
      return { succeeded: result.succeeded, revision, results: result.responses.map(resultOf) };
    default:
      return { succeeded: true, revision, results: [resultOf(result)] };
  }
}

/** Marks of everything that a command may write, whichever branch it takes. */
export function marksOf({ body }: Command): string[] {
  return "key" in body || body.type === "txn" ? marksIn(body) : [];
}

function marksIn(operation: Operation): string[] {
  switch (operation.type) {
    case "put":
      return [markOf(operation.value)];
    case "txn":
      return [...operation.success, ...operation.failure].flatMap(marksIn);
    default:
      return [];
  }
}
