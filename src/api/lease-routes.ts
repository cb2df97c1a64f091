import type { Context } from "hono";
import * as v from "valibot";
import { parseInt64 } from "../base/int64.ts";
import type { LeaseId } from "../kv/types.ts";
import { readDocument } from "./body.ts";
import type { ApiContext, Handler } from "./context.ts";
import { bytesFields, leaseItem } from "./documents.ts";
import { invalidArgument, quoted } from "./errors.ts";
import { objectMessage, wholeNumber } from "./fields.ts";
import { leaseField } from "./lease-id.ts";
import { type Document, documentForms, documentResponse, type Form, negotiate } from "./media.ts";
import { flag, parseQuery, queryOf } from "./query.ts";
import {
  idempotencyKeyOf,
  redirectParameter,
  redirectToLeader,
  refuseIdempotencyKey,
} from "./write-options.ts";

/** Bodies of requests that carry a few numbers and at most one value. */
export const smallBodyBytesMax = 64 * 1024;

const noParameters = v.object({});
const writeQuery = v.object(redirectParameter);
const leaseQuery = v.object({ keys: v.optional(flag) });

/** The largest TTL is the service's to refuse; this is what a document can carry. */
export const ttlField = wholeNumber(1);
const grantBody = v.strictObject(
  { ttl: v.exactOptional(ttlField), id: v.exactOptional(leaseField) },
  objectMessage('an object such as {"ttl": 60}'),
);

type LeaseRoute = "grant" | "list" | "get" | "keepAlive" | "revoke";

/** Leases: `/v1/leases`. */
export function leaseRoutes(api: ApiContext): Readonly<Record<LeaseRoute, Handler>> {
  const { leases } = api.service;
  return {
    grant: (c) => grant(api, c),
    list: async (c) => {
      parseQuery(noParameters, queryOf(c.req.raw.url));
      const form = formOf(c);
      const ids = await leases.list();
      return documentResponse(form, { leases: ids.map((id) => ({ id: leaseItem(id, form) })) }, 200, {});
    },
    get: async (c) => {
      const { keys } = parseQuery(leaseQuery, queryOf(c.req.raw.url));
      const form = formOf(c);
      const status = await leases.timeToLive(leaseIn(c), keys === true);
      const document: Document = {
        id: leaseItem(status.id, form),
        ttl: status.grantedSeconds,
        remaining_ms: Math.max(0, Math.floor(status.remainingSeconds * 1000)),
        ...(keys === true && { keys: status.keys.map((key) => bytesFields("key", key, form)) }),
      };
      return documentResponse(form, document, 200, {});
    },
    keepAlive: async (c) => {
      parseQuery(noParameters, queryOf(c.req.raw.url));
      const form = formOf(c);
      const id = leaseIn(c);
      refuseIdempotencyKey(c.req.raw.headers, "A renewal may be sent again as it is");
      const { ttlSeconds } = await leases.keepAlive(id);
      return documentResponse(form, { id: leaseItem(id, form), ttl: ttlSeconds }, 200, {});
    },
    revoke: async (c) => {
      const query = parseQuery(writeQuery, queryOf(c.req.raw.url));
      const form = formOf(c);
      const id = leaseIn(c);
      const redirect = redirectToLeader(api, c.req.raw, query.redirect);
      if (redirect !== undefined) return redirect;
      const { revision } = await leases.revoke(id, idempotencyKeyOf(c.req.raw.headers));
      return documentResponse(form, { revision }, 200, { "coracle-revision": String(revision) });
    },
  };
}

async function grant(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const query = parseQuery(writeQuery, queryOf(request.url));
  const form = formOf(c);
  const redirect = redirectToLeader(api, request, query.redirect);
  if (redirect !== undefined) return redirect;
  const { ttl, id = 0 } = await readDocument(request, smallBodyBytesMax, grantBody, {});
  if (ttl === undefined) throw invalidArgument('The body has no ttl, in seconds; give one: {"ttl": 60}.');
  const lease = await api.service.leases.grant(id, ttl, idempotencyKeyOf(request.headers));
  const location = `/v1/leases/${lease.id}`;
  return documentResponse(form, { id: leaseItem(lease.id, form), ttl: lease.ttlSeconds }, 201, { location });
}

function formOf(c: Context): Form {
  return negotiate(c.req.raw.headers.get("accept"), documentForms);
}

/** The lease that the path names. */
function leaseIn(c: Context): LeaseId {
  const text = c.req.path.split("/")[3] ?? "";
  const id = parseInt64(text);
  if (id !== undefined && id !== 0) return id;
  throw invalidArgument(
    `The path names the lease ${quoted(text)}; a lease's id is an integer of 64 bits in decimal digits, other than 0.`,
  );
}
