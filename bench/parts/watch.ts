import { pause, until } from "../../test/e2e/wait.ts";
import { nowMs } from "../clock.ts";
import { faces } from "../faces.ts";
import { benchValue, keyOf } from "../fill.ts";
import { statusOf } from "../gateway.ts";
import { runLoad } from "../load.ts";
import { type BenchCluster, type Side, startMembers } from "../members.ts";
import { Pacer } from "../pacer.ts";
import type { Part, PartOptions, PartResult } from "../part.ts";
import { cpuSeconds, settle } from "../proc.ts";
import { today } from "../results.ts";
import { perSide, versionsOf } from "../side-by-side.ts";
import { median, percentile } from "../statistics.ts";
import { type WatchedView, Watchers, type WatchersOptions } from "../watchers.ts";

/* Watches: one writer and many watchers, and one watcher of many writers. */

const prefix = "bench/";
const keys = 1_000;
/** Few enough that etcd keeps up with 1,000 watchers on two cores. */
const writesPerSecond = 5;
const inFlight = 64;
/** How long watches may take to catch up once nothing is written any more. */
const catchUpMs = 30_000;

interface Row {
  readonly name: string;
  readonly side: Side;
  readonly face: WatchersOptions["face"];
}

const rows: readonly Row[] = [
  { name: "coracle /v3/watch", side: "coracle", face: "gateway" },
  { name: "etcd /v3/watch", side: "etcd", face: "gateway" },
  { name: "coracle /v1/watch", side: "coracle", face: "v1" },
];

interface Watched {
  readonly putsPerSecond: number;
  /** Of all watchers together, while there were writes. */
  readonly eventsPerSecond: number;
  readonly cpuMicroseconds: number;
  /** From the last answered write until the last watcher had everything; `null`: not within the limit. */
  readonly behindMs: number | null;
  readonly delayP50Ms: number;
  readonly delayP99Ms: number;
}

async function revisionOf(cluster: BenchCluster): Promise<number> {
  return (await statusOf((await cluster.leader()).endpoint)).revision;
}

/** The revision once it no longer rises: a load that ends leaves writes under way. */
async function finalRevision(cluster: BenchCluster): Promise<number> {
  let revision = await revisionOf(cluster);
  for (let same = 0; same < 3; ) {
    await pause(200);
    const now = await revisionOf(cluster);
    same = now === revision ? same + 1 : 0;
    revision = now;
  }
  return revision;
}

async function openWatchers(cluster: BenchCluster, face: Row["face"], count: number): Promise<Watchers> {
  const watchers = new Watchers({ endpoints: cluster.endpoints, count, face, prefix });
  await until(`${count} watches`, async () => (await watchers.view()).open === count, { timeoutMs: 60_000 });
  await settle(cluster.pids);
  return watchers;
}

/** Waits until every watcher has had so many events. Gives nothing when that takes too long. */
async function caughtUp(watchers: Watchers, events: number): Promise<WatchedView | undefined> {
  const deadline = nowMs() + catchUpMs;
  while (nowMs() < deadline) {
    const view = await watchers.view();
    if (view.fewest > events) throw new Error(`a watch was told ${view.fewest} events of ${events} writes`);
    if (view.fewest === events) return view;
    await pause(20);
  }
  return undefined;
}

/** One writer at a fixed rate, each write after the one before. */
async function fixedRate(cluster: BenchCluster, row: Row, count: number, seconds: number): Promise<Watched> {
  const watchers = await openWatchers(cluster, row.face, count);
  try {
    const leader = await cluster.leader();
    const cpuBefore = cpuSeconds(cluster.pids);
    const beganMs = nowMs();
    const pacer = await Pacer.start({
      endpoints: [leader.endpoint],
      face: row.side === "coracle" ? "coracleGatewayWrk" : "gatewayWrk",
      connections: 1,
      perSecond: writesPerSecond,
      jobs: [{ kind: "put", share: 1 }],
      keys,
      value: benchValue,
      attempts: 1,
    });
    await pause(seconds * 1000);
    const samples = await pacer.stop();
    if (samples.failed > 0) throw new Error(`${row.name}: ${samples.failed} writes failed`);
    const atEnd = await watchers.view();
    const took = nowMs() - beganMs;
    const puts = samples.tookMs.length;
    const view = await caughtUp(watchers, puts);
    const cpu = cpuSeconds(cluster.pids) - cpuBefore;
    const delays = Array.from(view?.completeMs ?? [], (complete, at) =>
      Math.max(0, complete - (samples.beganMs[at] ?? 0) - (samples.tookMs[at] ?? 0)),
    ).sort((a, b) => a - b);
    const lastMs = (samples.beganMs.at(-1) ?? 0) + (samples.tookMs.at(-1) ?? 0);
    return {
      putsPerSecond: (puts / took) * 1000,
      eventsPerSecond: (atEnd.events / took) * 1000,
      cpuMicroseconds: (cpu / (view ?? atEnd).events) * 1e6,
      behindMs: view === undefined ? null : Math.max(0, (view.completeMs.at(-1) ?? 0) - lastMs),
      delayP50Ms: percentile(delays, 0.5),
      delayP99Ms: percentile(delays, 0.99),
    };
  } finally {
    await watchers.stop();
  }
}

