import type { Context } from "hono";
import * as v from "valibot";
import { emptyBytes } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { joinedSignal } from "../base/signals.ts";
import { claimKeyOf } from "../concurrency/claim.ts";
import { readDocument } from "./body.ts";
import {
  claimFields,
  claimRequestOf,
  claimResponse,
  nameIn,
  refuseIdempotentClaim,
} from "./claim-request.ts";
import type { ApiContext, Handler } from "./context.ts";
import { keyValueDocument } from "./documents.ts";
import { invalidArgument } from "./errors.ts";
import { type StreamEvent, streamResponse } from "./event-stream.ts";
import { base64, bytesOrText, objectMessage, wholeNumber } from "./fields.ts";
import { leaseField, leaseParameter } from "./lease-id.ts";
import { documentForms, documentOrStreamForms, documentResponse, isStream, negotiate } from "./media.ts";
import { integer, parseQuery, queryOf } from "./query.ts";
import { idempotencyKeyOf, redirectParameter, redirectToLeader } from "./write-options.ts";

const root = "/v1/elections/";
const noParameters = v.object({});
const writeQuery = v.object(redirectParameter);
const valueFields = { value: v.exactOptional(bytesOrText), value_base64: v.exactOptional(base64) };
const campaignBody = v.strictObject(
  { ...claimFields, ...valueFields },
  objectMessage('an object such as {"ttl": 30, "value": "me"}'),
);
const proclaimBody = v.strictObject(
  { lease: leaseField, fencing_revision: wholeNumber(1), ...valueFields },
  objectMessage('an object such as {"lease": 7, "fencing_revision": 42, "value": "me"}'),
);
const resignQuery = v.object({
  lease: v.optional(leaseParameter),
  fencing_revision: v.optional(integer(1)),
  ...redirectParameter,
});

type ElectionRoute = "campaign" | "leader" | "proclaim" | "resign";

/** Elections: `/v1/elections/{name}`. */
export function electionRoutes(api: ApiContext): Readonly<Record<ElectionRoute, Handler>> {
  return {
    campaign: async (c) => {
      const request = c.req.raw;
      parseQuery(noParameters, queryOf(request.url));
      const name = nameIn(c, root);
      const form = negotiate(request.headers.get("accept"), documentOrStreamForms);
      refuseIdempotentClaim(request.headers);
      const body = await readDocument(request, bodyBytesMax(api), campaignBody, {});
      const value = valueIn(body) ?? emptyBytes;
      const campaign = { ...claimRequestOf(name, body), value };
      return claimResponse(api, c, form, campaign, (claim) => api.elections.campaign({ ...claim, value }));
    },
    leader: (c) => leader(api, c),
    proclaim: (c) => proclaim(api, c),
    resign: (c) => resign(api, c),
  };
}

async function leader(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  parseQuery(noParameters, queryOf(request.url));
  const name = nameIn(c, root);
  const offers = request.method === "HEAD" ? documentForms : documentOrStreamForms;
  const form = negotiate(request.headers.get("accept"), offers);
  if (isStream(form)) return streamResponse(form, (signal) => observe(api, name, signal));
  const { revision, leader: found } = await api.elections.leader(name);
  if (found === undefined) {
    throw new CoracleError("not_found", `The election has no leader at revision ${revision}.`, { revision });
  }
  return documentResponse(form, { revision, leader: keyValueDocument(found, form, true) }, 200, {
    "coracle-revision": String(revision),
    vary: "accept",
  });
}

async function* observe(
  api: ApiContext,
  name: Uint8Array,
  gone: AbortSignal,
): AsyncGenerator<StreamEvent, void> {
  const either = joinedSignal([gone, api.stopping]);
  try {
    for await (const { revision, leader: found } of api.elections.observe(name, either.signal)) {
      const document = { revision, leader: keyValueDocument(found, "json", true) };
      yield { type: "leader", id: revision, document };
    }
  } finally {
    either.end();
  }
  if (api.stopping.aborted) {
    throw new CoracleError("shutting_down", "This member stops: observe through another member.");
  }
}

async function proclaim(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const query = parseQuery(writeQuery, queryOf(request.url));
  const name = nameIn(c, root);
  const form = negotiate(request.headers.get("accept"), documentForms);
  const redirect = redirectToLeader(api, request, query.redirect);
  if (redirect !== undefined) return redirect;
  const body = await readDocument(request, bodyBytesMax(api), proclaimBody);
  const value = valueIn(body);
  if (value === undefined)
    throw invalidArgument("The body has no value to proclaim; give value or value_base64.");
  const claim = {
    key: claimKeyOf(name, body.lease),
    lease: body.lease,
    createRevision: body.fencing_revision,
  };
  const result = await api.elections.proclaim(claim, value, idempotencyKeyOf(request.headers));
  if (result === undefined) {
    throw new CoracleError(
      "precondition_failed",
      "This lease has no claim of that fencing revision any more: it does not lead; campaign again.",
    );
  }
  const { revision } = result;
  return documentResponse(form, { revision }, 200, { "coracle-revision": String(revision) });
}

async function resign(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const query = parseQuery(resignQuery, queryOf(request.url));
  const name = nameIn(c, root);
  const form = negotiate(request.headers.get("accept"), documentForms);
  const { lease, fencing_revision: createRevision } = query;
  if (lease === undefined || createRevision === undefined) {
    throw invalidArgument("Name the claim to resign by its lease and fencing_revision; by both.");
  }
  const redirect = redirectToLeader(api, request, query.redirect);
  if (redirect !== undefined) return redirect;
  const claim = { key: claimKeyOf(name, lease), lease, createRevision };
  const { revision, resigned } = await api.elections.resign(claim, idempotencyKeyOf(request.headers));
  return documentResponse(form, { revision, resigned }, 200, { "coracle-revision": String(revision) });
}

/** A value in base64, with names and braces around it. */
function bodyBytesMax(api: ApiContext): number {
  return 2 * (api.valueBytesMax + limits.commandOverheadBytesMax);
}

function valueIn(body: {
  readonly value?: Uint8Array;
  readonly value_base64?: Uint8Array;
}): Uint8Array | undefined {
  if (body.value !== undefined && body.value_base64 !== undefined) {
    throw invalidArgument("The body has value and value_base64; give one.");
  }
  return body.value ?? body.value_base64;
}
