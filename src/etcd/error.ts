/** Status codes of gRPC (grpc/grpc, doc/statuscodes.md). */
export const grpcCodes = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

export type GrpcCode = (typeof grpcCodes)[keyof typeof grpcCodes];

/** An error in etcd's words: clients compare the text. */
export class EtcdError extends Error {
  override readonly name = "EtcdError";
  readonly grpcCode: GrpcCode;
  /** Whether the request may have taken effect all the same: nobody is to be told to send it again. */
  readonly outcomeUnknown: boolean;

  constructor(grpcCode: GrpcCode, message: string, outcomeUnknown = false) {
    super(message);
    this.grpcCode = grpcCode;
    this.outcomeUnknown = outcomeUnknown;
  }
}