/** Writers as fast as they are answered. */
async function fullRate(
  cluster: BenchCluster,
  row: Row,
  count: number,
  { seconds, folder }: PartOptions,
): Promise<Watched> {
  const watchers = await openWatchers(cluster, row.face, count);
  try {
    const revisionBefore = await revisionOf(cluster);
    const cpuBefore = cpuSeconds(cluster.pids);
    const load = await runLoad({
      face: row.side === "coracle" ? faces.coracleGatewayWrk : faces.gatewayWrk,
      operation: "put",
      target: (await cluster.leader()).endpoint,
      inFlight,
      seconds,
      keys: Array.from({ length: keys }, (_, at) => keyOf(at)),
      value: benchValue,
      folder,
    });
    const endMs = nowMs();
    const atEnd = await watchers.view();
    const cpu = cpuSeconds(cluster.pids) - cpuBefore;
    if (load.failed > 0) throw new Error(`${row.name}: ${load.failed} writes failed`);
    const puts = (await finalRevision(cluster)) - revisionBefore;
    const view = await caughtUp(watchers, puts);
    return {
      putsPerSecond: load.answered / load.seconds,
      eventsPerSecond: atEnd.events / load.seconds,
      cpuMicroseconds: (cpu / atEnd.events) * 1e6,
      behindMs: view === undefined ? null : Math.max(0, (view.completeMs.at(-1) ?? 0) - endMs),
      delayP50Ms: Number.NaN,
      delayP99Ms: Number.NaN,
    };
  } finally {
    await watchers.stop();
  }
}

type Case = (cluster: BenchCluster, row: Row) => Promise<Watched>;

/** Every row in turn, the order reversed every other round. */
async function measureCase(
  clusters: Readonly<Record<Side, BenchCluster>>,
  title: string,
  rounds: number,
  measure: Case,
  log: PartOptions["log"],
): Promise<Map<Row, Watched[]>> {
  const results = new Map<Row, Watched[]>(rows.map((row) => [row, []]));
  for (let round = 0; round < rounds; round++) {
    for (const row of round % 2 === 0 ? rows : rows.toReversed()) {
      const one = await measure(clusters[row.side], row);
      results.get(row)?.push(one);
      const behind = one.behindMs === null ? "never caught up" : `behind ${one.behindMs.toFixed(0)} ms`;
      log(
        `${round + 1}/${rounds} ${title}, ${row.name}: ${one.eventsPerSecond.toFixed(0)} events/s, ` +
          `${one.putsPerSecond.toFixed(0)} puts/s, cpu ${one.cpuMicroseconds.toFixed(1)} us an event, ${behind}, ` +
          `delay p50 ${one.delayP50Ms.toFixed(1)} p99 ${one.delayP99Ms.toFixed(1)} ms`,
      );
    }
  }
  return results;
}

function tableOf(
  title: string,
  note: string,
  results: ReadonlyMap<Row, readonly Watched[]>,
  delays: boolean,
): PartResult["tables"][number] {
  const ends = delays ? ["delay p50, ms", "delay p99, ms"] : ["behind after the last write, ms"];
  return {
    title,
    note,
    columns: ["who", "puts/s", "events/s, all watchers", "CPU µs an event", ...ends],
    rows: [...results].map(([row, all]) => {
      const of = (figure: (one: Watched) => number): number => median(all.map(figure));
      const behind = all.some(({ behindMs }) => behindMs === null)
        ? null
        : of(({ behindMs }) => behindMs ?? 0);
      return [
        row.name,
        of((one) => one.putsPerSecond),
        of((one) => one.eventsPerSecond),
        of((one) => one.cpuMicroseconds),
        ...(delays ? [of((one) => one.delayP50Ms), of((one) => one.delayP99Ms)] : [behind]),
      ];
    }),
  };
}

async function run(options: PartOptions): Promise<PartResult> {
  const { quick, repeats, seconds, folder, log } = options;
  const many = quick ? 200 : 1_000;
  const clusters = await perSide((side) => startMembers(side, { folder }));
  try {
    const fixed = await measureCase(
      clusters,
      `${many} watchers, ${writesPerSecond} puts/s`,
      repeats,
      (cluster, row) => fixedRate(cluster, row, many, quick ? 2 : 20),
      log,
    );
    const full = await measureCase(
      clusters,
      `${many} watchers, puts at full rate`,
      repeats,
      (cluster, row) => fullRate(cluster, row, many, options),
      log,
    );
    const lone = await measureCase(
      clusters,
      "one watcher, puts at full rate",
      repeats,
      (cluster, row) => fullRate(cluster, row, 1, options),
      log,
    );
    return {
      part: "watch",
      title: "Watch",
      about: [
        "Every watch is a stream of HTTP on a connection of its own, for all keys that are written, in turn at each of the three members. Writes go to the leader by the JSON gateway of each system, 256 bytes to 1,000 keys.",
        "The client that reads the streams runs on the same machine: one thread that takes the chunks apart and counts events, without parsing them. Its CPU is not counted, but it takes from what the members have.",
        "CPU is that of all members for one event that reached a watcher, writes included.",
        `Medians of ${repeats} rounds, ${seconds} s each at full rate; systems in turn, both running all the time. Every watch got exactly as many events as there were writes, or is said not to have caught up.`,
      ],
      measuredOn: today(),
      versions: versionsOf(clusters),
      tables: [
        tableOf(
          `${many} watchers, one writer at ${writesPerSecond} puts a second`,
          "The delay is from the writer's answer to the last watcher's event.",
          fixed,
          true,
        ),
        tableOf(
          `${many} watchers, writes at full rate`,
          `${inFlight} writes in flight. An empty cell: not within ${catchUpMs / 1000} s.`,
          full,
          false,
        ),
        tableOf("One watcher, writes at full rate", `${inFlight} writes in flight.`, lone, false),
      ],
      targets: [],
      charts: [],
    };
  } finally {
    await clusters.coracle.stop();
    await clusters.etcd.stop();
  }
}

export const watch: Part = {
  name: "watch",
  about: "1,000 watchers of one writer, and one watcher of many writes",
  run,
};
