import type { Command } from "commander";
import { encodePercent } from "../api/percent.ts";
import { type Client, documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { type KeyValueDocument, keyHeader, keyRow, keyValueJson, rangeSchema } from "./documents.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { printJson, renderTable } from "./output.ts";
import { readKey } from "./values.ts";

interface ListFlags extends options.ClientFlags, options.ReadFlags {
  readonly start?: string;
  readonly end?: string;
  readonly limit?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly hex?: boolean;
}

/** Keys asked for at once; the cursor pins all pages to one revision. */
const pageKeys = 1000;

export function addListCommand(program: Command, io: Io): void {
  const command = program
    .command("list")
    .description("List keys in byte order, with their values.")
    .argument("[prefix]", "what the keys begin with; all keys without")
    .option("--start <key>", "from this key on, instead of a prefix")
    .option("--end <key>", "up to, but without, this key")
    .option("--limit <keys>", "at most so many", options.wholeNumber(1))
    .option("--keys-only", "without values")
    .option("--count-only", "only how many there are")
    .option("--hex", "prefix, start and end are given in hexadecimal");
  options.addReadOptions(command);
  options.addOutputOption(command, "a table (json: one key a line)");
  options.addClientOptions(command).addHelpText(
    "after",
    `
Examples:
  coracle list
  coracle list config/ --keys-only
  coracle list --start a --end b -o json`,
  );
  command.action(async (prefix: string | undefined, flags: ListFlags) => {
    const client = options.clientOf(flags, io);
    const query = [...selection(prefix, flags), ...options.readQuery(flags)];
    if (flags.countOnly === true) {
      const answer = await page(client, [...query, "count_only=true"]);
      const count = answer.count ?? 0;
      await (flags.output === "json"
        ? printJson(io, { count, revision: answer.revision })
        : io.out(`${count}\n`));
      return;
    }
    await printPages(io, client, query, flags);
  });
}

function selection(prefix: string | undefined, flags: ListFlags): string[] {
  if (prefix !== undefined && (flags.start !== undefined || flags.end !== undefined)) {
    throw new CommandFailure(
      exitCodes.usage,
      "A prefix contradicts --start and --end; give one or the other.",
    );
  }
  const parameter = (name: string, text: string) =>
    `${name}=${encodePercent(readKey(text, flags.hex === true))}`;
  const parameters: string[] = [];
  if (flags.start !== undefined) parameters.push(parameter("start", flags.start));
  if (flags.end !== undefined) parameters.push(parameter("end", flags.end));
  if (parameters.length === 0) parameters.push(parameter("prefix", prefix ?? ""));
  return parameters;
}

async function page(client: Client, parameters: readonly string[]) {
  const path = options.withQuery("/v1/kv", parameters);
  const answer = await client.send({ method: "GET", path, headers: options.cbor, sending: "repeatable" });
  return documentOf(answer, rangeSchema);
}

async function printPages(io: Io, client: Client, query: readonly string[], flags: ListFlags): Promise<void> {
  let left = flags.limit ?? Number.POSITIVE_INFINITY;
  let parameters = [...query];
  const rows: KeyValueDocument[] = [];
  while (left > 0) {
    const result = await page(client, [
      ...parameters,
      `limit=${Math.min(left, pageKeys)}`,
      ...(flags.keysOnly === true ? ["keys_only=true"] : []),
    ]);
    left -= result.keys.length;
    // JSON flows page by page; a table needs all rows for its widths.
    if (flags.output === "json")
      await io.out(result.keys.map((key) => `${JSON.stringify(keyValueJson(key))}\n`).join(""));
    else rows.push(...result.keys);
    if (!result.more || !result.cursor) break;
    parameters = [...query, `cursor=${encodeURIComponent(result.cursor)}`];
  }
  if (flags.output === "json") return;
  if (flags.keysOnly === true) {
    const table = rows.map((row) => keyRow(row).slice(0, 4));
    await io.out(renderTable(keyHeader.slice(0, 4), table));
  } else await io.out(renderTable(keyHeader, rows.map(keyRow)));
}
