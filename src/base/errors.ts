/**
 * Every error that a user or a peer can cause, by its stable code. The code is part of the public
 * API: `api/` maps it to an HTTP status, `grpc/` to a gRPC status, each in one table.
 */
export const errorCodes = [
  // The request is wrong: sending it again changes nothing.
  "invalid_argument",
  "unknown_parameter",
  "malformed_body",
  "request_timeout",
  "unsupported_media_type",
  "not_acceptable",
  "key_empty",
  "key_too_large",
  "value_too_large",
  "request_too_large",
  "too_many_operations",
  "duplicate_key",
  "not_found",
  "method_not_allowed",
  "precondition_failed",
  "revision_compacted",
  "revision_future",
  "lease_not_found",
  "lease_exists",
  "lease_ttl_too_large",
  "unauthorized",
  "forbidden",
  // The cluster refuses the change as it stands now.
  "member_not_found",
  "member_exists",
  "name_taken",
  "membership_change_in_progress",
  "learner_not_ready",
  "quorum_at_risk",
  "bad_transferee",
  "lock_held",
  // The member or cluster cannot do it now; nothing was proposed, the request may be sent again.
  "no_leader",
  "not_proposed",
  "overloaded",
  "quota_exceeded",
  "shutting_down",
  // It was proposed, and whether it took effect is not known.
  "outcome_unknown",
  // The member cannot work: configuration, files, ports.
  "config_invalid",
  "storage_damaged",
  "storage_failed",
  "peer_refused",
  "internal",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/**
 * A mistake of a user or a peer, or a state of the cluster that the caller must know of.
 * `message` is one sentence: what was wrong, with what value, and what to do.
 */
export class CoracleError extends Error {
  override readonly name = "CoracleError";
  readonly code: ErrorCode;
  /** Further members of the problem document, for instance `current_revision`. */
  readonly details: Readonly<Record<string, string | number | boolean>>;

  constructor(code: ErrorCode, message: string, details: Record<string, string | number | boolean> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** The text of anything thrown, for logs and for errors that wrap another. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
