import type { Command } from "commander";
import { documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { revisionSchema } from "./documents.ts";
import type { Io } from "./io.ts";
import { printJson } from "./output.ts";

interface CompactFlags extends options.ClientFlags {
  readonly physical?: boolean;
}

export function addCompactCommand(program: Command, io: Io): void {
  const command = program
    .command("compact")
    .description("Make the revisions below one unreadable, so that their space can be used again.")
    .argument("<revision>", "the oldest to keep", options.wholeNumber(1))
    .option("--physical", "wait until the member that is asked has removed them");
  options.addOutputOption(command, "one line");
  options.addClientOptions(command).addHelpText("after", "\nExample:\n  coracle compact 100000");
  command.action(async (revision: number, flags: CompactFlags) => {
    const physical = flags.physical === true;
    const answer = await options.clientOf(flags, io).send({
      method: "POST",
      path: "/v1/compact",
      headers: { ...options.cbor, ...options.idempotencyHeader(), "content-type": "application/json" },
      body: JSON.stringify({ revision, ...(physical && { physical }) }),
      sending: "repeatable",
    });
    const { revision: now } = documentOf(answer, revisionSchema);
    if (flags.output === "json") await printJson(io, { compact_revision: revision, revision: now });
    else await io.out(`compacted below ${revision}, revision ${now}\n`);
  });
}
