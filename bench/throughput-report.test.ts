import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { pairs } from "./faces.ts";
import { cellsOf, type Round, type Throughput } from "./throughput.ts";
import { ratioOf, throughputResult } from "./throughput-report.ts";
import type { Face } from "./types.ts";

function round(number: number, face: Face, perSecond: number, p99Ms = 10): Round {
  return {
    ...{ round: number, face, operation: "put", inFlight: 64, perSecond, p99Ms },
    ...{ answered: 1000, failed: 0, bodyBytes: 0, seconds: 1, p50Ms: 5, p999Ms: 20, cpuMicroseconds: 100 },
    memory: { residentMiB: 200, anonymousMiB: 100 },
  };
}

const { ours, theirs } = pairs.grpc;

const measured: Throughput = {
  systems: ["coracle", "etcd"],
  workloads: [
    {
      operation: "put",
      title: "PUT",
      runs: [
        { inFlight: [64, 1000], pairs: [pairs.grpc] },
        { inFlight: [64], pairs: [pairs.gateway] },
      ],
    },
  ],
  rounds: [
    // The machine got twice as fast from one round to the next; the ratio of each round did not change.
    round(1, ours, 3000),
    round(1, theirs, 2000),
    round(2, theirs, 4000),
    round(2, ours, 6000),
    round(3, ours, 9000),
    round(3, theirs, 3000),
  ],
  ...{ versions: { coracle: "1" }, tools: "h2load", keyCount: 10, repeats: 3, seconds: 1 },
};

describe("throughput", () => {
  test("each load once, in order, with each face once", () => {
    const cells = cellsOf(measured.workloads[0]?.runs ?? []);
    assert.deepEqual(
      cells.map(({ inFlight, faces }) => [inFlight, faces.map(({ name }) => name)]),
      [
        [64, ["coracle /v1", "etcd gRPC", "etcd gateway"]],
        [1000, ["coracle /v1", "etcd gRPC"]],
      ],
    );
  });

  test("a ratio is the median of the ratios of each round", () => {
    const asked = { operation: "put", inFlight: 64, pair: pairs.grpc, figure: "perSecond" } as const;
    assert.equal(ratioOf(measured.rounds, asked), 1.5);
    assert.equal(ratioOf(measured.rounds, { ...asked, inFlight: 1000 }), undefined);
    assert.equal(ratioOf(measured.rounds, { ...asked, pair: pairs.grpcToGrpc }), undefined);
  });

  test("tables, targets and charts of what was measured, and of no more", () => {
    const goals = [
      { operation: "put", inFlight: 64, pair: pairs.grpc, figure: "perSecond", ratio: 2 },
      { operation: "put", inFlight: 64, pair: pairs.grpc, figure: "p99Ms", ratio: 1 },
      { operation: "put", inFlight: 1000, pair: pairs.grpc, figure: "p99Ms", ratio: 1 },
    ] as const;
    const { tables, targets, charts } = throughputResult({ part: "x", title: "X" }, measured, goals);
    assert.deepEqual(tables[0]?.rows, [
      [64, "h2load", "coracle /v1", 6000, "100%", 5, 10, 100, 200],
      [64, "h2load", "etcd gRPC", 3000, "67%", 5, 10, 100, 200],
    ]);
    assert.deepEqual(tables[1]?.rows, [
      [64, "h2load", "coracle /v1 / etcd gRPC", "1.50", "1.00", "1.00", "1.00"],
    ]);
    assert.deepEqual(
      targets.map(({ measured: value, atLeast, atMost }) => [value, atLeast, atMost]),
      [
        [1.5, 2, undefined],
        [1, undefined, 1],
      ],
    );
    assert.deepEqual(charts[0]?.groups, ["64", "1000"]);
    assert.deepEqual(
      charts[0]?.lines.map(({ name, points }) => [name, points]),
      [
        ["coracle /v1", [[0, 6000]]],
        ["etcd gateway", []],
        ["etcd gRPC", [[0, 3000]]],
      ],
    );
  });
});
