import type { Command } from "commander";
import { encodePercent } from "../api/percent.ts";
import { utf8 } from "../base/bytes.ts";
import { addClaimOptions, type ClaimFlags, runWhileHeld, untilInterrupted, withClaim } from "./claim.ts";
import * as options from "./client-options.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { printJson } from "./output.ts";

export function addLockCommand(program: Command, io: Io, exit: (code: number) => void): void {
  const command = program
    .command("lock")
    .description("Hold a lock while a program runs, or until Ctrl-C.")
    .argument("<name>", "of the lock; programs with the same name exclude each other")
    .argument("[program...]", "behind --: what to run while it is held");
  addClaimOptions(command);
  options.addOutputOption(command, "the key and the fencing revision");
  options.addClientOptions(command).addHelpText(
    "after",
    `
The program has CORACLE_LOCK_KEY, CORACLE_LOCK_LEASE and CORACLE_LOCK_REVISION (the fencing revision) in its
environment, and its exit code is the command's. When the lock is lost (its lease could not be renewed in time),
the program is ended by SIGTERM, after 5 s by SIGKILL, and the exit code is 1.

Examples:
  coracle lock backup -- tar cf /backup/data.tar /data
  coracle lock backup --wait 0 -- ./backup.sh
  coracle lock maintenance`,
  );
  command.action(async (name: string, words: string[], flags: ClaimFlags) => {
    const path = `/v1/locks/${nameSegment(name)}`;
    await withClaim(io, { path, flags }, async (claim, lost) => {
      const { key, lease, fencingRevision } = claim;
      if (words.length > 0) {
        const environment = {
          CORACLE_LOCK_KEY: key,
          CORACLE_LOCK_LEASE: lease,
          CORACLE_LOCK_REVISION: String(fencingRevision),
        };
        exit(await runWhileHeld(io, words, environment, lost));
        return;
      }
      if (flags.output === "json") await printJson(io, { key, lease, fencing_revision: fencingRevision });
      else await io.out(`${key}  fencing revision ${fencingRevision}\n`);
      await untilInterrupted(io, lost);
    });
  });
}

/** A name as a part of a path. */
export function nameSegment(name: string): string {
  if (name === "") throw new CommandFailure(exitCodes.usage, "The name is empty; give one.");
  return encodePercent(utf8(name));
}
