import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { getLogger } from "@logtape/logtape";
import { CoracleError } from "../base/errors.ts";
import { EtcdError, grpcCodes } from "../etcd/error.ts";

const log = getLogger(["coracle", "grpc"]);

/** What a handler threw, as the status of the call. Anything unforeseen is logged here, and told as no more than that. */
export function serviceError(thrown: unknown, path: string): ServiceError {
  const error = thrown instanceof EtcdError ? thrown : unforeseen(thrown, path);
  return Object.assign(new Error(error.message), {
    code: error.grpcCode,
    details: error.message,
    metadata: new Metadata(),
  });
}

function unforeseen(thrown: unknown, path: string): EtcdError {
  // Handlers turn these into etcd's words; one that does not is still told with its sentence.
  if (thrown instanceof CoracleError) return new EtcdError(grpcCodes.unknown, thrown.message);
  log.error("A call of {path} failed: {error}", { path, error: thrown });
  return new EtcdError(grpcCodes.unknown, "etcdserver: internal error");
}
