import { type Command, Option } from "commander";
import * as options from "./client-options.ts";
import type { Io } from "./io.ts";

interface DevFlags {
  readonly dataDir: string;
  readonly members: "1" | "3" | "5";
  readonly portBase?: number;
  readonly fresh?: boolean;
  readonly logLevel: string;
}

export function addDevCommand(program: Command, io: Io, exit: (code: number) => void): void {
  program
    .command("dev")
    .description("Run a cluster for trying out: three members on loopback, one log.")
    .option("--data-dir <folder>", "folder for the members' folders", "./.dev")
    .addOption(new Option("--members <number>", "how many members").choices(["1", "3", "5"]).default("3"))
    .option(
      "--port-base <port>",
      "first port; the members take the ports from there",
      options.wholeNumber(1, 65_000),
    )
    .option("--fresh", "begin anew: remove what earlier runs left in --data-dir")
    .option("--log-level <levels>", "as for serve", "info")
    .addHelpText("after", "\nExamples:\n  coracle dev\n  coracle dev --members 5 --fresh")
    .action(async (flags: DevFlags) => {
      const { runDev } = await import("./dev.ts");
      exit(
        await runDev(
          {
            dataDir: flags.dataDir,
            members: Number(flags.members),
            ...(flags.portBase === undefined ? {} : { portBase: flags.portBase }),
            fresh: flags.fresh === true,
            logLevel: flags.logLevel,
          },
          io,
        ),
      );
    });
}
