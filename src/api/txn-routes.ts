import type { Context } from "hono";
import * as v from "valibot";
import { limits } from "../base/limits.ts";
import { answerGate } from "../service/answer-gate.ts";
import { readDocument } from "./body.ts";
import type { ApiContext, Handler } from "./context.ts";
import { txnFields } from "./documents.ts";
import { documentForms, documentResponse, negotiate } from "./media.ts";
import { parseQuery, queryOf } from "./query.ts";
import { txnSchema } from "./txn-schema.ts";
import { commandOf, redirectParameter, redirectToLeader } from "./write-options.ts";

const txnQuery = v.object(redirectParameter);

/** `POST /v1/txn`. */
export function txnRoute(api: ApiContext): Handler {
  return (c) => runTxn(api, c);
}

async function runTxn(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const query = parseQuery(txnQuery, queryOf(request.url));
  const form = negotiate(request.headers.get("accept"), documentForms);
  const redirect = redirectToLeader(api, request, query.redirect);
  if (redirect !== undefined) return redirect;
  // Base64 takes a third more than what it stands for, names and braces come on top.
  const bodyBytesMax = 2 * (api.valueBytesMax + limits.commandOverheadBytesMax);
  const txn = await readDocument(request, bodyBytesMax, txnSchema);
  const result = await api.service.kv.propose(commandOf(txn, request.headers));
  if (result.type !== "txn")
    throw new Error(`a transaction was answered with a result of type ${result.type}`);
  await answerGate.turn(result);
  return documentResponse(form, txnFields(txn, result, form), 200, {
    "coracle-revision": String(result.revision),
  });
}
