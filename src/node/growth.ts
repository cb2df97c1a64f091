import type { CommandBody, Operation } from "../kv/types.ts";

/**
 * Whether a command may make the store grow. Each put does: what it replaces stays readable until it
 * is compacted. Deletes write too, but little, and they are how room is made.
 */
export function grows(body: CommandBody): boolean {
  switch (body.type) {
    case "put":
    case "lease-grant":
      return true;
    case "txn":
      return body.success.some(puts) || body.failure.some(puts);
    default:
      return false;
  }
}

function puts(operation: Operation): boolean {
  if (operation.type === "put") return true;
  return operation.type === "txn" && (operation.success.some(puts) || operation.failure.some(puts));
}
