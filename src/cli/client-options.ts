import { randomUUID } from "node:crypto";
import { type Command, InvalidArgumentError, Option } from "commander";
import * as v from "valibot";
import { defaultPorts } from "../config/options.ts";
import { durationMs } from "../config/values.ts";
import { Client, parseEndpoints } from "./client.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import type { OutputForm } from "./output.ts";

/** Options that every command has which talks to a cluster. */
export interface ClientFlags {
  readonly endpoints?: string;
  readonly timeout?: string;
  readonly output?: OutputForm;
}

export const cbor = { accept: "application/cbor" } as const;

export function addClientOptions(command: Command): Command {
  return command
    .option(
      "--endpoints <list>",
      "members to talk to, the next one when one fails; CORACLE_ENDPOINTS (default: 127.0.0.1:2379)",
    )
    .option(
      "--timeout <time>",
      "time for the whole command, such as 500ms or 10s; CORACLE_TIMEOUT (default: 10s)",
    );
}

export function addOutputOption(command: Command, usual: string): Command {
  const option = new Option("-o, --output <form>", `instead of ${usual}`);
  return command.addOption(option.choices(["json", "table"]));
}

/** @throws CommandFailure `usage` */
export function endpointsOf(flags: ClientFlags, io: Io): string[] {
  const [source, text] =
    flags.endpoints !== undefined
      ? ["--endpoints", flags.endpoints]
      : ["CORACLE_ENDPOINTS", io.environment.CORACLE_ENDPOINTS || "127.0.0.1"];
  try {
    return [...new Set(parseEndpoints(text, defaultPorts.client))];
  } catch (error) {
    throw new CommandFailure(
      exitCodes.usage,
      `${source} is ${text || "empty"}, but ${(error as Error).message}.`,
    );
  }
}

/** @throws CommandFailure `usage` */
export function clientOf(flags: ClientFlags, io: Io, endpoints = endpointsOf(flags, io)): Client {
  const [source, text] =
    flags.timeout !== undefined
      ? ["--timeout", flags.timeout]
      : ["CORACLE_TIMEOUT", io.environment.CORACLE_TIMEOUT || "10s"];
  const parsed = v.safeParse(durationMs(1, 3_600_000), text);
  if (!parsed.success)
    throw new CommandFailure(exitCodes.usage, `${source} is ${text}, but ${parsed.issues[0].message}.`);
  return new Client({ endpoints, timeoutMs: parsed.output });
}

/** A header under which the cluster applies a write once, however often it is sent. */
export function idempotencyHeader(): Record<string, string> {
  return { "idempotency-key": randomUUID() };
}

/** A commander argument parser for whole numbers. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!(number >= least && number <= most)) {
      const bound = most === Number.MAX_SAFE_INTEGER ? "" : ` to ${most}`;
      throw new InvalidArgumentError(`It must be a whole number from ${least}${bound}.`);
    }
    return number;
  };
}

export interface ReadFlags {
  readonly consistency?: "linearizable" | "serializable";
  readonly maxStaleMs?: number;
  readonly revision?: number;
}

export function addReadOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--consistency <mode>",
        "serializable: the asked member's own state, which may be old",
      ).choices(["linearizable", "serializable"]),
    )
    .option("--max-stale-ms <ms>", "serializable, but no older than this", wholeNumber(0))
    .option("--revision <revision>", "as it was at this revision of the store", wholeNumber(1));
}

export function readQuery(flags: ReadFlags): string[] {
  if (flags.consistency === "linearizable" && flags.maxStaleMs !== undefined) {
    throw new CommandFailure(
      exitCodes.usage,
      "--max-stale-ms is for serializable reads; leave it or --consistency linearizable out.",
    );
  }
  return [
    ...(flags.consistency === undefined ? [] : [`consistency=${flags.consistency}`]),
    ...(flags.maxStaleMs === undefined ? [] : [`max_stale_ms=${flags.maxStaleMs}`]),
    ...(flags.revision === undefined ? [] : [`revision=${flags.revision}`]),
  ];
}

export interface ConditionFlags {
  readonly ifMatch?: number;
  readonly ifNoneMatch?: number;
}

export function conditionHeaders(
  flags: ConditionFlags & { readonly createOnly?: boolean },
): Record<string, string> {
  if (flags.createOnly === true && (flags.ifMatch !== undefined || flags.ifNoneMatch !== undefined)) {
    throw new CommandFailure(
      exitCodes.usage,
      "--create-only contradicts --if-match and --if-none-match; give one.",
    );
  }
  return {
    ...(flags.ifMatch === undefined ? {} : { "if-match": `"${flags.ifMatch}"` }),
    ...(flags.ifNoneMatch === undefined ? {} : { "if-none-match": `"${flags.ifNoneMatch}"` }),
    ...(flags.createOnly === true ? { "if-none-match": "*" } : {}),
  };
}

export function addConditionOptions(command: Command): Command {
  return command
    .option(
      "--if-match <revision>",
      "only if the key's last change (mod_revision) is this one",
      wholeNumber(1),
    )
    .option(
      "--if-none-match <revision>",
      "only if the key's last change is another one, or there is no key",
      wholeNumber(1),
    );
}

/** A path with further query parameters. */
export function withQuery(path: string, parameters: readonly string[]): string {
  if (parameters.length === 0) return path;
  return `${path}${path.includes("?") ? "&" : "?"}${parameters.join("&")}`;
}
