import type { Context } from "hono";
import * as v from "valibot";
import { compareBytes } from "../base/bytes.ts";
import { claimKeyOf, queueOf } from "../concurrency/claim.ts";
import type { LeaseId } from "../kv/types.ts";
import { readDocument } from "./body.ts";
import {
  claimFields,
  claimRequestOf,
  claimResponse,
  nameIn,
  refuseIdempotentClaim,
} from "./claim-request.ts";
import type { ApiContext, Handler } from "./context.ts";
import { bytesFields, leaseItem } from "./documents.ts";
import { invalidArgument } from "./errors.ts";
import { objectMessage } from "./fields.ts";
import { leaseParameter } from "./lease-id.ts";
import { smallBodyBytesMax } from "./lease-routes.ts";
import { documentForms, documentOrStreamForms, documentResponse, negotiate } from "./media.ts";
import { keyBytes, parseQuery, queryOf } from "./query.ts";
import { idempotencyKeyOf, redirectParameter, redirectToLeader } from "./write-options.ts";

const root = "/v1/locks/";
const noParameters = v.object({});
const acquireBody = v.strictObject(
  claimFields,
  objectMessage('an object such as {"ttl": 30, "wait_ms": 5000}'),
);
const releaseQuery = v.object({
  lease: v.optional(leaseParameter),
  key: v.optional(keyBytes),
  ...redirectParameter,
});

/** Locks: `/v1/locks/{name}`. */
export function lockRoutes(api: ApiContext): Readonly<Record<"acquire" | "holder" | "release", Handler>> {
  return {
    acquire: async (c) => {
      const request = c.req.raw;
      parseQuery(noParameters, queryOf(request.url));
      const name = nameIn(c, root);
      const form = negotiate(request.headers.get("accept"), documentOrStreamForms);
      refuseIdempotentClaim(request.headers);
      const body = await readDocument(request, smallBodyBytesMax, acquireBody, {});
      return claimResponse(api, c, form, claimRequestOf(name, body), (claim) => api.locks.acquire(claim));
    },
    holder: async (c) => {
      parseQuery(noParameters, queryOf(c.req.raw.url));
      const name = nameIn(c, root);
      const form = negotiate(c.req.raw.headers.get("accept"), documentForms);
      const { revision, holder } = await api.locks.holder(name);
      const held = holder && {
        ...bytesFields("key", holder.key, form),
        lease: leaseItem(holder.lease, form),
        fencing_revision: holder.createRevision,
      };
      return documentResponse(form, { revision, holder: held ?? null }, 200, {
        "coracle-revision": String(revision),
      });
    },
    release: (c) => release(api, c),
  };
}

async function release(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const query = parseQuery(releaseQuery, queryOf(request.url));
  const form = negotiate(request.headers.get("accept"), documentForms);
  const key = releasedKey(nameIn(c, root), query);
  const redirect = redirectToLeader(api, request, query.redirect);
  if (redirect !== undefined) return redirect;
  const { revision, released } = await api.locks.release(key, idempotencyKeyOf(request.headers));
  return documentResponse(form, { revision, released }, 200, { "coracle-revision": String(revision) });
}

/** The key of the claim: by its lease, or as the answer to the acquire gave it. */
function releasedKey(
  name: Uint8Array,
  query: { readonly lease?: LeaseId | undefined; readonly key?: Uint8Array | undefined },
): Uint8Array {
  const { lease, key } = query;
  if ((lease === undefined) === (key === undefined)) {
    throw invalidArgument("Name the claim to release by its lease, or by its key; by one of them.");
  }
  if (key === undefined) return claimKeyOf(name, lease ?? 0);
  const { key: from } = queueOf(name);
  if (key.length > from.length && compareBytes(key.subarray(0, from.length), from) === 0) return key;
  throw invalidArgument(
    "The parameter key is no claim on this lock: it must begin with its name and a slash.",
  );
}
