import type { CommandResult, KeyValue, OperationResult } from "../kv/types.ts";
import type { ForwardOutcome } from "../peer/types.ts";

/** Beside the bytes of keys and values. */
const resultOverheadBytes = 128;

/** About the bytes of an outcome in a message, rather too many than too few. */
export function outcomeBytes(outcome: ForwardOutcome): number {
  if (outcome.status === "done") return resultBytes(outcome.result);
  return resultOverheadBytes + 3 * outcome.message.length;
}

function resultBytes(result: CommandResult): number {
  switch (result.type) {
    case "put":
      return resultOverheadBytes + (result.previous === undefined ? 0 : pairBytes(result.previous));
    case "delete":
      return result.previous.reduce((sum, pair) => sum + pairBytes(pair), resultOverheadBytes);
    case "range":
      return result.keys.reduce((sum, pair) => sum + pairBytes(pair), resultOverheadBytes);
    case "txn":
      return result.responses.reduce((sum, inner) => sum + resultBytes(inner), resultOverheadBytes);
    case "refused":
      return resultOverheadBytes + 3 * result.message.length;
    case "compact":
    case "lease-grant":
    case "lease-revoke":
    case "lease-checkpoint":
      return resultOverheadBytes;
  }
}

function pairBytes({ key, value }: KeyValue): number {
  return resultOverheadBytes + key.length + value.length;
}

/** The same outcome without its key-values: the writer learns that it took effect, and at which revision. */
export function abridgedOutcome(outcome: ForwardOutcome): ForwardOutcome {
  if (outcome.status !== "done") return outcome;
  const { result } = outcome;
  switch (result.type) {
    case "put":
    case "delete":
    case "range":
    case "txn":
      return { status: "done", result: abridged(result) };
    default:
      return outcome;
  }
}

function abridged(result: OperationResult): OperationResult {
  switch (result.type) {
    case "put":
      return result.previous === undefined
        ? result
        : { type: "put", revision: result.revision, abridged: true };
    case "delete":
      return { ...result, previous: [], abridged: true };
    case "range":
      return { ...result, keys: [], abridged: true };
    case "txn":
      return { ...result, responses: result.responses.map(abridged) };
  }
}
