import type { Context } from "hono";
import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import { type JoinedSignal, joinedSignal } from "../base/signals.ts";
import { hold } from "../concurrency/holding.ts";
import type { Claim, ClaimRequest } from "../concurrency/types.ts";
import type { LeaseId } from "../kv/types.ts";
import type { ApiContext } from "./context.ts";
import { bytesFields, leaseItem } from "./documents.ts";
import { invalidArgument } from "./errors.ts";
import { type StreamEvent, streamResponse } from "./event-stream.ts";
import { wholeNumber } from "./fields.ts";
import { decodedPath } from "./key-target.ts";
import { leaseField } from "./lease-id.ts";
import { ttlField } from "./lease-routes.ts";
import { type Document, documentResponse, type Form, isStream } from "./media.ts";
import { refuseIdempotencyKey } from "./write-options.ts";

/** What acquiring a lock and campaigning have in common. */

/** The longest wait that can be asked for: a day. */
const waitMsMax = 86_400_000;

/** Fields of the body: on which lease, and how long to wait. */
export const claimFields = {
  lease: v.exactOptional(leaseField),
  ttl: v.exactOptional(ttlField),
  wait_ms: v.exactOptional(wholeNumber(0, waitMsMax)),
};

interface ClaimBody {
  readonly lease?: LeaseId;
  readonly ttl?: number;
  readonly wait_ms?: number;
}

/** The name of a lock or an election: what stands behind the root in the path. */
export function nameIn(c: Context, root: string): Uint8Array {
  const name = decodedPath(c.req.path.slice(root.length));
  if (name.length > 0) return name;
  throw new CoracleError("key_empty", `The path has no name behind ${root}; a name has at least one byte.`);
}

/** A request that is repeated finds its claim by the lease, so nothing else is needed for it. */
export function refuseIdempotentClaim(headers: Headers): void {
  refuseIdempotencyKey(
    headers,
    "To be repeated safely this takes a lease of your own (POST /v1/leases), which gets the same claim again",
  );
}

export function claimRequestOf(name: Uint8Array, body: ClaimBody): ClaimRequest {
  const { lease = 0, ttl, wait_ms: waitMs } = body;
  if (lease !== 0 && ttl !== undefined) {
    throw invalidArgument("The body has lease and ttl; give the one that exists, or the TTL of a new one.");
  }
  return {
    name,
    lease,
    takeOver: true,
    ...(ttl !== undefined && { ttlSeconds: ttl }),
    ...(waitMs !== undefined && { waitMs }),
  };
}

function claimDocument(claim: Claim, form: Form): Document {
  return {
    ...bytesFields("key", claim.key, form),
    lease: leaseItem(claim.lease, form),
    ...(claim.ttlSeconds !== undefined && { ttl: claim.ttlSeconds }),
    fencing_revision: claim.createRevision,
    revision: claim.revision,
  };
}

export type MakeClaim = (request: ClaimRequest) => Promise<Claim>;

/** Makes the claim and answers when it is first; as a stream the claim ends with the connection. */
export function claimResponse(
  api: ApiContext,
  c: Context,
  form: Form,
  request: ClaimRequest,
  make: MakeClaim,
): Response | Promise<Response> {
  return isStream(form)
    ? streamResponse(form, (signal) => heldByConnection(api, form, request, make, signal))
    : answered(api, c, form, request, make);
}

async function answered(
  api: ApiContext,
  c: Context,
  form: Form,
  request: ClaimRequest,
  make: MakeClaim,
): Promise<Response> {
  const gone = c.req.raw.signal;
  const either = eitherEnd(gone, api.stopping);
  try {
    const claim = await make({ ...request, signal: either.signal });
    return documentResponse(form, claimDocument(claim, form), 200, {
      "coracle-revision": String(claim.revision),
    });
  } catch (error) {
    // The client is gone: nobody sees this.
    if (gone.aborted) return new Response(null, { status: 499 });
    throw error;
  } finally {
    either.end();
  }
}

async function* heldByConnection(
  api: ApiContext,
  form: Form,
  request: ClaimRequest,
  make: MakeClaim,
  gone: AbortSignal,
): AsyncGenerator<StreamEvent, void> {
  yield { type: "waiting", document: {} };
  const either = eitherEnd(gone, api.stopping);
  const deps = { ...api.service, clock: api.clock };
  let claim: Claim | undefined;
  let keyLost = false;
  try {
    claim = await make({ ...request, signal: either.signal });
    let told = false;
    for await (const ttl of hold(deps, claim, either.signal)) {
      if (told) yield { type: "alive", document: { ttl } };
      else yield { type: "held", document: { ...claimDocument(claim, form), ttl } };
      told = true;
    }
    // The lease is left its time: the client can take the claim over through another member.
    either.signal.throwIfAborted();
  } catch (error) {
    keyLost = error instanceof CoracleError && error.code === "not_found";
    throw error;
  } finally {
    either.end();
    if (claim !== undefined && !api.stopping.aborted) await letGo(api, claim, keyLost);
  }
}

/**
 * The end of the connection is the end of the claim. What fails here ends by the lease's TTL. A key that
 * was taken off the lease does not go with it.
 */
async function letGo(api: ApiContext, claim: Claim, keyLost: boolean): Promise<void> {
  const { leases } = api.service;
  try {
    if (claim.ttlSeconds === undefined || keyLost) await api.elections.resign(claim);
    if (claim.ttlSeconds !== undefined) await leases.revoke(claim.lease);
  } catch (error) {
    if (!(error instanceof CoracleError)) throw error;
  }
}

/** The client's end and the member's as one signal. */
function eitherEnd(gone: AbortSignal, stopping: AbortSignal): JoinedSignal {
  return joinedSignal([gone, stopping], (source) => {
    if (source === gone) return gone.reason;
    return new CoracleError("shutting_down", "This member stops: send the request again, to another member.");
  });
}
