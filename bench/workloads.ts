import { type Pair, pairs } from "./faces.ts";
import type { Operation } from "./types.ts";

/** One section of the results: an operation, at some loads, by some faces side by side. */
export interface Workload {
  readonly operation: Operation;
  readonly title: string;
  readonly inFlight: readonly number[];
  readonly pairs: readonly Pair[];
}

const { wrk, wrkGateway, gateway, gatewayToGateway, grpc, grpcToGrpc, prototype, prototypeWrk } = pairs;

/** What every change is measured by: about ten minutes. */
const core: readonly Workload[] = [
  {
    operation: "put",
    title: "PUT",
    inFlight: [1, 64, 256],
    pairs: [wrk, gateway, grpc, prototypeWrk, prototype],
  },
  { operation: "get", title: "GET, linearizable", inFlight: [1, 64, 256], pairs: [wrk, gateway, grpc] },
];

/** Everything that has a load tool. */
const wide: readonly Workload[] = [
  {
    operation: "put",
    title: "PUT",
    inFlight: [1, 64, 100, 256, 1000],
    pairs: [wrk, wrkGateway, gateway, gatewayToGateway, grpc, grpcToGrpc],
  },
  {
    operation: "get",
    title: "GET, linearizable",
    inFlight: [1, 64, 256],
    pairs: [wrk, wrkGateway, grpc, grpcToGrpc],
  },
  { operation: "get-serializable", title: "GET, serializable", inFlight: [64], pairs: [wrk, grpc] },
  { operation: "mix", title: "Nine GETs to one PUT", inFlight: [64], pairs: [wrk, wrkGateway] },
  { operation: "range", title: "Range of 1,000 keys", inFlight: [8], pairs: [wrk, wrkGateway, grpc] },
  { operation: "txn", title: "Transaction: compare and put", inFlight: [64], pairs: [wrk, wrkGateway, grpc] },
  // Last: it leaves large values behind.
  { operation: "put-16k", title: "PUT of 16 KiB", inFlight: [64], pairs: [wrk, grpc] },
];

export const suites = { core, wide } as const satisfies Record<string, readonly Workload[]>;
export type SuiteName = keyof typeof suites;
