import { CoracleError } from "../base/errors.ts";
import type { Command, CommandResult } from "../kv/types.ts";
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
  code: "no_leader" | "not_proposed" | "overloaded" | "shutting_down",
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

/** The bytes a command adds to a log entry, near enough for limits. */
export function commandBytes(command: Command): number {
  const body = command.body;
  switch (body.type) {
    case "put":
      return 32 + body.key.length + body.value.length;
    case "delete":
      return 32 + body.key.length + (body.end?.length ?? 0);
    case "compact":
      return 32;
    case "txn":
      return operationsBytes(body.success) + operationsBytes(body.failure) + body.compare.length * 64 + 32;
  }
}

type Operations = Extract<Command["body"], { type: "txn" }>["success"];

function operationsBytes(operations: Operations): number {
  let bytes = 0;
  for (const operation of operations) {
    if (operation.type === "range") bytes += 64 + operation.key.length;
    else bytes += commandBytes({ body: operation });
  }
  return bytes;
}
