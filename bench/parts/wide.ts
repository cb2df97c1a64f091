import { pairs } from "../faces.ts";
import type { Part } from "../part.ts";
import { measureThroughput, type ThroughputPlan } from "../throughput.ts";
import { type Goal, throughputResult } from "../throughput-report.ts";

/** Every operation, by every way in that both systems have. */
const plan: ThroughputPlan = {
  systems: ["coracle", "etcd"],
  workloads: [
    {
      operation: "put",
      title: "PUT",
      runs: [
        { inFlight: [64, 256], pairs: [pairs.gateway, pairs.gatewayToGateway] },
        { inFlight: [1, 64, 100, 256, 1000], pairs: [pairs.grpc, pairs.grpcToGrpc] },
      ],
    },
    {
      operation: "get",
      title: "GET, linearizable",
      runs: [
        { inFlight: [64], pairs: [pairs.gatewayToGateway] },
        { inFlight: [64, 256], pairs: [pairs.grpc, pairs.grpcToGrpc] },
      ],
    },
    {
      operation: "get-serializable",
      title: "GET, serializable",
      runs: [{ inFlight: [64], pairs: [pairs.grpc, pairs.grpcToGrpc] }],
    },
    {
      operation: "mix",
      title: "Nine GETs to one PUT",
      runs: [{ inFlight: [64], pairs: [pairs.wrk, pairs.wrkGateway] }],
    },
    {
      operation: "range",
      title: "Range of 1,000 keys",
      runs: [{ inFlight: [8], pairs: [pairs.grpc, pairs.grpcToGrpc] }],
    },
    {
      operation: "txn",
      title: "Transaction: compare and put",
      runs: [{ inFlight: [64], pairs: [pairs.grpc, pairs.grpcToGrpc] }],
    },
    // Last: it leaves large values behind.
    {
      operation: "put-16k",
      title: "PUT of 16 KiB",
      runs: [{ inFlight: [64], pairs: [pairs.grpc, pairs.grpcToGrpc] }],
    },
  ],
};

const goals: readonly Goal[] = [
  { operation: "put", inFlight: 64, pair: pairs.gatewayToGateway, figure: "perSecond", ratio: 4 },
  { operation: "put", inFlight: 256, pair: pairs.gatewayToGateway, figure: "perSecond", ratio: 4 },
  { operation: "put", inFlight: 100, pair: pairs.grpcToGrpc, figure: "perSecond", ratio: 1.3 },
];

export const wide: Part = {
  name: "wide",
  about: "every operation at 1 to 1,000 in flight, by /v1, the JSON gateway and gRPC",
  run: async (options) => {
    const title = "Every operation, by every way in";
    return throughputResult({ part: "wide", title }, await measureThroughput(plan, options), goals);
  },
};
