import type { Command } from "commander";
import * as v from "valibot";
import { documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { deleteSchema, keyHeader, keyRow, keyValueJson, putSchema, rangeSchema } from "./documents.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { printJson, renderTable } from "./output.ts";
import { readValue, textOf } from "./values.ts";

type OperationAnswer =
  | ({ readonly type: "put" } & v.InferOutput<typeof putSchema>)
  | ({ readonly type: "delete" } & v.InferOutput<typeof deleteSchema>)
  | ({ readonly type: "range" } & v.InferOutput<typeof rangeSchema>)
  | ({ readonly type: "txn" } & TxnAnswer);
interface TxnAnswer {
  readonly revision: number;
  readonly succeeded: boolean;
  readonly responses: readonly OperationAnswer[];
}

const operationSchema: v.GenericSchema<unknown, OperationAnswer> = v.variant("type", [
  v.object({ type: v.literal("put"), ...putSchema.entries }),
  v.object({ type: v.literal("delete"), ...deleteSchema.entries }),
  v.object({ type: v.literal("range"), ...rangeSchema.entries }),
  v.object({
    type: v.literal("txn"),
    revision: v.number(),
    succeeded: v.boolean(),
    responses: v.array(v.lazy(() => operationSchema)),
  }),
]);
const txnSchema: v.GenericSchema<unknown, TxnAnswer> = v.object({
  revision: v.number(),
  succeeded: v.boolean(),
  responses: v.array(operationSchema),
});

export function addTxnCommand(program: Command, io: Io): void {
  const command = program
    .command("txn")
    .description("Run a transaction: comparisons, and what to do when they hold or do not.")
    .argument("[document]", "JSON; - or nothing: from stdin; @file: a file's content");
  options.addOutputOption(command, "a line an answer, and tables of keys");
  options.addClientOptions(command).addHelpText(
    "after",
    `
The document is the body of POST /v1/txn: docs/http-api.md describes it.

Examples:
  coracle txn '{"compare": [{"key": "owner", "version": 0}],
                "success": [{"type": "put", "key": "owner", "value": "me"}],
                "failure": [{"type": "range", "key": "owner"}]}'
  coracle txn @move.json -o json`,
  );
  command.action(async (given: string | undefined, flags: options.ClientFlags) => {
    const client = options.clientOf(flags, io);
    const document = await readValue(io, given);
    checkJson(document);
    const answer = await client.send({
      method: "POST",
      path: "/v1/txn",
      headers: { ...options.cbor, ...options.idempotencyHeader(), "content-type": "application/json" },
      body: document,
      sending: "repeatable",
    });
    const result = documentOf(answer, txnSchema);
    if (flags.output === "json") await printJson(io, json(result));
    else
      await io.out(
        `${result.succeeded ? "success" : "failure"}, revision ${result.revision}\n${text(result)}`,
      );
  });
}

/** Said before anything is sent. */
function checkJson(document: Uint8Array): void {
  try {
    JSON.parse(textOf(document) ?? "");
  } catch (error) {
    throw new CommandFailure(
      exitCodes.usage,
      `The transaction is not well-formed JSON: ${(error as Error).message}.`,
    );
  }
}

function json({ revision, succeeded, responses }: TxnAnswer): Record<string, unknown> {
  return { revision, succeeded, responses: responses.map(operationJson) };
}

function operationJson(answer: OperationAnswer): Record<string, unknown> {
  const { type } = answer;
  switch (answer.type) {
    case "txn":
      return { type, ...json(answer) };
    case "put":
      return {
        type,
        revision: answer.revision,
        ...(answer.previous && { previous: keyValueJson(answer.previous) }),
      };
    case "delete":
      return {
        type,
        revision: answer.revision,
        deleted: answer.deleted,
        previous: answer.previous.map(keyValueJson),
      };
    case "range": {
      const { revision, count, more, keys } = answer;
      return { type, revision, count, more, keys: keys.map(keyValueJson) };
    }
  }
}

function text({ responses }: TxnAnswer): string {
  return responses.map(operationText).join("");
}

function operationText(answer: OperationAnswer): string {
  switch (answer.type) {
    case "txn":
      return `txn: ${answer.succeeded ? "success" : "failure"}\n${text(answer)}`;
    case "put":
      return `put\n${answer.previous === undefined ? "" : renderTable(keyHeader, [keyRow(answer.previous)])}`;
    case "delete":
      return `deleted ${answer.deleted}\n${answer.previous.length === 0 ? "" : renderTable(keyHeader, answer.previous.map(keyRow))}`;
    case "range":
      return answer.keys.length === 0
        ? `${answer.count ?? 0} keys\n`
        : renderTable(keyHeader, answer.keys.map(keyRow));
  }
}
