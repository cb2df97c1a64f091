import type { Command } from "commander";
import * as v from "valibot";
import { documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { type MemberDocument, memberSchema } from "./documents.ts";
import type { Io } from "./io.ts";
import { memberHeader, memberRow } from "./member.ts";
import { printJson, renderTable } from "./output.ts";

const leaderSchema = v.object({ leader: memberSchema });

export function addLeaderCommand(program: Command, io: Io): void {
  const group = program.command("leader").description("Show the leader, or hand leadership over.");
  group.addHelpText("after", "\nExamples:\n  coracle leader show\n  coracle leader transfer n2");

  const show = group.command("show").description("Show which member leads.");
  options.addOutputOption(show, "a table");
  options.addClientOptions(show).addHelpText("after", "\nExample:\n  coracle leader show -o json");
  show.action(async (flags: options.ClientFlags) => {
    const client = options.clientOf(flags, io);
    const answer = await client.send({
      method: "GET",
      path: "/v1/leader",
      headers: options.cbor,
      sending: "repeatable",
    });
    await print(io, flags, documentOf(answer, leaderSchema).leader);
  });

  const transfer = group
    .command("transfer")
    .description("Hand leadership to a member, or to the voter that is furthest.")
    .argument("[member]", "id or name of a voter");
  options.addOutputOption(transfer, "a table");
  options.addClientOptions(transfer).addHelpText("after", "\nExample:\n  coracle leader transfer n2");
  transfer.action(async (member: string | undefined, flags: options.ClientFlags) => {
    const answer = await options.clientOf(flags, io).send({
      method: "POST",
      path: "/v1/leader",
      headers: { ...options.cbor, "content-type": "application/json" },
      body: JSON.stringify(member === undefined ? {} : { member }),
      sending: "once",
    });
    await print(io, flags, documentOf(answer, leaderSchema).leader);
  });
}

async function print(io: Io, flags: options.ClientFlags, leader: MemberDocument): Promise<void> {
  if (flags.output === "json") await printJson(io, { leader });
  else await io.out(renderTable(memberHeader, [memberRow(leader)]));
}
