import type { Batch, Command, CommandBody } from "../kv/types.ts";
import { encodeCommands } from "./batch-writer.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import {
  arrayItem,
  expectItems,
  int,
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
  "command = put | delete | txn | compact | [6, idempotencyKey text, put | delete | txn | compact]",
  "compact = [5, revision int]",
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
  return body.type === "compact" ? [code.compact, int(body.revision)] : operationItems(body);
}

function readCommand(item: unknown): Command {
  const items = arrayItem(item);
  if (items[0] !== code.withKey) return { body: readBody(item) };
  expectItems(items, 3);
  return { body: readBody(items[2]), idempotencyKey: textItem(items[1]) };
}

function readBody(item: unknown): CommandBody {
  const items = arrayItem(item);
  if (items[0] === code.compact) {
    expectItems(items, 2);
    return { type: "compact", revision: intItem(items[1]) };
  }
  const operation = readOperation(items);
  if (operation.type === "range") throw new WireError("a range is no command");
  return operation;
}
