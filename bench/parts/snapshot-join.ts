import { pause } from "../../test/e2e/wait.ts";
import { nowMs } from "../clock.ts";
import { benchValue, fillKeys } from "../fill.ts";
import { joiningFlags, joinMember } from "../joining.ts";
import { type BenchCluster, type Side, sides, startMembers } from "../members.ts";
import { longestGapMs, Pacer, type Spread, spreadOf } from "../pacer.ts";
import type { Part, PartOptions, PartResult } from "../part.ts";
import { settle } from "../proc.ts";
import { today } from "../results.ts";
import { perSide } from "../side-by-side.ts";
import { median } from "../statistics.ts";

/* A new member joins a cluster with much data, while others write. */

const perSecond = 500;
const connections = 32;
/** Of the writes after the new member has everything that still count. */
const afterMs = 1_000;

interface Join {
  readonly seconds: number;
  readonly before: Spread;
  readonly meanwhile: Spread;
  readonly gapBeforeMs: number;
  readonly gapMs: number;
  readonly repeated: number;
}

async function measureJoin(
  cluster: BenchCluster,
  name: string,
  keys: number,
  quietMs: number,
): Promise<Join> {
  await settle(cluster.pids);
  const pacer = await Pacer.start({
    endpoints: cluster.endpoints,
    face: cluster.side === "coracle" ? "coracleWrk" : "gatewayWrk",
    connections,
    perSecond,
    jobs: [{ kind: "put", share: 1 }],
    keys,
    value: benchValue,
  });
  await pause(1_000);
  const quietFrom = nowMs();
  await pause(quietMs);
  const { member, fromMs, toMs } = await joinMember(cluster, name, keys);
  await pause(afterMs);
  const samples = await pacer.stop();
  await cluster.remove(member);
  if (samples.failed > 0) throw new Error(`${cluster.side}: ${samples.failed} writes failed`);
  return {
    seconds: (toMs - fromMs) / 1000,
    before: spreadOf(samples, [[quietFrom, fromMs]]),
    meanwhile: spreadOf(samples, [[fromMs, toMs + afterMs]]),
    gapBeforeMs: longestGapMs(samples, quietFrom, fromMs),
    gapMs: longestGapMs(samples, fromMs, toMs + afterMs),
    repeated: Object.values(samples.repeats).reduce((sum, count) => sum + count, 0),
  };
}

interface SideResult {
  readonly version: string;
  readonly joins: readonly Join[];
}

async function measureSide(
  side: Side,
  keys: number,
  rounds: number,
  options: PartOptions,
): Promise<SideResult> {
  const { folder, log, quick } = options;
  const cluster = await startMembers(side, { folder, flags: joiningFlags });
  try {
    log(`${side}: ${keys} keys`);
    await fillKeys(cluster, 0, keys);
    const joins: Join[] = [];
    for (let round = 1; round <= rounds; round++) {
      const one = await measureJoin(cluster, `joining${round}`, keys, quick ? 2_000 : 10_000);
      joins.push(one);
      log(
        `${round}/${rounds} ${side}: holds all after ${one.seconds.toFixed(1)} s; writes p99 ` +
          `${one.before.p99Ms.toFixed(0)} ms before, ${one.meanwhile.p99Ms.toFixed(0)} meanwhile, ` +
          `longest gap ${one.gapBeforeMs.toFixed(0)} and ${one.gapMs.toFixed(0)} ms`,
      );
    }
    return { version: cluster.version, joins };
  } finally {
    await cluster.stop();
  }
}

async function run(options: PartOptions): Promise<PartResult> {
  const { quick, repeats } = options;
  const keys = quick ? 100_000 : 1_000_000;
  const rounds = quick ? 1 : repeats;
  const results = await perSide((side) => measureSide(side, keys, rounds, options));
  const of = (side: Side, figure: (one: Join) => number): number => median(results[side].joins.map(figure));
  const figures: readonly (readonly [string, (one: Join) => number])[] = [
    ["until it serves with all data, s", ({ seconds }) => seconds],
    ["writes p50 before, ms", ({ before }) => before.p50Ms],
    ["writes p50 meanwhile, ms", ({ meanwhile }) => meanwhile.p50Ms],
    ["writes p99 before, ms", ({ before }) => before.p99Ms],
    ["writes p99 meanwhile, ms", ({ meanwhile }) => meanwhile.p99Ms],
    ["longest gap between two answers before, ms", ({ gapBeforeMs }) => gapBeforeMs],
    ["longest gap between two answers meanwhile, ms", ({ gapMs }) => gapMs],
    ["attempts of writes repeated", ({ repeated }) => repeated],
  ];
  return {
    part: "snapshot-join",
    title: `A member joins a cluster with ${keys.toLocaleString("en")} keys`,
    about: [
      `Three members with ${keys.toLocaleString("en")} keys of 256 bytes, ${perSecond} puts a second to random ones of them through all three, begun whatever becomes of those before; coracle by /v1, etcd by its gateway.`,
      "The new member's time is from the request to add it until it answers a linearizable read and has everything that was written before. etcd counts it as a voter from the start; coracle as a learner until it has the data.",
      "It is sent a snapshot: the log is cut every 5,000 entries on both (--log-entries-max, --snapshot-count), because a fill by transactions makes few entries.",
      `Medians of ${rounds} joins, the member removed in between; one system after the other.`,
    ],
    measuredOn: today(),
    versions: Object.fromEntries(sides.map((side) => [side, results[side].version])),
    tables: [
      {
        title: "The join, and writes before and meanwhile",
        columns: ["", "coracle", "etcd", "coracle/etcd"],
        rows: figures.map(([name, figure]) => {
          const [ours, theirs] = [of("coracle", figure), of("etcd", figure)];
          return [name, ours, theirs, theirs === 0 ? null : ours / theirs];
        }),
      },
    ],
    targets: [],
    charts: [],
  };
}

export const snapshotJoin: Part = {
  name: "snapshot-join",
  about: "a new member with a million keys, and what writers notice of it",
  run,
};
