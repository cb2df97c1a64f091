import { pause } from "../../test/e2e/wait.ts";
import { nowMs } from "../clock.ts";
import { benchValue, fillKeys } from "../fill.ts";
import { type BenchCluster, type Side, sides, startMembers } from "../members.ts";
import { Pacer, type Samples } from "../pacer.ts";
import type { Chart, Part, PartOptions, PartResult } from "../part.ts";
import { cpuSeconds, memory } from "../proc.ts";
import { today } from "../results.ts";
import { perSide } from "../side-by-side.ts";
import { Watchers } from "../watchers.ts";

/* Whether memory grows: everything at once, at a constant rate, for minutes. */

const keys = 20_000;
const jobsPerSecond = 400;
const connections = 32;
const watchers = 30;
/** Watches are closed and opened anew so often. */
const watchMs = 30_000;
const sampleMs = 5_000;
const flags = {
  coracle: ["--compact-keep-age", "1m", "--compact-keep-revisions", "1000"],
  etcd: ["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1m"],
} as const;

type Point = readonly [minutes: number, residentMiB: number];

interface Soaked {
  readonly version: string;
  /** Of each member. */
  readonly lines: readonly { readonly name: string; readonly points: readonly Point[] }[];
  readonly jobs: number;
  readonly failed: number;
  readonly repeats: Samples["repeats"];
  /** Rounds of watches that ended early are `broken`; their events are not counted. */
  readonly watched: { readonly events: number; readonly broken: number };
  readonly cpuCores: number;
}

/** Watches that come and go, until told to stop. */
async function watchOn(cluster: BenchCluster, going: () => boolean): Promise<Soaked["watched"]> {
  let events = 0;
  let broken = 0;
  while (going()) {
    const stream = new Watchers({
      endpoints: cluster.endpoints,
      count: watchers,
      face: "gateway",
      prefix: "bench/",
    });
    try {
      const endMs = nowMs() + watchMs;
      while (going() && nowMs() < endMs) await pause(200);
      events += (await stream.view()).events;
    } catch {
      // One of them was ended by its member, or did not come to be.
      broken++;
    } finally {
      await stream.stop();
    }
  }
  return { events, broken };
}

async function soakSide(side: Side, minutes: number, { folder, log }: PartOptions): Promise<Soaked> {
  const cluster = await startMembers(side, { folder, flags });
  try {
    await fillKeys(cluster, 0, keys);
    const pacer = await Pacer.start({
      endpoints: cluster.endpoints,
      face: side === "coracle" ? "coracleGatewayWrk" : "gatewayWrk",
      connections,
      perSecond: jobsPerSecond,
      jobs: [
        { kind: "put", share: 40 },
        { kind: "get", share: 40 },
        { kind: "delete", share: 10 },
        { kind: "lease", share: 5 },
        { kind: "keep-alive", share: 5 },
      ],
      keys,
      value: benchValue,
      leases: 200,
    });
    let going = true;
    const watching = watchOn(cluster, () => going);
    const lines = cluster.members.map(({ name, pid }) => ({ name, pid, points: [] as Point[] }));
    const cpuBefore = cpuSeconds(cluster.pids);
    const fromMs = nowMs();
    const endMs = fromMs + minutes * 60_000;
    for (let nextMs = fromMs; nextMs <= endMs; nextMs += sampleMs) {
      await pause(Math.max(0, nextMs - nowMs()));
      for (const { pid, points } of lines)
        points.push([(nextMs - fromMs) / 60_000, memory([pid]).residentMiB]);
      if (lines[0] !== undefined && lines[0].points.length % 12 === 0)
        log(`${side}: ${lines.map(({ points }) => (points.at(-1)?.[1] ?? 0).toFixed(0)).join(", ")} MiB`);
    }
    const cpuCores = (cpuSeconds(cluster.pids) - cpuBefore) / ((nowMs() - fromMs) / 1000);
    going = false;
    const watched = await watching;
    const samples = await pacer.stop();
    const { version } = cluster;
    const { failed, repeats } = samples;
    return { version, lines, jobs: samples.tookMs.length, failed, repeats, watched, cpuCores };
  } finally {
    await cluster.stop();
  }
}

/** Least squares over the second half, MiB a minute. */
export function slopeOf(points: readonly Point[]): number {
  const half = points.slice(Math.floor(points.length / 2));
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, one) => sum + one, 0) / values.length;
  const meanX = mean(half.map(([x]) => x));
  const meanY = mean(half.map(([, y]) => y));
  const above = half.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return above / half.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
}

function rowsOf(side: Side, { lines }: Soaked): (string | number)[][] {
  return lines.map(({ name, points }) => {
    const at = (share: number): number => points[Math.floor((points.length - 1) * share)]?.[1] ?? Number.NaN;
    const highest = Math.max(...points.map(([, resident]) => resident));
    return [side, name, at(0), at(0.5), at(1), highest, slopeOf(points)];
  });
}

function chartOf(side: Side, { lines }: Soaked): Chart {
  return {
    title: `RSS of ${side}'s members under mixed load`,
    x: "minutes",
    y: "MiB",
    lines: lines.map(({ name, points }) => ({ name, points })),
  };
}

async function run(options: PartOptions): Promise<PartResult> {
  const minutes = options.quick ? 0.5 : 8;
  const results = await perSide((side) => soakSide(side, minutes, options));
  const repeated = ({ repeats }: Soaked): number => Object.values(repeats).reduce((sum, one) => sum + one, 0);
  return {
    part: "soak",
    title: `Memory over ${minutes * 3} member-minutes of mixed load`,
    about: [
      `Three members of each, one system after the other, ${minutes} minutes, a single run. ${jobsPerSecond} jobs a second at a constant rate through all members by the JSON gateway: 40 % puts of 256 bytes, 40 % gets and 10 % deletes of ${keys.toLocaleString("en")} keys, 5 % leases granted, used and revoked, 5 % keep-alives of 200 leases. Beside them ${watchers} watches of all keys, opened anew every ${watchMs / 1000} s.`,
      `Compaction by itself, of what is older than a minute: ${[...flags.coracle, ...flags.etcd].join(" ")}.`,
      `RSS of each member every ${sampleMs / 1000} s; the slope is the line of least squares through the second half.`,
    ],
    measuredOn: today(),
    versions: Object.fromEntries(sides.map((side) => [side, results[side].version])),
    tables: [
      {
        title: "RSS of the members, MiB",
        columns: [
          "who",
          "member",
          "at first",
          "half-way",
          "at the end",
          "highest",
          "slope of the second half, MiB/min",
        ],
        rows: sides.flatMap((side) => rowsOf(side, results[side])),
      },
      {
        title: "What was done meanwhile",
        columns: [
          "who",
          "jobs",
          "failed",
          "attempts repeated",
          "events to watchers",
          "watches broken off",
          "cores used by all members",
        ],
        rows: sides.map((side) => {
          const one = results[side];
          return [
            side,
            one.jobs,
            one.failed,
            repeated(one),
            one.watched.events,
            one.watched.broken,
            one.cpuCores,
          ];
        }),
      },
    ],
    targets: [],
    charts: sides.map((side) => chartOf(side, results[side])),
  };
}

export const soak: Part = {
  name: "soak",
  about: "whether memory grows: 24 member-minutes of mixed load, for 16 minutes",
  run,
};
