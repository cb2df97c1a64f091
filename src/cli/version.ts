import type { Command } from "commander";
import { buildInfo } from "../base/build-info.ts";
import * as options from "./client-options.ts";
import type { Io } from "./io.ts";
import { printJson } from "./output.ts";

export const versionLine = `coracle ${buildInfo.version} (${buildInfo.commit}, ${buildInfo.target})`;

export function addVersionCommand(program: Command, io: Io): void {
  const command = program.command("version").description("Show the version of this executable.");
  options.addOutputOption(command, "one line").addHelpText("after", "\nExample:\n  coracle version -o json");
  command.action(async (flags: options.ClientFlags) => {
    const { version, commit, target } = buildInfo;
    if (flags.output === "json") await printJson(io, { version, commit, target });
    else await io.out(`${versionLine}\n`);
  });
}
