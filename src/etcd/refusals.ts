import { CoracleError, type ErrorCode } from "../base/errors.ts";
import { EtcdError, type GrpcCode, grpcCodes } from "./error.ts";

/** A refusal in etcd's words (its `rpctypes`): clients compare code and text. */
type Refusal = readonly [code: GrpcCode, text: string];

const { invalidArgument, notFound, resourceExhausted, failedPrecondition, outOfRange, unavailable } =
  grpcCodes;

const texts = {
  keyEmpty: [invalidArgument, "etcdserver: key is not provided"],
  keyNotFound: [invalidArgument, "etcdserver: key not found"],
  valueProvided: [invalidArgument, "etcdserver: value is provided"],
  leaseProvided: [invalidArgument, "etcdserver: lease is provided"],
  duplicateKey: [invalidArgument, "etcdserver: duplicate key given in txn request"],
  tooManyOperations: [invalidArgument, "etcdserver: too many operations in txn request"],
  invalidSort: [invalidArgument, "etcdserver: invalid sort option"],
  requestTooLarge: [invalidArgument, "etcdserver: request is too large"],
  compacted: [outOfRange, "etcdserver: mvcc: required revision has been compacted"],
  futureRevision: [outOfRange, "etcdserver: mvcc: required revision is a future revision"],
  noSpace: [resourceExhausted, "etcdserver: mvcc: database space exceeded"],
  tooManyRequests: [resourceExhausted, "etcdserver: too many requests"],
  leaseNotFound: [notFound, "etcdserver: requested lease not found"],
  leaseExists: [failedPrecondition, "etcdserver: lease already exists"],
  leaseTtlTooLarge: [outOfRange, "etcdserver: too large lease TTL"],
  memberNotFound: [notFound, "etcdserver: member not found"],
  memberExists: [failedPrecondition, "etcdserver: member ID already exist"],
  memberUrlsInvalid: [invalidArgument, "etcdserver: given member URLs are invalid"],
  notLearner: [failedPrecondition, "etcdserver: can only promote a learner member"],
  learnerNotReady: [
    failedPrecondition,
    "etcdserver: can only promote a learner member which is in sync with leader",
  ],
  notEnoughMembers: [
    failedPrecondition,
    "etcdserver: re-configuration failed due to not enough started members",
  ],
  badTransferee: [failedPrecondition, "etcdserver: bad leader transferee"],
  notLeader: [failedPrecondition, "etcdserver: not leader"],
  authNotEnabled: [failedPrecondition, "etcdserver: authentication is not enabled"],
  noLeader: [unavailable, "etcdserver: no leader"],
  leaderChanged: [unavailable, "etcdserver: leader changed"],
  timedOut: [unavailable, "etcdserver: request timed out"],
  unhealthy: [unavailable, "etcdserver: unhealthy cluster"],
  stopped: [unavailable, "etcdserver: server stopped"],
  // The recipes of etcd's concurrency package answer plain errors.
  leaderKeyMissing: [grpcCodes.unknown, '"leader" field must be provided'],
  electionNoLeader: [grpcCodes.unknown, "election: no leader"],
  electionNotLeader: [grpcCodes.unknown, "election: not leader"],
} as const satisfies Record<string, Refusal>;

export type RefusalName = keyof typeof texts;

export function refusal(name: RefusalName): EtcdError {
  const [code, text] = texts[name];
  return new EtcdError(code, text);
}

/** The one map from coracle's codes to etcd's. A code alone keeps coracle's sentence. */
const faces: Readonly<Record<ErrorCode, RefusalName | GrpcCode>> = {
  invalid_argument: invalidArgument,
  unknown_parameter: invalidArgument,
  malformed_body: invalidArgument,
  request_timeout: grpcCodes.deadlineExceeded,
  unsupported_media_type: invalidArgument,
  not_acceptable: invalidArgument,
  key_empty: "keyEmpty",
  key_too_large: "requestTooLarge",
  value_too_large: "requestTooLarge",
  request_too_large: "requestTooLarge",
  too_many_operations: "tooManyOperations",
  duplicate_key: "duplicateKey",
  not_found: "keyNotFound",
  method_not_allowed: grpcCodes.unimplemented,
  precondition_failed: failedPrecondition,
  revision_compacted: "compacted",
  revision_future: "futureRevision",
  lease_not_found: "leaseNotFound",
  lease_exists: "leaseExists",
  lease_ttl_too_large: "leaseTtlTooLarge",
  unauthorized: grpcCodes.unauthenticated,
  forbidden: grpcCodes.permissionDenied,

  member_not_found: "memberNotFound",
  member_exists: "memberExists",
  name_taken: "memberExists",
  membership_change_in_progress: "unhealthy",
  learner_not_ready: "learnerNotReady",
  quorum_at_risk: "notEnoughMembers",
  bad_transferee: "badTransferee",
  lock_held: failedPrecondition,

  no_leader: "noLeader",
  not_proposed: "leaderChanged",
  overloaded: "tooManyRequests",
  quota_exceeded: "noSpace",
  shutting_down: "stopped",

  outcome_unknown: "timedOut",

  config_invalid: grpcCodes.internal,
  storage_damaged: grpcCodes.dataLoss,
  storage_failed: grpcCodes.internal,
  peer_refused: unavailable,
  internal: grpcCodes.internal,
};

/** What a handler threw, in etcd's words. Anything but a `CoracleError` comes out as it is. */
export function etcdErrorOf(error: unknown): unknown {
  if (!(error instanceof CoracleError)) return error;
  const face = faces[error.code];
  if (typeof face !== "string") return new EtcdError(face, error.message);
  const [code, text] = texts[face];
  return new EtcdError(code, text, error.code === "outcome_unknown");
}

/**
 * What a recipe (lock, election) threw. etcd runs these over a client of its own, and a refusal that this
 * client is told comes out without its code. That there is no service now keeps its: clients try again.
 */
export function recipeErrorOf(thrown: unknown): unknown {
  const error = etcdErrorOf(thrown);
  const kept: readonly GrpcCode[] = [unavailable, resourceExhausted, grpcCodes.unknown];
  if (!(error instanceof EtcdError) || kept.includes(error.grpcCode)) return error;
  return new EtcdError(grpcCodes.unknown, error.message);
}
