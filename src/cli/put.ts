import type { Command } from "commander";
import { keyPath } from "../api/percent.ts";
import { documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { keyHeader, keyRow, keyValueJson, putSchema } from "./documents.ts";
import type { Io } from "./io.ts";
import { leaseArgument } from "./lease.ts";
import { printJson, renderTable } from "./output.ts";
import { readOneKey, readValue } from "./values.ts";

interface PutFlags extends options.ClientFlags, options.ConditionFlags {
  readonly createOnly?: boolean;
  readonly prev?: boolean;
  readonly hex?: boolean;
  readonly lease?: string;
}

export function addPutCommand(program: Command, io: Io): void {
  const command = program
    .command("put")
    .description("Write a value.")
    .argument("<key>")
    .argument(
      "[value]",
      "text; - or nothing: from stdin; @file: a file's content; @@text: text that begins with @",
    )
    .option("--create-only", "only if there is no such key")
    .option("--prev", "show the key as it was before")
    .option("--lease <id>", "attach the key to this lease: it is deleted when the lease ends", leaseArgument)
    .option("--hex", "the key is given in hexadecimal");
  options.addConditionOptions(command);
  options.addOutputOption(command, "the new revision");
  options.addClientOptions(command).addHelpText(
    "after",
    `
Examples:
  coracle put greeting hello
  coracle put config/site.json @site.json --if-match 42
  tar c photos | coracle put backup/photos -`,
  );
  command.action(async (keyText: string, valueText: string | undefined, flags: PutFlags) => {
    const client = options.clientOf(flags, io);
    const path = options.withQuery(keyPath(readOneKey(keyText, flags.hex === true)), [
      ...(flags.prev ? ["prev=true"] : []),
      ...(flags.lease === undefined ? [] : [`lease=${flags.lease}`]),
    ]);
    const headers = { ...options.cbor, ...options.idempotencyHeader(), ...options.conditionHeaders(flags) };
    const body = await readValue(io, valueText);
    const answer = await client.send({ method: "PUT", path, headers, body, sending: "repeatable" });
    const { revision, previous } = documentOf(answer, putSchema);
    if (flags.output === "json") {
      await printJson(io, {
        revision,
        ...(previous === undefined ? {} : { previous: keyValueJson(previous) }),
      });
      return;
    }
    await io.out(`revision ${revision}\n`);
    if (previous !== undefined) await io.out(renderTable(keyHeader, [keyRow(previous)]));
  });
}
