import type { Command } from "commander";
import * as options from "./client-options.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { printJson } from "./output.ts";

export function addLeaveCommand(program: Command, io: Io): void {
  const command = program
    .command("leave")
    .description("Make the member at the one given endpoint leave its cluster for good.");
  options.addOutputOption(command, "one line");
  options
    .addClientOptions(command)
    .addHelpText("after", "\nExample:\n  coracle leave --endpoints 10.0.0.3:2379");
  command.action(async (flags: options.ClientFlags) => {
    const endpoints = options.endpointsOf(flags, io);
    // The next endpoint would be another member: it must never leave in place of the one meant.
    if (endpoints.length !== 1) {
      throw new CommandFailure(
        exitCodes.usage,
        `The member at the endpoint leaves for good, so exactly one endpoint must be given, not ${endpoints.length}.`,
      );
    }
    const client = options.clientOf(flags, io, endpoints);
    await client.send({ method: "POST", path: "/v1/leave", headers: options.cbor, sending: "once" });
    if (flags.output === "json") await printJson(io, { left: endpoints[0] });
    else await io.out(`the member at ${endpoints[0]} left the cluster\n`);
  });
}
