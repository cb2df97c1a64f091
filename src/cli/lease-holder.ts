import { systemClock } from "../base/clock.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import { LeaseKeeper } from "../concurrency/lease-keeper.ts";
import { type Client, documentOf } from "./client.ts";
import { cbor, idempotencyHeader } from "./client-options.ts";
import { leaseSchema } from "./documents.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";

export interface GrantedLease {
  readonly id: string;
  readonly ttl: number;
}

export async function grantLease(client: Client, ttl: number, id?: string): Promise<GrantedLease> {
  const granted = await client.send({
    method: "POST",
    path: "/v1/leases",
    headers: { ...cbor, ...idempotencyHeader(), "content-type": "application/json" },
    body: JSON.stringify(id === undefined ? { ttl } : { ttl, id }),
    sending: "repeatable",
  });
  return documentOf(granted, leaseSchema);
}

/** A lease that is kept alive. */
export interface HeldLease {
  readonly lease: string;
  /** Aborts, with a `CommandFailure`, when the lease ended or must be taken for ended. */
  readonly lost: AbortSignal;
  stop(): void;
}

/**
 * Keeps a lease alive through whichever endpoint answers.
 *
 * @param sentAtMs on the clock, when the request was sent that granted it; its time is not counted from later.
 */
export function holdLease(
  client: Client,
  lease: string,
  ttl: number,
  sentAtMs: number,
  { onRenewed = (_: number): void => {}, clock = systemClock } = {},
): HeldLease {
  const lost = new AbortController();
  const keeper = new LeaseKeeper({
    renew: () => renew(client, lease),
    clock,
    lease,
    ttlSeconds: ttl,
    renewedAtMs: sentAtMs,
    onRenewed,
    onLost: (error) => lost.abort(new CommandFailure(exitCodes.failed, error.message)),
  });
  return { lease, lost: lost.signal, stop: () => keeper.stop() };
}

async function renew(client: Client, lease: string): Promise<{ readonly ttlSeconds: number }> {
  const path = `/v1/leases/${lease}/keep-alive`;
  try {
    const answer = await client.send({ method: "POST", path, headers: cbor, sending: "repeatable" });
    return { ttlSeconds: documentOf(answer, leaseSchema).ttl };
  } catch (error) {
    if (!(error instanceof CommandFailure) || error.exitCode !== exitCodes.notFound) throw error;
    const reason = messageOf(error).replace(/\.$/, "");
    throw new CoracleError("lease_not_found", `The lease ${lease} is lost: ${reason}.`);
  }
}
