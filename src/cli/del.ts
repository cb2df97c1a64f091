import type { Command } from "commander";
import { encodePercent, keyPath } from "../api/percent.ts";
import { documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { deleteSchema, keyHeader, keyRow, keyValueJson } from "./documents.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { printJson, renderTable } from "./output.ts";
import { readKey } from "./values.ts";

interface DelFlags extends options.ClientFlags, options.ConditionFlags {
  readonly prefix?: boolean;
  readonly prev?: boolean;
  readonly hex?: boolean;
}

export function addDelCommand(program: Command, io: Io): void {
  const command = program
    .command("del")
    .description("Delete a key, or all keys with a prefix.")
    .argument("<key>", "a key; with --prefix, what the keys begin with")
    .option("--prefix", "delete every key that begins with it")
    .option("--prev", "show what was deleted")
    .option("--hex", "the key is given in hexadecimal");
  options.addConditionOptions(command);
  options.addOutputOption(command, "the number of keys deleted");
  options.addClientOptions(command).addHelpText(
    "after",
    `
Examples:
  coracle del greeting
  coracle del greeting --if-match 42
  coracle del config/ --prefix`,
  );
  command.action(async (keyText: string, flags: DelFlags) => {
    const conditions = options.conditionHeaders(flags);
    if (flags.prefix === true && Object.keys(conditions).length > 0) {
      throw new CommandFailure(
        exitCodes.usage,
        "A condition is about one key: leave out --prefix or the condition.",
      );
    }
    const key = readKey(keyText, flags.hex === true);
    const target = flags.prefix === true ? `/v1/kv?prefix=${encodePercent(key)}` : keyPath(key);
    const answer = await options.clientOf(flags, io).send({
      method: "DELETE",
      path: options.withQuery(target, flags.prev ? ["prev=true"] : []),
      headers: { ...options.cbor, ...options.idempotencyHeader(), ...conditions },
      sending: "repeatable",
    });
    const { revision, deleted, previous } = documentOf(answer, deleteSchema);
    if (flags.output === "json") {
      await printJson(io, {
        revision,
        deleted,
        ...(flags.prev ? { previous: previous.map(keyValueJson) } : {}),
      });
    } else {
      await io.out(`deleted ${deleted}, revision ${revision}\n`);
      if (previous.length > 0) await io.out(renderTable(keyHeader, previous.map(keyRow)));
    }
    if (deleted === 0 && flags.prefix !== true) {
      throw new CommandFailure(exitCodes.notFound, `There is no key "${keyText}"; nothing was deleted.`);
    }
  });
}
