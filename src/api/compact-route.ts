import type { Context } from "hono";
import * as v from "valibot";
import { readDocument } from "./body.ts";
import type { ApiContext, Handler } from "./context.ts";
import { invalidArgument } from "./errors.ts";
import { objectMessage, truth, wholeNumber } from "./fields.ts";
import { smallBodyBytesMax } from "./lease-routes.ts";
import { documentForms, documentResponse, negotiate } from "./media.ts";
import { parseQuery, queryOf } from "./query.ts";
import { commandOf, redirectParameter, redirectToLeader } from "./write-options.ts";

const compactQuery = v.object(redirectParameter);
const compactBody = v.strictObject(
  { revision: v.exactOptional(wholeNumber(1)), physical: v.exactOptional(truth) },
  objectMessage('an object such as {"revision": 100}'),
);

/** `POST /v1/compact`: revisions below the one given become unreadable on every member. */
export function compactRoute(api: ApiContext): Handler {
  return (c) => compact(api, c);
}

async function compact(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const query = parseQuery(compactQuery, queryOf(request.url));
  const form = negotiate(request.headers.get("accept"), documentForms);
  const redirect = redirectToLeader(api, request, query.redirect);
  if (redirect !== undefined) return redirect;
  const { revision, physical } = await readDocument(request, smallBodyBytesMax, compactBody, {});
  if (revision === undefined) {
    throw invalidArgument('The body has no revision; give the first one to keep: {"revision": 100}.');
  }
  const result = await api.service.kv.propose(commandOf({ type: "compact", revision }, request.headers));
  if (physical === true) await api.service.maintenance.compacted();
  if (result.type !== "compact") throw new Error(`a compaction was answered with type ${result.type}`);
  return documentResponse(form, { compact_revision: revision, revision: result.revision }, 200, {
    "coracle-revision": String(result.revision),
  });
}
