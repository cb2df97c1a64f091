import type { Context } from "hono";
import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import type { CommandResult, DeleteOperation, DeleteResult, PutOperation, PutResult } from "../kv/types.ts";
import { admitAnswer, answerGate } from "../service/answer-gate.ts";
import { checkPlainBody, readBody } from "./body.ts";
import { type Condition, conditional, conditionOf, entityTag, evaluate } from "./conditions.ts";
import { consistencyOf, consistencyParameters } from "./consistency.ts";
import type { ApiContext, Handler } from "./context.ts";
import { keyValueDocument, writeFields } from "./documents.ts";
import { keyOf } from "./key-target.ts";
import { leaseParameter } from "./lease-id.ts";
import { documentForms, documentResponse, negotiate, rawFirst } from "./media.ts";
import { flag, integer, keyBytes, parseQuery, queryOf } from "./query.ts";
import { commandOf, redirectParameter, redirectToLeader } from "./write-options.ts";

const keyParameter = { key: v.optional(keyBytes) };
const putQuery = v.object({
  ...keyParameter,
  lease: v.optional(leaseParameter),
  prev: v.optional(flag),
  ...redirectParameter,
});
const deleteQuery = v.object({ ...keyParameter, prev: v.optional(flag), ...redirectParameter });
const getQuery = v.object({ ...keyParameter, ...consistencyParameters, revision: v.optional(integer(1)) });

type WriteResult = PutResult | DeleteResult;

/** PUT, GET and DELETE of one key: `/v1/kv/{key}`, or `/v1/kv?key=` for any key. */
export function keyRoutes(api: ApiContext): {
  readonly put: Handler;
  readonly get: Handler;
  readonly delete: Handler;
} {
  return {
    put: (c) => putKey(api, c),
    get: (c) => getKey(api, c),
    delete: (c) => deleteKey(api, c),
  };
}

async function putKey(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const headers = request.headers;
  const query = parseQuery(putQuery, queryOf(request.url));
  const key = keyOf(c.req.path, query.key);
  const form = negotiate(headers.get("accept"), documentForms);
  const condition = conditionOf(headers);
  checkPlainBody(headers);
  const redirect = redirectToLeader(api, request, query.redirect);
  if (redirect !== undefined) return redirect;

  const value = await readBody(request, api.valueBytesMax, valueTooLarge);
  const previous = query.prev === true;
  const put: PutOperation = { type: "put", key, value, lease: query.lease ?? 0, previous };
  const body = condition === undefined ? put : conditional(condition, key, put);
  const result = writeResult(await api.service.kv.propose(commandOf(body, headers)), condition);
  const created =
    condition?.ifNoneMatch === "*" ||
    (previous && result.type === "put" && result.previous === undefined && result.abridged !== true);
  return documentResponse(form, writeFields(result, form), created ? 201 : 200, {
    etag: entityTag(result.revision),
    "coracle-revision": String(result.revision),
  });
}

async function deleteKey(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const headers = request.headers;
  const query = parseQuery(deleteQuery, queryOf(request.url));
  const key = keyOf(c.req.path, query.key);
  const form = negotiate(headers.get("accept"), documentForms);
  const condition = conditionOf(headers);
  const redirect = redirectToLeader(api, request, query.redirect);
  if (redirect !== undefined) return redirect;

  const remove: DeleteOperation = { type: "delete", key, previous: query.prev === true };
  const body = condition === undefined ? remove : conditional(condition, key, remove);
  const result = writeResult(await api.service.kv.propose(commandOf(body, headers)), condition);
  return documentResponse(form, writeFields(result, form), 200, {
    "coracle-revision": String(result.revision),
  });
}

async function getKey(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const headers = request.headers;
  const query = parseQuery(getQuery, queryOf(request.url));
  const key = keyOf(c.req.path, query.key);
  const form = negotiate(headers.get("accept"), rawFirst);
  const condition = conditionOf(headers);

  const range = { type: "range", key, revision: query.revision ?? 0, limit: 1 } as const;
  const result = await api.service.kv.range(range, consistencyOf(query), admitAnswer);
  const found = result.keys[0];
  const verdict = condition === undefined ? "go-on" : evaluate(condition, found?.modRevision ?? 0);
  if (verdict === "failed") throw preconditionFailed(found?.modRevision ?? 0);
  if (found === undefined) {
    throw new CoracleError(
      "not_found",
      `There is no such key at revision ${query.revision ?? result.revision}.`,
      {
        revision: result.revision,
      },
    );
  }
  const answer: Record<string, string> = {
    etag: entityTag(found.modRevision),
    "coracle-revision": String(result.revision),
  };
  if (verdict === "not-modified") return new Response(null, { status: 304, headers: answer });
  if (form === "raw") {
    // nosniff: a value is data, whatever it looks like to a browser.
    answer["content-type"] = "application/octet-stream";
    answer["x-content-type-options"] = "nosniff";
    return new Response(answerGate.body(found.value), {
      status: 200,
      headers: answer,
    });
  }
  const document = { revision: result.revision, ...keyValueDocument(found, form, true) };
  answer.vary = "accept";
  return documentResponse(form, document, 200, answer);
}

function valueTooLarge(bytesMax: number): CoracleError {
  return new CoracleError(
    "value_too_large",
    `The value is longer than ${bytesMax} bytes; the flag --value-bytes-max of every member sets this limit.`,
    { limit: bytesMax },
  );
}

/** `undefined`: there is the key, its revision is not known any more. */
function preconditionFailed(modRevision: number | undefined): CoracleError {
  if (modRevision === undefined) {
    return new CoracleError("precondition_failed", "The condition did not hold; nothing was changed.");
  }
  const now = modRevision === 0 ? "there is no such key now" : `the key is at revision ${modRevision} now`;
  return new CoracleError(
    "precondition_failed",
    `The condition does not hold: ${now}; nothing was changed.`,
    {
      current_revision: modRevision,
    },
  );
}

/**
 * The write's own result, out of the transaction that carried its condition.
 *
 * @throws CoracleError precondition_failed, with the key's revision.
 */
function writeResult(
  result: Exclude<CommandResult, { type: "refused" }>,
  condition: Condition | undefined,
): WriteResult {
  let inner = result;
  while (condition !== undefined && inner.type === "txn") {
    const response = inner.responses[0];
    if (response === undefined) break;
    if (response.type === "range") {
      // The remembered answer to a repeated request may lack the key itself, never the count.
      throw preconditionFailed(response.count === 0 ? 0 : response.keys[0]?.modRevision);
    }
    inner = response;
  }
  if (inner.type === "put" || inner.type === "delete") return inner;
  throw new Error(`a write was answered with a result of type ${inner.type}`);
}
