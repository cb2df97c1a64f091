import { getLogger } from "@logtape/logtape";
import { CoracleError, type ErrorCode } from "../base/errors.ts";
import { entityTag } from "./conditions.ts";
import { errorFaces, internalError, problemOf } from "./errors.ts";
import { encodeCbor, type Headers, problemForm } from "./media.ts";

const log = getLogger(["coracle", "api"]);

/** After these a part of the body may still be on its way. */
const bodyErrors: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "malformed_body",
  "request_timeout",
  "key_too_large",
  "value_too_large",
  "request_too_large",
  "too_many_operations",
]);

function hasUnreadBody(request: Request): boolean {
  return !request.bodyUsed && request.body !== null;
}

const requestIdPattern = /^[\x21-\x7e]{1,128}$/;
const idPrefix = crypto
  .getRandomValues(new Uint32Array(2))
  .reduce((text, word) => text + word.toString(36), "");
let idCount = 0;

/** The client's `X-Request-Id`, when it is short and printable. */
export function givenRequestId(request: Request): string | undefined {
  const given = request.headers.get("x-request-id");
  return given !== null && requestIdPattern.test(given) ? given : undefined;
}

/**
 * The answer to a request that failed: the problem document, with the headers that go with its
 * code. What is no `CoracleError` is a bug: it is logged whole, and shown as nothing but "internal".
 */
export function failureResponse(request: Request, error: unknown, headers: Headers = {}): Response {
  const requestId = givenRequestId(request) ?? `${idPrefix}-${++idCount}`;
  const known = error instanceof CoracleError ? error : internalError(requestId);
  const face = errorFaces[known.code];
  if (known !== error) {
    log.error("A request failed by a bug: {error}.", { requestId, method: request.method, error });
  } else if (face.status >= 500) {
    // Many at once while a leader is missing; the metrics count them, and the cause is logged where it is.
    log.debug("A request was answered {status} {code}: {reason}", {
      status: face.status,
      code: known.code,
      reason: known.message,
      requestId,
    });
  }

  headers["x-request-id"] = requestId;
  if (face.retryAfterSeconds !== undefined) headers["retry-after"] = String(face.retryAfterSeconds);
  const current = known.details.current_revision;
  if (known.code === "precondition_failed" && typeof current === "number" && current > 0) {
    headers.etag = entityTag(current);
  }
  // The rest of an unread body must not be taken for the next request, nor be waited for.
  if (bodyErrors.has(known.code) || (face.status === 429 && hasUnreadBody(request)))
    headers.connection = "close";
  const problem = problemOf(known, requestId);
  if (problemForm(request.headers.get("accept")) === "cbor") {
    headers["content-type"] = "application/cbor";
    return new Response(encodeCbor(problem), { status: face.status, headers });
  }
  headers["content-type"] = "application/problem+json";
  return new Response(`${JSON.stringify(problem)}\n`, { status: face.status, headers });
}
