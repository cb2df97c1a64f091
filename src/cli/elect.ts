import type { Command } from "commander";
import * as v from "valibot";
import { addClaimOptions, type ClaimFlags, runWhileHeld, untilInterrupted, withClaim } from "./claim.ts";
import * as options from "./client-options.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { nameSegment } from "./lock.ts";
import { printJson } from "./output.ts";
import { followStream } from "./stream.ts";
import { preview } from "./values.ts";

interface ElectFlags extends ClaimFlags {
  readonly listen?: boolean;
}

/** A member that has nothing to tell says so this often; three times as long is silence. */
const aliveMs = 15_000;

const leaderSchema = v.object({
  revision: v.number(),
  leader: v.object({
    key: v.optional(v.string()),
    key_base64: v.string(),
    value_base64: v.string(),
    create_revision: v.number(),
  }),
});

export function addElectCommand(program: Command, io: Io, exit: (code: number) => void): void {
  const command = program
    .command("elect")
    .description("Become the leader of a group, or follow who leads it.")
    .argument("<name>", "of the election")
    .argument("[value]", "what the leader says, such as its address; not with --listen")
    .argument("[program...]", "behind --: what to run while this one leads")
    .option("-l, --listen", "print each leader as it comes, without campaigning");
  addClaimOptions(command);
  options.addOutputOption(command, "a line a leader (json: one object a line)");
  options.addClientOptions(command).addHelpText(
    "after",
    `
Leads until Ctrl-C, or while the program runs. The program has CORACLE_LEADER_KEY, CORACLE_LEADER_LEASE and
CORACLE_LEADER_REVISION in its environment; it is ended when leadership is lost, as with lock.

Examples:
  coracle elect scheduler host-1
  coracle elect scheduler host-1 -- ./scheduler
  coracle elect scheduler --listen`,
  );
  command.action(async (name: string, value: string | undefined, words: string[], flags: ElectFlags) => {
    const path = `/v1/elections/${nameSegment(name)}`;
    if (flags.listen === true) {
      if (value !== undefined) {
        throw new CommandFailure(exitCodes.usage, "--listen does not campaign: leave the value out.");
      }
      await listen(io, path, flags);
      return;
    }
    if (value === undefined) {
      throw new CommandFailure(
        exitCodes.usage,
        "The value is missing; give what the leader says, or --listen.",
      );
    }
    await withClaim(io, { path, fields: { value }, flags }, async (claim, lost) => {
      const { key, lease, fencingRevision } = claim;
      if (words.length > 0) {
        const environment = {
          CORACLE_LEADER_KEY: key,
          CORACLE_LEADER_LEASE: lease,
          CORACLE_LEADER_REVISION: String(fencingRevision),
        };
        exit(await runWhileHeld(io, words, environment, lost));
        return;
      }
      if (flags.output === "json")
        await printJson(io, { key, lease, value, fencing_revision: fencingRevision });
      else await io.out(`${key}  ${value}\n`);
      await untilInterrupted(io, lost);
    });
  });
}

async function listen(io: Io, path: string, flags: ElectFlags): Promise<void> {
  let toldRevision = 0;
  const client = options.clientOf(flags, io);
  await followStream(io, client, {
    path: () => path,
    idleMsMax: 3 * aliveMs,
    onLine: async (line) => {
      if (line.type !== "leader") return "go-on";
      const { revision, leader } = v.parse(leaderSchema, line);
      // After a break the leader is told again.
      if (revision <= toldRevision) return "go-on";
      toldRevision = revision;
      const key = leader.key ?? leader.key_base64;
      const value = Uint8Array.fromBase64(leader.value_base64);
      if (flags.output === "json") await printJson(io, { revision, key, value: preview(value, 4096) });
      else await io.out(`${key}  ${preview(value)}\n`);
      return "go-on";
    },
  });
}
