import { pause } from "../../test/e2e/wait.ts";
import { nowMs } from "../clock.ts";
import { benchValue } from "../fill.ts";
import { type BenchCluster, type Side, sides, startMembers } from "../members.ts";
import { type JobKind, Pacer, spreadOf } from "../pacer.ts";
import type { Part, PartOptions, PartResult } from "../part.ts";
import { cpuSeconds, settle } from "../proc.ts";
import { today } from "../results.ts";
import { inTurn, perSide, versionsOf } from "../side-by-side.ts";
import { median } from "../statistics.ts";

/* Leases that come and go, and leases that are kept alive. */

const inFlight = 64;
const keptLeases = 1_000;

interface Case {
  readonly kind: JobKind;
  readonly title: string;
  readonly requests: number;
}

const cases: readonly Case[] = [
  { kind: "lease", title: "Churn: grant, put with the lease, revoke", requests: 3 },
  { kind: "keep-alive", title: `Keep-alive of ${keptLeases} leases`, requests: 1 },
];

interface Measured {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

async function measure(cluster: BenchCluster, { kind, requests }: Case, seconds: number): Promise<Measured> {
  await settle(cluster.pids);
  const pacer = await Pacer.start({
    endpoints: [(await cluster.leader()).endpoint],
    face: "gatewayWrk",
    connections: inFlight,
    perSecond: Number.POSITIVE_INFINITY,
    jobs: [{ kind, share: 1 }],
    keys: 0,
    value: benchValue,
    leases: kind === "keep-alive" ? keptLeases : 0,
    attempts: 1,
    timeoutMs: 10_000,
  });
  await pause(1_000);
  const from = nowMs();
  const cpuBefore = cpuSeconds(cluster.pids);
  await pause(seconds * 1000);
  const cpu = cpuSeconds(cluster.pids) - cpuBefore;
  const to = nowMs();
  const samples = await pacer.stop();
  if (samples.failed > 0)
    throw new Error(
      `${cluster.side}: ${samples.failed} of ${kind} failed: ${JSON.stringify(samples.repeats)}`,
    );
  const spread = spreadOf(samples, [[from, to]]);
  return {
    perSecond: (spread.count * requests * 1000) / (to - from),
    cpuMicroseconds: (cpu / (spread.count * requests)) * 1e6,
    p50Ms: spread.p50Ms,
    p99Ms: spread.p99Ms,
  };
}

async function run({ repeats, seconds, folder, log }: PartOptions): Promise<PartResult> {
  const clusters = await perSide((side) => startMembers(side, { folder }));
  const results = new Map(cases.map((one) => [one, { coracle: [], etcd: [] } as Record<Side, Measured[]>]));
  try {
    for (let round = 0; round < repeats; round++) {
      for (const [one, measured] of results) {
        for (const side of inTurn(round)) {
          const result = await measure(clusters[side], one, seconds);
          measured[side].push(result);
          log(
            `${round + 1}/${repeats} ${one.kind} ${side}: ${result.perSecond.toFixed(0)} requests/s, ` +
              `cpu ${result.cpuMicroseconds.toFixed(0)} us, p99 ${result.p99Ms.toFixed(1)} ms`,
          );
        }
      }
    }
  } finally {
    for (const side of sides) await clusters[side].stop();
  }
  const of = (measured: readonly Measured[], figure: (one: Measured) => number): number =>
    median(measured.map(figure));
  return {
    part: "leases",
    title: "Leases",
    about: [
      `${inFlight} clients at the leader by the JSON gateway of both, each request after the answer to the one before. Latencies are of a whole round of the requests named.`,
      "The client runs in one thread of the benchmark on the same machine; its CPU is not counted, but it takes from what the members have.",
      `Medians of ${repeats} rounds of ${seconds} s, systems in turn, both running all the time. No request failed.`,
    ],
    measuredOn: today(),
    versions: versionsOf(clusters),
    tables: [...results].map(([{ title, requests }, measured]) => ({
      title,
      columns: ["who", "requests/s", "CPU µs a request, all members", `p50 of ${requests}, ms`, "p99, ms"],
      rows: [
        ...sides.map((side) => [
          side,
          of(measured[side], ({ perSecond }) => perSecond),
          of(measured[side], ({ cpuMicroseconds }) => cpuMicroseconds),
          of(measured[side], ({ p50Ms }) => p50Ms),
          of(measured[side], ({ p99Ms }) => p99Ms),
        ]),
        [
          "coracle/etcd",
          ...(["perSecond", "cpuMicroseconds", "p50Ms", "p99Ms"] as const).map(
            (name) => of(measured.coracle, (one) => one[name]) / of(measured.etcd, (one) => one[name]),
          ),
        ],
      ],
    })),
    targets: [],
    charts: [],
  };
}

export const leases: Part = {
  name: "leases",
  about: "leases granted, used and revoked, and leases kept alive",
  run,
};
