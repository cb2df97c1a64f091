import type { Command } from "commander";
import { documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { type MemberDocument, membersSchema } from "./documents.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { printJson, renderTable } from "./output.ts";

export function addMemberCommand(program: Command, io: Io): void {
  const group = program.command("member").description("List, remove and promote members.");
  addList(group, io);
  addChange(group, io, {
    name: "remove",
    description: "Remove a member for good; its id is never admitted again.",
    argument: "id or name of the member",
    method: "DELETE",
    path: (member) => `/v1/members/${member}`,
    done: "removed",
  });
  addChange(group, io, {
    name: "promote",
    description: "Make a learner that has caught up a voter (the leader does so by itself).",
    argument: "id or name of the learner",
    method: "POST",
    path: (member) => `/v1/members/${member}/promote`,
    done: "promoted",
  });
  group.addHelpText("after", "\nExamples:\n  coracle member list\n  coracle member remove n3");
}

function addList(group: Command, io: Io): void {
  const command = group.command("list").description("List the members.");
  options.addOutputOption(command, "a table");
  options.addClientOptions(command).addHelpText("after", "\nExample:\n  coracle member list -o json");
  command.action(async (flags: options.ClientFlags) => {
    const client = options.clientOf(flags, io);
    const answer = await client.send({
      method: "GET",
      path: "/v1/members",
      headers: options.cbor,
      sending: "repeatable",
    });
    const { members } = documentOf(answer, membersSchema);
    if (flags.output === "json") await printJson(io, { members });
    else await io.out(renderTable(memberHeader, members.map(memberRow)));
  });
}

export const memberHeader = ["NAME", "ID", "VOTES", "PEER", "CLIENT", "GRPC"] as const;

export function memberRow(member: MemberDocument): string[] {
  const votes = member.learner ? "no (learner)" : "yes";
  const { name, id, peer_address, client_urls, grpc_urls } = member;
  return [name, String(id), votes, peer_address, client_urls.join(","), grpc_urls.join(",") || "-"];
}

interface Change {
  readonly name: string;
  readonly description: string;
  readonly argument: string;
  readonly method: "DELETE" | "POST";
  readonly path: (member: string) => string;
  readonly done: string;
}

function addChange(group: Command, io: Io, change: Change): void {
  const command = group
    .command(change.name)
    .description(change.description)
    .argument("<member>", change.argument);
  options.addOutputOption(command, "one line");
  options.addClientOptions(command).addHelpText("after", `\nExample:\n  coracle member ${change.name} n3`);
  command.action(async (member: string, flags: options.ClientFlags) => {
    if (member === "") throw new CommandFailure(exitCodes.usage, "The member is empty; give its id or name.");
    const client = options.clientOf(flags, io);
    const path = change.path(encodeURIComponent(member));
    await client.send({ method: change.method, path, headers: options.cbor, sending: "once" });
    if (flags.output === "json") await printJson(io, { [change.done]: member });
    else await io.out(`${change.done} ${member}\n`);
  });
}
