import { CoracleError, type ErrorCode } from "../base/errors.ts";

/** How an error code shows on HTTP. */
interface ErrorFace {
  readonly status: number;
  /** The same for every occurrence of the code (RFC 9457 §3.1.3). */
  readonly title: string;
  /** Nothing was proposed; the client may send it again after so many seconds. */
  readonly retryAfterSeconds?: number;
}

/**
 * The one map from error codes to HTTP. Three kinds of failure never share a status: refused
 * (4xx, 507), not proposed (503, 429: send it again) and outcome unknown (504).
 */
export const errorFaces: Readonly<Record<ErrorCode, ErrorFace>> = {
  invalid_argument: { status: 400, title: "The request has a wrong value" },
  unknown_parameter: { status: 400, title: "The request has a parameter that does not exist" },
  malformed_body: { status: 400, title: "The request body cannot be read" },
  request_timeout: { status: 408, title: "The request body did not arrive in time" },
  unsupported_media_type: { status: 415, title: "The request body is of a type that is not read here" },
  not_acceptable: { status: 406, title: "The answer cannot be given in an accepted type" },
  key_empty: { status: 400, title: "The key is empty" },
  key_too_large: { status: 413, title: "The key is too large" },
  value_too_large: { status: 413, title: "The value is too large" },
  request_too_large: { status: 413, title: "The request is too large" },
  too_many_operations: { status: 413, title: "The transaction has too many operations" },
  duplicate_key: { status: 400, title: "The transaction writes a key twice" },
  not_found: { status: 404, title: "Not found" },
  method_not_allowed: { status: 405, title: "The method is not allowed here" },
  precondition_failed: { status: 412, title: "The condition does not hold" },
  revision_compacted: { status: 410, title: "The revision has been compacted" },
  revision_future: { status: 400, title: "The revision lies in the future" },
  lease_not_found: { status: 404, title: "There is no such lease" },
  lease_ttl_too_large: { status: 400, title: "The TTL is too large" },
  lease_exists: { status: 409, title: "The lease exists" },
  unauthorized: { status: 401, title: "Not authenticated" },
  forbidden: { status: 403, title: "Not allowed" },

  member_not_found: { status: 404, title: "There is no such member" },
  member_exists: { status: 409, title: "The member exists" },
  name_taken: { status: 409, title: "The name is taken" },
  membership_change_in_progress: { status: 409, title: "Another membership change is under way" },
  learner_not_ready: { status: 409, title: "The learner has not caught up" },
  quorum_at_risk: { status: 409, title: "The change would put the quorum at risk" },
  bad_transferee: { status: 409, title: "The member cannot become leader" },
  lock_held: { status: 409, title: "Another one holds the lock" },

  no_leader: { status: 503, title: "No leader is known", retryAfterSeconds: 1 },
  not_proposed: { status: 503, title: "Nothing was proposed", retryAfterSeconds: 1 },
  overloaded: { status: 429, title: "The member has too much to do", retryAfterSeconds: 1 },
  quota_exceeded: { status: 507, title: "The store is full" },
  shutting_down: { status: 503, title: "The member is shutting down", retryAfterSeconds: 1 },

  outcome_unknown: { status: 504, title: "The outcome is unknown" },

  config_invalid: { status: 500, title: "The configuration is wrong" },
  storage_damaged: { status: 500, title: "The storage is damaged" },
  storage_failed: { status: 500, title: "The storage failed" },
  peer_refused: { status: 502, title: "Another member refused" },
  internal: { status: 500, title: "Internal error" },
};

/** An RFC 9457 problem document. Its `code` is the stable one; `details` of the error follow it. */
export type Problem = Record<string, string | number | boolean>;

/** The problem document of an error. `requestId` finds it in the logs. */
export function problemOf(error: CoracleError, requestId: string): Problem {
  const face = errorFaces[error.code];
  return {
    type: `/errors/${error.code}`,
    title: face.title,
    status: face.status,
    detail: error.message,
    code: error.code,
    request_id: requestId,
    ...error.details,
  };
}

/** Thrown when something else than a `CoracleError` came up; its cause is logged, never shown. */
export function internalError(requestId: string): CoracleError {
  return new CoracleError(
    "internal",
    `The member failed to serve this request; its log says why, under request id ${requestId}.`,
  );
}

export function invalidArgument(message: string): CoracleError {
  return new CoracleError("invalid_argument", message);
}

/** A client's text inside a message: quoted and cut, so that it cannot flood a log or a terminal. */
export function quoted(text: string): string {
  const short = text.length > 64 ? `${text.slice(0, 64)}...` : text;
  return JSON.stringify(short);
}
