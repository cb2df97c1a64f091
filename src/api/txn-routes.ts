import type { Context } from "hono";
import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Operation, TxnOperation } from "../kv/types.ts";
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
  const txn = await readDocument(request, 2 * api.valueBytesMax, txnSchema);
  checkSize(txn, api.valueBytesMax);
  const result = await api.service.kv.propose(commandOf(txn, request.headers));
  if (result.type !== "txn")
    throw new Error(`a transaction was answered with a result of type ${result.type}`);
  return documentResponse(form, txnFields(txn, result, form), 200, {
    "coracle-revision": String(result.revision),
  });
}

/** @throws CoracleError too_many_operations, request_too_large */
function checkSize(txn: TxnOperation, bytesMax: number): void {
  const size = sizeOf(txn);
  size.operations -= 1; // The transaction itself.
  if (size.operations > limits.txnOperationsMax) {
    throw new CoracleError(
      "too_many_operations",
      `The transaction has ${size.operations} operations and comparisons; at most ${limits.txnOperationsMax} are allowed, nested ones included.`,
      { limit_operations: limits.txnOperationsMax },
    );
  }
  if (size.bytes > bytesMax) {
    throw new CoracleError(
      "request_too_large",
      `The keys and values of the transaction have ${size.bytes} bytes together; at most ${bytesMax} are allowed.`,
      { limit_bytes: bytesMax },
    );
  }
}

function sizeOf(operation: Operation): { operations: number; bytes: number } {
  if (operation.type !== "txn") {
    return {
      operations: 1,
      bytes: operation.key.length + (operation.type === "put" ? operation.value.length : 0),
    };
  }
  const size = { operations: 1 + operation.compare.length, bytes: 0 };
  for (const { key, operand } of operation.compare) {
    size.bytes += key.length + (typeof operand === "number" ? 0 : operand.length);
  }
  for (const inner of [...operation.success, ...operation.failure]) {
    const innerSize = sizeOf(inner);
    size.operations += innerSize.operations;
    size.bytes += innerSize.bytes;
  }
  return size;
}
