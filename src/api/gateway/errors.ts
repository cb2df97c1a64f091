import { getLogger } from "@logtape/logtape";
import { EtcdError, type GrpcCode, grpcCodes } from "../../etcd/error.ts";
import { etcdErrorOf } from "../../etcd/refusals.ts";

const log = getLogger(["coracle", "gateway"]);

/** HTTP's status for gRPC's, and its name: what grpc-gateway, etcd's gateway, answers. */
const statuses: Readonly<Record<GrpcCode, readonly [status: number, name: string]>> = {
  [grpcCodes.ok]: [200, "OK"],
  [grpcCodes.cancelled]: [408, "Request Timeout"],
  [grpcCodes.unknown]: [500, "Internal Server Error"],
  [grpcCodes.invalidArgument]: [400, "Bad Request"],
  [grpcCodes.deadlineExceeded]: [504, "Gateway Timeout"],
  [grpcCodes.notFound]: [404, "Not Found"],
  [grpcCodes.alreadyExists]: [409, "Conflict"],
  [grpcCodes.permissionDenied]: [403, "Forbidden"],
  [grpcCodes.unauthenticated]: [401, "Unauthorized"],
  [grpcCodes.resourceExhausted]: [429, "Too Many Requests"],
  [grpcCodes.failedPrecondition]: [412, "Precondition Failed"],
  [grpcCodes.aborted]: [409, "Conflict"],
  [grpcCodes.outOfRange]: [400, "Bad Request"],
  [grpcCodes.unimplemented]: [501, "Not Implemented"],
  [grpcCodes.internal]: [500, "Internal Server Error"],
  [grpcCodes.unavailable]: [503, "Service Unavailable"],
  [grpcCodes.dataLoss]: [500, "Internal Server Error"],
};

/** Whether the request was called off, and by whom. */
export interface Ending {
  readonly stopping: boolean;
  readonly aborted: boolean;
}

/**
 * Handlers throw `EtcdError`, or what a request that was called off left behind; anything else is a bug,
 * told as no more than that.
 */
export function told(error: unknown, path: string, ending: Ending): EtcdError {
  if (error instanceof EtcdError) return error;
  if (ending.stopping) return serverStopped();
  if (ending.aborted) return new EtcdError(grpcCodes.cancelled, "context canceled");
  log.error("A request to {path} failed by a bug: {error}", { path, error });
  return new EtcdError(grpcCodes.unknown, "etcdserver: internal error");
}

export function serverStopped(): EtcdError {
  return new EtcdError(grpcCodes.unavailable, "etcdserver: server stopped");
}

/** The answer to a request that failed. */
export function errorResponse({ grpcCode, message, outcomeUnknown }: EtcdError): Response {
  const [status] = statuses[grpcCode];
  const headers: Record<string, string> = { "content-type": "application/json" };
  // Programs and proxies that are told when to try again do so, also with a put.
  const passing = grpcCode === grpcCodes.unavailable || grpcCode === grpcCodes.resourceExhausted;
  if (passing && !outcomeUnknown) headers["retry-after"] = "1";
  return new Response(JSON.stringify({ error: message, message, code: grpcCode }), { status, headers });
}

/** The answer to a request that did not come as far as its handler. */
export function gatewayFailure(error: unknown, path: string): Response {
  return errorResponse(told(etcdErrorOf(error), path, { stopping: false, aborted: false }));
}

/** What ends a stream that failed: its last line. Before any other line it also decides the status. */
export function streamError({ grpcCode, message }: EtcdError): {
  readonly status: number;
  readonly line: string;
} {
  const [status, name] = statuses[grpcCode];
  const error = { grpc_code: grpcCode, http_code: status, message, http_status: name };
  return { status, line: JSON.stringify({ error }) };
}
