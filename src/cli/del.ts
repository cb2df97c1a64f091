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
  readonly all?: boolean;
  readonly prev?: boolean;
  readonly hex?: boolean;
}

export function addDelCommand(program: Command, io: Io): void {
  const command = program
    .command("del")
    .description("Delete a key, all keys with a prefix, or all keys.")
    .argument("[key]", "a key; with --prefix, what the keys begin with; not with --all")
    .option("--prefix", "delete every key that begins with it")
    .option("--all", "delete every key of the store")
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
  command.action(async (keyText: string | undefined, flags: DelFlags) => {
    const conditions = options.conditionHeaders(flags);
    const target = targetOf(keyText, flags, Object.keys(conditions).length > 0);
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
    if (deleted === 0 && flags.prefix !== true && flags.all !== true) {
      throw new CommandFailure(exitCodes.notFound, `There is no key "${keyText}"; nothing was deleted.`);
    }
  });
}

function targetOf(keyText: string | undefined, flags: DelFlags, conditional: boolean): string {
  const many = flags.all === true ? "--all" : flags.prefix === true ? "--prefix" : undefined;
  const wrong = (sentence: string) => new CommandFailure(exitCodes.usage, sentence);
  if (many !== undefined && conditional) {
    throw wrong(`A condition is about one key: leave out ${many} or the condition.`);
  }
  if (flags.all === true) {
    if (keyText !== undefined || flags.prefix === true)
      throw wrong("--all deletes every key: leave out the key and --prefix, or --all.");
    return "/v1/kv?all=true";
  }
  if (keyText === undefined) throw wrong("The key is missing; give one, or --all for every key.");
  const key = readKey(keyText, flags.hex === true);
  if (key.length === 0) {
    throw wrong(
      many === undefined
        ? "The key is empty; give one, or --all for every key."
        : "The prefix is empty, which is every key; say so by --all.",
    );
  }
  if (many === undefined) return keyPath(key);
  return `/v1/kv?prefix=${encodePercent(key)}`;
}
