import type { Batch, Command, CommandBody } from "../kv/types.ts";
import { CborReader } from "./cbor-reader.ts";
import { CborWriter } from "./cbor-writer.ts";
import { code, expectItems, readList, readOperationOf, writeOperation } from "./operations.ts";
import { WireError } from "./wire-error.ts";

/** The layout of a batch in the log. A member reads every layout up to its own. */
const batchLayout = 1;

export const commandLayouts = [
  "batch = [layout 1, timeMs uint, [command]]",
  "command = put | delete | txn | compact | [6, idempotencyKey text, put | delete | txn | compact]",
  "compact = [5, revision int]",
];

const shared = new CborWriter(64 * 1024);

/*
 * Sizes are not limited here: what one member put into the log, every member must be able to read.
 * `validateCommand` limits them before that.
 */

/** The content of a `normal` log entry, in a buffer of its own and of exactly its size. */
export function encodeBatch(batch: Batch): Uint8Array {
  shared.truncate(0);
  shared.arrayHead(3);
  shared.uint(batchLayout);
  shared.uint(batch.timeMs);
  writeCommands(shared, batch.commands);
  return shared.takeCopy();
}

/**
 * Reads the content of a `normal` log entry. Keys and values are views of `bytes`.
 *
 * @throws WireError when it is no batch.
 */
export function decodeBatch(bytes: Uint8Array): Batch {
  const reader = new CborReader(bytes);
  reader.arrayOf(3);
  const layout = reader.uint();
  if (layout !== batchLayout) {
    throw new WireError(`the log holds a batch of layout ${layout}; this version reads ${batchLayout}`);
  }
  const timeMs = reader.uint();
  const commands = readCommands(reader);
  reader.end();
  return { timeMs, commands };
}

export function writeCommands(writer: CborWriter, commands: readonly Command[]): void {
  writer.arrayHead(commands.length);
  for (const command of commands) {
    if (command.idempotencyKey !== undefined) {
      writer.arrayHead(3);
      writer.uint(code.withKey);
      writer.text(command.idempotencyKey);
    }
    writeBody(writer, command.body);
  }
}

export function readCommands(reader: CborReader): Command[] {
  return readList(reader, readCommand);
}

function writeBody(writer: CborWriter, body: CommandBody): void {
  if (body.type !== "compact") {
    writeOperation(writer, body);
    return;
  }
  writer.arrayHead(2);
  writer.uint(code.compact);
  writer.int(body.revision);
}

function readCommand(reader: CborReader): Command {
  const items = reader.arrayHead();
  const first = reader.uint();
  if (first !== code.withKey) return { body: readBody(reader, items, first) };
  expectItems(items, 3);
  const idempotencyKey = reader.text();
  const bodyItems = reader.arrayHead();
  return { body: readBody(reader, bodyItems, reader.uint()), idempotencyKey };
}

function readBody(reader: CborReader, items: number, bodyCode: number): CommandBody {
  if (bodyCode === code.compact) {
    expectItems(items, 2);
    return { type: "compact", revision: reader.int() };
  }
  const operation = readOperationOf(reader, items, bodyCode, 0);
  if (operation.type === "range") throw new WireError("a range is no command");
  return operation;
}
