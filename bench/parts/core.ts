import { pairs } from "../faces.ts";
import type { Part } from "../part.ts";
import { measureThroughput, type ThroughputPlan } from "../throughput.ts";
import { type Goal, throughputResult } from "../throughput-report.ts";

/** What every change is measured by. */
const plan: ThroughputPlan = {
  systems: ["coracle", "etcd", "prototype"],
  workloads: [
    {
      operation: "put",
      title: "PUT",
      runs: [
        {
          inFlight: [1, 64, 256],
          pairs: [pairs.wrk, pairs.gateway, pairs.grpc, pairs.prototypeWrk, pairs.prototype],
        },
      ],
    },
    {
      operation: "get",
      title: "GET, linearizable",
      runs: [{ inFlight: [1, 64, 256], pairs: [pairs.wrk, pairs.gateway, pairs.grpc] }],
    },
  ],
};

const goals: readonly Goal[] = [
  { operation: "put", inFlight: 64, pair: pairs.grpc, figure: "perSecond", ratio: 2 },
  { operation: "put", inFlight: 64, pair: pairs.grpc, figure: "p99Ms", ratio: 1 },
  { operation: "put", inFlight: 256, pair: pairs.grpc, figure: "perSecond", ratio: 2 },
  { operation: "put", inFlight: 256, pair: pairs.grpc, figure: "p99Ms", ratio: 1 },
  { operation: "put", inFlight: 64, pair: pairs.gateway, figure: "perSecond", ratio: 4 },
  { operation: "put", inFlight: 256, pair: pairs.gateway, figure: "perSecond", ratio: 4 },
  { operation: "put", inFlight: 1, pair: pairs.grpc, figure: "p50Ms", ratio: 0.6 },
  { operation: "get", inFlight: 64, pair: pairs.grpc, figure: "perSecond", ratio: 5 },
  { operation: "put", inFlight: 64, pair: pairs.grpc, figure: "cpuMicroseconds", ratio: 0.6 },
  // The bare data path, of which coracle shall keep four fifths with all it does beside.
  { operation: "put", inFlight: 64, pair: pairs.prototypeWrk, figure: "perSecond", ratio: 0.8 },
  { operation: "put", inFlight: 64, pair: pairs.prototype, figure: "perSecond", ratio: 0.8 },
  { operation: "put", inFlight: 256, pair: pairs.prototypeWrk, figure: "perSecond", ratio: 0.8 },
  { operation: "put", inFlight: 256, pair: pairs.prototype, figure: "perSecond", ratio: 0.8 },
];

export const core: Part = {
  name: "core",
  about: "PUT and linearizable GET at 1, 64 and 256 in flight, beside etcd and a bare prototype",
  run: async (options) => {
    const about = [
      "The prototype is the bare data path of a write without consensus (bench/prototype): Hono, a log with one fsync a batch, SQLite for the state, two followers.",
    ];
    const title = "PUT and GET beside etcd and the bare data path";
    return throughputResult({ part: "core", title, about }, await measureThroughput(plan, options), goals);
  },
};
