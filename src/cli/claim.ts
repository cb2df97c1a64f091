import type { Command } from "commander";
import * as v from "valibot";
import { messageOf } from "../base/errors.ts";
import { joinedSignal } from "../base/signals.ts";
import { durationMs } from "../config/values.ts";
import { type ApiRequest, attempt, type Client, documentOf } from "./client.ts";
import * as options from "./client-options.ts";
import { leaseId } from "./documents.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { grantLease, type HeldLease, holdLease } from "./lease-holder.ts";
import { textOf } from "./values.ts";

/** Holding a lock or a leadership for as long as a command runs, or until Ctrl-C. */

export interface ClaimFlags extends options.ClientFlags {
  readonly ttl?: number;
  readonly wait?: string;
}

const ttlSecondsDefault = 30;
const retryMs = 200;
/** A program that must end since the lock is lost has so long to do it by itself. */
const killAfterMs = 5000;

const claimSchema = v.object({
  key: v.instance(Uint8Array),
  lease: leaseId,
  fencing_revision: v.pipe(v.number(), v.integer()),
});

export interface HeldClaim {
  /** Text, or hexadecimal digits when it is none. */
  readonly key: string;
  readonly fencingRevision: number;
  readonly lease: string;
}

export function addClaimOptions(command: Command): Command {
  return command
    .option(
      "--ttl <seconds>",
      `how long it outlives this process; it is kept alive meanwhile (default: ${ttlSecondsDefault})`,
      options.wholeNumber(1, 86_400),
    )
    .option(
      "--wait <time>",
      "how long to wait for it, such as 500ms or 10s; 0: not at all (default: for ever)",
    );
}

function waitMsOf(flags: ClaimFlags): number | undefined {
  if (flags.wait === undefined) return undefined;
  if (flags.wait === "0") return 0;
  const parsed = v.safeParse(durationMs(0, 86_400_000), flags.wait);
  if (parsed.success) return parsed.output;
  throw new CommandFailure(exitCodes.usage, `--wait is ${flags.wait}, but ${parsed.issues[0].message}.`);
}

interface ClaimTarget {
  /** Where the claim is made by POST. */
  readonly path: string;
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly flags: ClaimFlags;
}

/** Makes a claim on a lease of its own, has it used, and gives it up however that ends. */
export async function withClaim(
  io: Io,
  target: ClaimTarget,
  use: (claim: HeldClaim, lost: AbortSignal) => Promise<void>,
): Promise<void> {
  const waitMs = waitMsOf(target.flags);
  const client = options.clientOf(target.flags, io);
  const interrupted = io.interrupted();
  const sentAtMs = performance.now();
  const { id, ttl } = await grantLease(client, target.flags.ttl ?? ttlSecondsDefault);
  const holder = holdLease(client, id, ttl, sentAtMs);
  try {
    const claim = await acquire(client, target, holder, waitMs, interrupted);
    await use(claim, holder.lost);
  } finally {
    holder.stop();
    await giveUp(io, client, id, ttl);
  }
}

/** Ending the lease deletes the claim's key, held or waiting. */
async function giveUp(io: Io, client: Client, lease: string, ttl: number): Promise<void> {
  try {
    const headers = { ...options.cbor, ...options.idempotencyHeader() };
    await client.send({ method: "DELETE", path: `/v1/leases/${lease}`, headers, sending: "repeatable" });
  } catch (error) {
    if (error instanceof CommandFailure && error.exitCode === exitCodes.notFound) return;
    await io.err(
      `coracle: The lease ${lease} could not be ended, it ends in ${ttl} s: ${messageOf(error)}\n`,
    );
  }
}

/**
 * Waits for the claim, at the next endpoint when one breaks off: the lease keeps the place in the queue.
 */
async function acquire(
  client: Client,
  { path, fields }: ClaimTarget,
  holder: HeldLease,
  waitMs: number | undefined,
  interrupted: AbortSignal,
): Promise<HeldClaim> {
  const startMs = performance.now();
  const reasons = new Map<string, string>();
  let reachedMs = startMs;
  for (let turn = 0; ; turn++) {
    const endpoint = client.endpoints[turn % client.endpoints.length] ?? "";
    const leftMs =
      waitMs === undefined ? undefined : Math.max(0, Math.ceil(startMs + waitMs - performance.now()));
    const body = { ...fields, lease: holder.lease, ...(leftMs !== undefined && { wait_ms: leftMs }) };
    const limitMs = leftMs === undefined ? Number.POSITIVE_INFINITY : leftMs + client.timeoutMs;
    const sentMs = performance.now();
    const ends = joinedSignal([interrupted, holder.lost]);
    const outcome = await attempt(endpoint, postOf(path, body), limitMs, ends.signal).finally(ends.end);
    if (interrupted.aborted) throw new CommandFailure(exitCodes.failed, "Interrupted before it was held.");
    holder.lost.throwIfAborted();
    if ("status" in outcome) {
      const claim = documentOf(outcome, claimSchema);
      const key = textOf(claim.key) ?? claim.key.toHex();
      return { key, fencingRevision: claim.fencing_revision, lease: holder.lease };
    }
    // A member that let it wait was there for so long.
    if (outcome.kind !== "unreached" && performance.now() - sentMs > client.timeoutMs)
      reachedMs = performance.now();
    reasons.set(endpoint, outcome.reason);
    if (performance.now() - reachedMs > client.timeoutMs) {
      const text = [...reasons].map((entry) => entry.join(": ")).join("; ");
      throw new CommandFailure(exitCodes.unavailable, `The cluster cannot serve this now: ${text}.`);
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

function postOf(path: string, body: unknown): ApiRequest {
  return {
    method: "POST",
    path,
    headers: { ...options.cbor, "content-type": "application/json" },
    body: JSON.stringify(body),
    sending: "repeatable",
  };
}

/** Runs a program while the claim is held; it is ended when the claim is lost. */
export async function runWhileHeld(
  io: Io,
  words: readonly string[],
  environment: Record<string, string>,
  lost: AbortSignal,
): Promise<number> {
  const [program = "", ...args] = words;
  const interrupted = io.interrupted();
  const child = io.run({ program, args, environment });
  let kill: ReturnType<typeof setTimeout> | undefined;
  const end = (): void => {
    child.kill("SIGTERM");
    kill ??= setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  };
  // The program decides how long it takes to stop; without the lock it must not go on. At a terminal
  // Ctrl-C has reached the program as well.
  const pass = (): void => {
    if (interrupted.reason !== "SIGINT" || !io.inputIsTerminal) child.kill("SIGTERM");
  };
  lost.addEventListener("abort", end, { once: true });
  interrupted.addEventListener("abort", pass, { once: true });
  if (interrupted.aborted) pass();
  if (lost.aborted) end();
  const { code, error } = await child.exited;
  clearTimeout(kill);
  lost.removeEventListener("abort", end);
  interrupted.removeEventListener("abort", pass);
  if (error !== undefined) await io.err(`coracle: "${program}" cannot be run: ${error}.\n`);
  lost.throwIfAborted();
  return code;
}

/** Resolves at Ctrl-C. @throws when the claim is lost before. */
export async function untilInterrupted(io: Io, lost: AbortSignal): Promise<void> {
  const interrupted = io.interrupted();
  await new Promise<void>((resolve) => {
    for (const signal of [interrupted, lost]) {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    }
  });
  if (!interrupted.aborted) lost.throwIfAborted();
}
