import { type Command, InvalidArgumentError } from "commander";
import { untilInterrupted } from "./claim.ts";
import { documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { leaseSchema, leaseStatusSchema, leasesSchema, revisionSchema } from "./documents.ts";
import type { Io } from "./io.ts";
import { grantLease, holdLease } from "./lease-holder.ts";
import { printJson, renderTable } from "./output.ts";
import { jsonBytes, preview } from "./values.ts";

interface TtlFlags extends options.ClientFlags {
  readonly keys?: boolean;
}
interface GrantFlags extends options.ClientFlags {
  readonly id?: string;
}
interface KeepFlags extends options.ClientFlags {
  readonly once?: boolean;
}

export function addLeaseCommand(program: Command, io: Io): void {
  const group = program.command("lease").description("Grant, renew, show and revoke leases.");
  addGrant(group, io);
  addRevoke(group, io);
  addKeepAlive(group, io);
  addTtl(group, io);
  addList(group, io);
  group.addHelpText(
    "after",
    "\nExamples:\n  coracle lease grant 60\n  coracle put services/web/1 here --lease 7587\n  coracle lease keep-alive 7587",
  );
}

/** A commander argument parser: a lease's id, kept as text. */
export function leaseArgument(text: string): string {
  if (
    /^-?[0-9]{1,19}$/.test(text) &&
    BigInt.asIntN(64, BigInt(text)) === BigInt(text) &&
    BigInt(text) !== 0n
  ) {
    return BigInt(text).toString();
  }
  throw new InvalidArgumentError("It must be the id of a lease: an integer of 64 bits other than 0.");
}

function addGrant(group: Command, io: Io): void {
  const command = group
    .command("grant")
    .description("Grant a lease: keys put with it are deleted when it ends.")
    .argument("<ttl>", "seconds for which it lives without being renewed", options.wholeNumber(1))
    .option("--id <id>", "choose its id (default: one is chosen)", leaseArgument);
  options.addOutputOption(command, "the id");
  options.addClientOptions(command).addHelpText("after", "\nExample:\n  coracle lease grant 60");
  command.action(async (ttl: number, flags: GrantFlags) => {
    const lease = await grantLease(options.clientOf(flags, io), ttl, flags.id);
    if (flags.output === "json") await printJson(io, lease);
    else if (flags.output === "table") await io.out(renderTable(["ID", "TTL"], [[lease.id, lease.ttl]]));
    else await io.out(`${lease.id}\n`);
  });
}

function addRevoke(group: Command, io: Io): void {
  const command = group
    .command("revoke")
    .description("End a lease, and delete its keys.")
    .argument("<id>", "of the lease", leaseArgument);
  options.addOutputOption(command, "one line");
  options.addClientOptions(command).addHelpText("after", "\nExample:\n  coracle lease revoke 7587");
  command.action(async (id: string, flags: options.ClientFlags) => {
    const headers = { ...options.cbor, ...options.idempotencyHeader() };
    const client = options.clientOf(flags, io);
    const answer = await client.send({
      method: "DELETE",
      path: `/v1/leases/${id}`,
      headers,
      sending: "repeatable",
    });
    const { revision } = documentOf(answer, revisionSchema);
    if (flags.output === "json") await printJson(io, { revoked: id, revision });
    else await io.out(`revoked ${id}, revision ${revision}\n`);
  });
}

function addKeepAlive(group: Command, io: Io): void {
  const command = group
    .command("keep-alive")
    .description("Renew a lease until Ctrl-C, or once.")
    .argument("<id>", "of the lease", leaseArgument)
    .option("--once", "renew it once, and end");
  options.addOutputOption(command, "a line a renewal");
  options
    .addClientOptions(command)
    .addHelpText(
      "after",
      "\nExamples:\n  coracle lease keep-alive 7587\n  coracle lease keep-alive 7587 --once",
    );
  command.action(async (id: string, flags: KeepFlags) => {
    const client = options.clientOf(flags, io);
    const told = (ttl: number): Promise<void> =>
      flags.output === "json" ? printJson(io, { id, ttl }) : io.out(`renewed ${id}, ${ttl} s\n`);
    const sentAtMs = performance.now();
    const path = `/v1/leases/${id}/keep-alive`;
    const answer = await client.send({ method: "POST", path, headers: options.cbor, sending: "repeatable" });
    const { ttl } = documentOf(answer, leaseSchema);
    await told(ttl);
    if (flags.once === true) return;
    const holder = holdLease(client, id, ttl, sentAtMs, {
      onRenewed: (seconds) => void told(seconds),
    });
    try {
      await untilInterrupted(io, holder.lost);
    } finally {
      holder.stop();
    }
  });
}

function addTtl(group: Command, io: Io): void {
  const command = group
    .command("ttl")
    .description("Show how long a lease still lives.")
    .argument("<id>", "of the lease", leaseArgument)
    .option("--keys", "also the keys that hang on it");
  options.addOutputOption(command, "one line, and a line a key");
  options.addClientOptions(command).addHelpText("after", "\nExample:\n  coracle lease ttl 7587 --keys");
  command.action(async (id: string, flags: TtlFlags) => {
    const path = options.withQuery(`/v1/leases/${id}`, flags.keys === true ? ["keys=true"] : []);
    const client = options.clientOf(flags, io);
    const answer = await client.send({ method: "GET", path, headers: options.cbor, sending: "repeatable" });
    const { ttl, remaining_ms, keys } = documentOf(answer, leaseStatusSchema);
    if (flags.output === "json") {
      const list = keys.map(({ key }) => jsonBytes("key", key));
      await printJson(io, { id, ttl, remaining_ms, ...(flags.keys === true ? { keys: list } : {}) });
      return;
    }
    await io.out(`${Math.floor(remaining_ms / 1000)} s left of ${ttl} s\n`);
    await io.out(keys.map(({ key }) => `${preview(key, 200)}\n`).join(""));
  });
}

function addList(group: Command, io: Io): void {
  const command = group.command("list").description("List the ids of all leases.");
  options.addOutputOption(command, "one id a line");
  options.addClientOptions(command).addHelpText("after", "\nExample:\n  coracle lease list");
  command.action(async (flags: options.ClientFlags) => {
    const client = options.clientOf(flags, io);
    const answer = await client.send({
      method: "GET",
      path: "/v1/leases",
      headers: options.cbor,
      sending: "repeatable",
    });
    const { leases } = documentOf(answer, leasesSchema);
    if (flags.output === "json") await printJson(io, { leases });
    else await io.out(leases.map(({ id }) => `${id}\n`).join(""));
  });
}
