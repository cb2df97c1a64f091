import { CoracleError } from "../base/errors.ts";
import type { Command, CommandBody, CommandResult, Compare, KeyRange, Operation } from "../kv/types.ts";
import type { ForwardOutcome } from "../peer/types.ts";

/**
 * The one end of a proposal. `done` includes what the state machine refused; `not-proposed` may be
 * sent again by anybody; `unknown` may or may not have taken effect.
 */
export type Outcome = ForwardOutcome;

/** A command on its way, with the one who waits for it. Ends exactly once. */
export interface Proposal {
  readonly command: Command;
  /** What it counts in the limits: about its size on the wire. */
  readonly bytes: number;
  readonly deadlineMs: number;
  /** Set while another member's process waits, not one of this member's clients. */
  readonly forwarded: boolean;
  end(outcome: Outcome): void;
}

export function notProposed(
  code: "no_leader" | "not_proposed" | "overloaded" | "quota_exceeded" | "shutting_down",
  message: string,
): Outcome {
  return { status: "not-proposed", code, message };
}

export function unknown(message: string): Outcome {
  return { status: "unknown", message };
}

/** The result of a proposal that was applied, or the error that its caller must see. */
export function resultOf(outcome: Outcome): Exclude<CommandResult, { type: "refused" }> | CoracleError {
  switch (outcome.status) {
    case "not-proposed":
      return new CoracleError(outcome.code, outcome.message);
    case "unknown":
      return new CoracleError("outcome_unknown", outcome.message);
    case "done":
      return outcome.result.type === "refused"
        ? new CoracleError(outcome.result.code, outcome.result.message)
        : outcome.result;
  }
}

/** What a field, a head or a number takes beside its bytes, rounded up. */
const fieldBytes = 16;

/** The bytes a command adds to a log entry: never fewer than it is encoded in. */
export function commandBytes({ body, idempotencyKey }: Command): number {
  // A character of the key takes three bytes of UTF-8 at most.
  const keyBytes = fieldBytes + 3 * (idempotencyKey?.length ?? 0);
  return keyBytes + bodyBytes(body);
}

function bodyBytes(body: CommandBody): number {
  switch (body.type) {
    case "compact":
      return 2 * fieldBytes;
    case "lease-grant":
    case "lease-revoke":
      return 3 * fieldBytes;
    case "lease-checkpoint":
      return (3 + 2 * body.leases.length) * fieldBytes;
    default:
      return operationBytes(body);
  }
}

function operationBytes(operation: Operation): number {
  switch (operation.type) {
    case "put":
      return 8 * fieldBytes + operation.key.length + operation.value.length;
    case "delete":
    case "range":
      return 12 * fieldBytes + rangeBytes(operation);
    case "txn": {
      let bytes = 4 * fieldBytes;
      for (const compare of operation.compare) bytes += compareBytes(compare);
      for (const inner of operation.success) bytes += operationBytes(inner);
      for (const inner of operation.failure) bytes += operationBytes(inner);
      return bytes;
    }
  }
}

function compareBytes(compare: Compare): number {
  const operand = compare.operand instanceof Uint8Array ? compare.operand.length : 0;
  return 6 * fieldBytes + rangeBytes(compare) + operand;
}

function rangeBytes({ key, end }: KeyRange): number {
  return key.length + (end?.length ?? 0);
}
