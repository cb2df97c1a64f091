import type { Command } from "commander";
import { keyPath } from "../api/percent.ts";
import { documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { keyHeader, keyRow, keyValueJson, keyValueSchema } from "./documents.ts";
import type { Io } from "./io.ts";
import { printJson, renderTable } from "./output.ts";
import { readOneKey } from "./values.ts";

interface GetFlags extends options.ClientFlags, options.ReadFlags {
  readonly hex?: boolean;
}

export function addGetCommand(program: Command, io: Io): void {
  const command = program
    .command("get")
    .description("Read a value; its bytes go to stdout as they are.")
    .argument("<key>")
    .option("--hex", "the key is given in hexadecimal");
  options.addReadOptions(command);
  options.addOutputOption(command, "the value alone");
  options.addClientOptions(command).addHelpText(
    "after",
    `
Examples:
  coracle get greeting
  coracle get config/site.json -o json
  coracle get greeting --consistency serializable --max-stale-ms 500`,
  );
  command.action(async (keyText: string, flags: GetFlags) => {
    const client = options.clientOf(flags, io);
    const path = options.withQuery(
      keyPath(readOneKey(keyText, flags.hex === true)),
      options.readQuery(flags),
    );
    const raw = flags.output === undefined;
    const headers = raw ? { accept: "application/octet-stream" } : options.cbor;
    const answer = await client.send({ method: "GET", path, headers, sending: "repeatable" });
    if (raw) {
      await io.out(answer.body);
      // On a terminal the prompt should not stand behind the value; a pipe gets the bytes alone.
      if (io.outputIsTerminal && answer.body.at(-1) !== 10) await io.out("\n");
      return;
    }
    const document = documentOf(answer, keyValueSchema);
    if (flags.output === "json") await printJson(io, keyValueJson(document));
    else await io.out(renderTable(keyHeader, [keyRow(document)]));
  });
}
