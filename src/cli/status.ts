import type { Command } from "commander";
import type * as v from "valibot";
import { withoutControls } from "../base/controls.ts";
import { formatBytes } from "../config/values.ts";
import { documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { statusSchema } from "./documents.ts";
import type { Io } from "./io.ts";
import { printJson, renderTable } from "./output.ts";

export function addStatusCommand(program: Command, io: Io): void {
  const command = program.command("status").description("Show every member: role, term, progress, size.");
  options.addOutputOption(command, "a table");
  options.addClientOptions(command).addHelpText(
    "after",
    `
Examples:
  coracle status
  coracle status --endpoints 10.0.0.1,10.0.0.2 -o json`,
  );
  command.action(async (flags: options.ClientFlags) => {
    const client = options.clientOf(flags, io);
    const answer = await client.send({
      method: "GET",
      path: "/v1/status",
      headers: options.cbor,
      sending: "repeatable",
    });
    const status = documentOf(answer, statusSchema);
    if (flags.output === "json") await printJson(io, status);
    else {
      await io.out(renderTable(header, status.members.map(row)));
      for (const { name, trouble } of status.members) {
        if (trouble !== undefined) await io.out(`${name}: ${withoutControls(trouble).replace(/\.$/, "")}.\n`);
      }
    }
  });
}

const header = [
  "NAME",
  "ID",
  "ROLE",
  "TERM",
  "COMMIT",
  "APPLIED",
  "REVISION",
  "STORE",
  "LOG",
  "VERSION",
  "UP",
];

type MemberStatus = v.InferOutput<typeof statusSchema>["members"][number];

function row(member: MemberStatus): (string | number)[] {
  const role = member.reachable ? (member.role ?? "?") : "unreachable";
  return [
    member.name,
    String(member.id),
    role,
    member.term ?? "-",
    member.commit_index ?? "-",
    member.applied_index ?? "-",
    member.revision ?? "-",
    member.store_bytes === undefined ? "-" : roughBytes(member.store_bytes),
    member.log_entries === undefined ? "-" : `${member.log_entries} entries`,
    member.version ?? "-",
    member.uptime_seconds === undefined ? "-" : roughTime(member.uptime_seconds),
  ];
}

/** A size in three digits or so. */
function roughBytes(size: number): string {
  for (const [unit, factor] of [
    ["GiB", 1024 ** 3],
    ["MiB", 1024 ** 2],
    ["KiB", 1024],
  ] as const) {
    if (size >= factor) return `${(size / factor).toFixed(1)}${unit}`;
  }
  return formatBytes(size);
}

function roughTime(seconds: number): string {
  if (seconds >= 86_400) return `${Math.floor(seconds / 86_400)}d${Math.floor((seconds % 86_400) / 3600)}h`;
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m`;
  if (seconds >= 60) return `${Math.floor(seconds / 60)}m${Math.floor(seconds % 60)}s`;
  return `${Math.floor(seconds)}s`;
}
