import type { Batch, Command, CommandBody, LeaseId } from "../kv/types.ts";
import { encodeCommands } from "./batch-writer.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import {
  arrayItem,
  expectItems,
  int,
  int64Form,
  int64Item,
  intItem,
  listItem,
  textItem,
  tupleItem,
  uint,
  uintItem,
} from "./items.ts";
import { code, operationItems, readOperation } from "./operations.ts";
import { WireError } from "./wire-error.ts";

/** The layout of a batch in the log. A member reads every layout up to its own. */
const batchLayout = 1;

export const commandLayouts = [
  "batch = [layout 1, timeMs uint, [command]]",
  "command = body | [6, idempotencyKey text, body]",
  "body = put | delete | txn | compact | grant | revoke | checkpoint",
  "compact = [5, revision int]",
  "grant = [8, id int64, ttlSeconds uint]",
  "revoke = [9, id int64, null | term uint]",
  "checkpoint = [10, term uint, [id int64, remainingSeconds uint, ...]]",
];

/*
 * Sizes are not limited here: what one member put into the log, every member must be able to read.
 * `validateCommand` limits them before that.
 */

/** The content of a `normal` log entry, in a buffer of its own and of exactly its size. */
export function encodeBatch(batch: Batch): Uint8Array {
  const whole = encodeCbor([batchLayout, uint(batch.timeMs), []]);
  // In the place of the empty array, which is one byte.
  return encodeCommands(whole.subarray(0, -1), batch.commands, itemsOf);
}

/**
 * Reads the content of a `normal` log entry. Keys and values are views of `bytes`.
 *
 * @throws WireError when it is no batch.
 */
export function decodeBatch(bytes: Uint8Array): Batch {
  const items = tupleItem(decodeCbor(bytes), 3);
  const layout = uintItem(items[0]);
  if (layout !== batchLayout) {
    throw new WireError(`the log holds a batch of layout ${layout}; this version reads ${batchLayout}`);
  }
  return { timeMs: uintItem(items[1]), commands: readCommands(items[2]) };
}

/** Commands as positional arrays. */
export function commandItems(commands: readonly Command[]): unknown[] {
  return commands.map(itemsOf);
}

function itemsOf({ body, idempotencyKey }: Command): unknown[] {
  return idempotencyKey === undefined
    ? bodyItems(body)
    : [code.withKey, idempotencyKey.toWellFormed(), bodyItems(body)];
}

export function readCommands(item: unknown): Command[] {
  return listItem(item, readCommand);
}

function bodyItems(body: CommandBody): unknown[] {
  switch (body.type) {
    case "compact":
      return [code.compact, int(body.revision)];
    case "lease-grant":
      return [code.leaseGrant, int64Form(body.id), uint(body.ttlSeconds)];
    case "lease-revoke":
      return [code.leaseRevoke, int64Form(body.id), body.term === undefined ? null : uint(body.term)];
    case "lease-checkpoint": {
      const leases = body.leases.flatMap(({ id, remainingSeconds }) => [
        int64Form(id),
        uint(remainingSeconds),
      ]);
      return [code.leaseCheckpoint, uint(body.term), leases];
    }
    default:
      return operationItems(body);
  }
}

function readCommand(item: unknown): Command {
  const items = arrayItem(item);
  if (items[0] !== code.withKey) return { body: readBody(item) };
  expectItems(items, 3);
  return { body: readBody(items[2]), idempotencyKey: textItem(items[1]) };
}

function readRemaining(item: unknown): { id: LeaseId; remainingSeconds: number }[] {
  const items = arrayItem(item);
  if (items.length % 2 !== 0) throw new WireError("a checkpoint names a lease without its time");
  return Array.from({ length: items.length / 2 }, (_, at) => ({
    id: int64Item(items[2 * at]),
    remainingSeconds: uintItem(items[2 * at + 1]),
  }));
}

function readBody(item: unknown): CommandBody {
  const items = arrayItem(item);
  switch (items[0]) {
    case code.compact:
      expectItems(items, 2);
      return { type: "compact", revision: intItem(items[1]) };
    case code.leaseGrant:
      expectItems(items, 3);
      return { type: "lease-grant", id: int64Item(items[1]), ttlSeconds: uintItem(items[2]) };
    case code.leaseRevoke: {
      expectItems(items, 3);
      const id = int64Item(items[1]);
      if (items[2] === null) return { type: "lease-revoke", id };
      return { type: "lease-revoke", id, term: uintItem(items[2]) };
    }
    case code.leaseCheckpoint:
      expectItems(items, 3);
      return { type: "lease-checkpoint", term: uintItem(items[1]), leases: readRemaining(items[2]) };
  }
  const operation = readOperation(items);
  if (operation.type === "range") throw new WireError("a range is no command");
  return operation;
}
