import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../src/base/assert.ts";
import { pause, until } from "../../test/e2e/wait.ts";
import { faces } from "../faces.ts";
import { fillKeys } from "../fill.ts";
import { countKeys } from "../gateway.ts";
import { type BenchCluster, ready, type Side, sides, startMembers } from "../members.ts";
import type { Part, PartOptions, PartResult, Target } from "../part.ts";
import { cpuSeconds, type Memory, memory, settle } from "../proc.ts";
import { runRangeLoad } from "../range-load.ts";
import { today } from "../results.ts";
import { perSide } from "../side-by-side.ts";

/*
 * What a large store costs: memory of the members, the time of a restart until every member serves
 * again, and loads beside those of a small store of the same run.
 */

const smallKeys = 10_000;
const operations = ["put", "get", "get-serializable", "txn", "range"] as const;
type LargeOperation = (typeof operations)[number];
const titles: Readonly<Record<LargeOperation, string>> = {
  put: "PUT",
  get: "GET, linearizable",
  "get-serializable": "GET, serializable",
  txn: "transaction: compare and put",
  range: "range of the first 1,000 keys",
};
/** With a range etcd counts all keys that it could give; of five million it then answers none for seconds. */
const rangeKeysMax = 1_000_000;
const operationsAt = (keys: number): readonly LargeOperation[] =>
  operations.filter((operation) => operation !== "range" || keys <= rangeKeysMax);
const inFlightOf = (operation: LargeOperation): number => (operation === "range" ? 8 : 64);
/** Nothing is compacted on either side: the fill and the loads stay as they are. */
const flags = { coracle: ["--compact-keep-age", "off", "--compact-revisions-max", "0"] } as const;

interface Load {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

type Loads = Readonly<Record<LargeOperation, Load>>;

interface Figures {
  readonly version: string;
  readonly small: Loads;
  readonly large: Loads;
  /** Once the fill has settled. */
  readonly filled: Memory;
  /** After the loads. */
  readonly loaded: Memory;
  /** After the restart. */
  readonly restarted: Memory;
  readonly diskMiB: number;
  readonly fillSeconds: number;
  readonly stopMs: number;
  readonly restartMs: number;
}

/** The run with the median rate. The rate of puts is what a target is about, so it is measured more than once. */
async function measureLoad(
  cluster: BenchCluster,
  operation: LargeOperation,
  keys: number,
  { quick, repeats, folder }: PartOptions,
): Promise<Load> {
  const face = cluster.side === "coracle" ? faces.coracleWrk : faces.gatewayWrk;
  const target = (await cluster.leader()).endpoint;
  const load = { face, operation, target, inFlight: inFlightOf(operation), keys, folder };
  await runRangeLoad({ ...load, seconds: quick ? 1 : 5 });
  const runs: Load[] = [];
  for (let run = 0; run < (operation === "put" ? repeats : 1); run++) {
    await settle(cluster.pids);
    const cpuBefore = cpuSeconds(cluster.pids);
    const result = await runRangeLoad({ ...load, seconds: quick ? 2 : 10 });
    const cpu = cpuSeconds(cluster.pids) - cpuBefore;
    runs.push({
      perSecond: result.answered / result.seconds,
      cpuMicroseconds: (cpu / result.answered) * 1e6,
      p99Ms: result.p99Ms,
      p999Ms: result.p999Ms,
    });
  }
  await settle(cluster.pids);
  runs.sort((one, other) => one.perSecond - other.perSecond);
  return present(runs[Math.floor(runs.length / 2)], "a measured load");
}

async function measureLoads(
  cluster: BenchCluster,
  measured: readonly LargeOperation[],
  keys: number,
  options: PartOptions,
): Promise<Loads> {
  const loads: Partial<Record<LargeOperation, Load>> = {};
  for (const operation of measured) {
    const load = await measureLoad(cluster, operation, keys, options);
    loads[operation] = load;
    options.log(
      `${cluster.side}, ${keys} keys: ${operation} ${load.perSecond.toFixed(0)}/s ` +
        `cpu ${load.cpuMicroseconds.toFixed(0)} us p99.9 ${load.p999Ms.toFixed(1)} ms`,
    );
  }
  return loads as Loads;
}

/** Waits, for up to two minutes, until the members have next to nothing left to do of the fill. */
async function calmDown(cluster: BenchCluster): Promise<void> {
  for (let second = 0; second < 120; second++) {
    const before = cpuSeconds(cluster.pids);
    await pause(1_000);
    if (cpuSeconds(cluster.pids) - before <= 0.1) return;
  }
}

function bytesIn(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    // What the file takes, not how long it is: logs are made longer than they are filled.
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).blocks * 512;
  }
  return bytes;
}

/** Ends all at once and starts all at once. Milliseconds until all have ended; until the last serves. */
async function restartAll(cluster: BenchCluster): Promise<{ stopMs: number; restartMs: number }> {
  const stoppedAt = performance.now();
  await Promise.all(cluster.members.map((member) => member.terminate()));
  const startedAt = performance.now();
  for (const member of cluster.members) member.start();
  await Promise.all(cluster.members.map((member) => ready(member, 300_000)));
  return { stopMs: startedAt - stoppedAt, restartMs: performance.now() - startedAt };
}

async function measureSide(side: Side, keys: number, options: PartOptions): Promise<Figures> {
  const { folder, log } = options;
  const cluster = await startMembers(side, { folder, flags });
  try {
    await fillKeys(cluster, 0, smallKeys);
    const small = await measureLoads(cluster, operationsAt(keys), smallKeys, options);
    const fillBegan = performance.now();
    await fillKeys(cluster, smallKeys, keys);
    for (const { endpoint } of cluster.members)
      await until("all keys", async () => (await countKeys(endpoint, "bench/")) === keys, { everyMs: 500 });
    const fillSeconds = (performance.now() - fillBegan) / 1000;
    await calmDown(cluster);
    const filled = memory(cluster.pids);
    const diskMiB = cluster.members.reduce((sum, member) => sum + bytesIn(member.folder), 0) / 1024 ** 2;
    log(
      `${side}: filled in ${fillSeconds.toFixed(0)} s, RSS ${filled.residentMiB.toFixed(0)} MiB ` +
        `(${filled.anonymousMiB.toFixed(0)} not of files), disk ${diskMiB.toFixed(0)} MiB`,
    );
    const large = await measureLoads(cluster, operationsAt(keys), keys, options);
    const loaded = memory(cluster.pids);
    const kept = await countKeys((await cluster.leader()).endpoint, "bench/");
    if (kept !== keys)
      throw new Error(`${side}: the loads were to write over ${keys} keys, and there are ${kept}`);
    const { stopMs, restartMs } = await restartAll(cluster);
    await calmDown(cluster);
    const restarted = memory(cluster.pids);
    log(
      `${side}: stopped in ${stopMs.toFixed(0)} ms, all serve after ${restartMs.toFixed(0)} ms; ` +
        `RSS after the loads ${loaded.residentMiB.toFixed(0)}, restarted ${restarted.residentMiB.toFixed(0)} MiB`,
    );
    const { version } = cluster;
    return { version, small, large, filled, loaded, restarted, diskMiB, fillSeconds, stopMs, restartMs };
  } finally {
    await cluster.stop();
  }
}

function tables(figures: Readonly<Record<Side, Figures>>, keys: number): PartResult["tables"] {
  const keysText = keys.toLocaleString("en");
  const row = (name: string, figure: (one: Figures) => number): (string | number)[] => {
    const [ours, theirs] = [figure(figures.coracle), figure(figures.etcd)];
    return [name, ours, theirs, ours / theirs];
  };
  const columnsOf = ({ small, large }: Figures, operation: LargeOperation): number[] => {
    const [few, all] = [small[operation], large[operation]];
    return [
      ...[few.perSecond, all.perSecond, all.perSecond / few.perSecond],
      ...[few.cpuMicroseconds, all.cpuMicroseconds],
      ...[few.p99Ms, all.p99Ms, all.p999Ms],
    ];
  };
  const loadRows = (operation: LargeOperation): (string | number)[][] => {
    const ours = columnsOf(figures.coracle, operation);
    const theirs = columnsOf(figures.etcd, operation);
    const ratios = ours.map((figure, at) => figure / (theirs[at] ?? Number.NaN));
    return [
      [titles[operation], "coracle", ...ours],
      ["", "etcd", ...theirs],
      ["", "coracle/etcd", ...ratios],
    ];
  };
  return [
    {
      title: `Memory, disk and start with ${keysText} keys`,
      note: "All three members together.",
      columns: ["", "coracle", "etcd", "coracle/etcd"],
      rows: [
        row("RSS MiB after the fill", ({ filled }) => filled.residentMiB),
        row("… not backed by files", ({ filled }) => filled.anonymousMiB),
        row("RSS MiB after the loads", ({ loaded }) => loaded.residentMiB),
        row("RSS MiB after the restart", ({ restarted }) => restarted.residentMiB),
        row("disk MiB after the fill", ({ diskMiB }) => diskMiB),
        row("fill, s", ({ fillSeconds }) => fillSeconds),
        row("stop of all, ms", ({ stopMs }) => stopMs),
        row("restart of all until each serves, ms", ({ restartMs }) => restartMs),
      ],
    },
    {
      title: `Load with ${keysText} keys beside few`,
      note: `wrk, ${inFlightOf("put")} connections to the leader (range: ${inFlightOf("range")}), random keys of ${smallKeys.toLocaleString("en")} and of all; coracle by /v1, etcd by its gateway. With a range etcd also counts all keys that it could have given, and /v1 does not.`,
      columns: [
        "",
        "who",
        ...["requests/s, few keys", "all keys", "all/few"],
        ...["CPU µs, few keys", "all keys"],
        ...["p99 ms, few keys", "all keys", "p99.9 ms, all keys"],
      ],
      rows: operationsAt(keys).flatMap(loadRows),
    },
  ];
}

async function runWith(part: string, allKeys: number, options: PartOptions): Promise<PartResult> {
  const keys = options.quick ? 50_000 : allKeys;
  const keysText = keys.toLocaleString("en");
  const figures = await perSide((side) => measureSide(side, keys, options));
  const { coracle, etcd } = figures;
  const putShare = coracle.large.put.perSecond / coracle.small.put.perSecond;
  const targets: Target[] = [
    {
      what: "RSS after the fill against etcd's",
      measured: coracle.filled.residentMiB / etcd.filled.residentMiB,
      unit: "x",
      atMost: 0.25,
    },
    {
      what: "restart of all against etcd's",
      measured: coracle.restartMs / etcd.restartMs,
      unit: "x",
      atMost: 0.15,
    },
    { what: "put rate with all keys against few", measured: putShare, unit: "x", atLeast: 0.8 },
  ];
  return {
    part,
    title: `${keysText} keys of 256 bytes`,
    about: [
      `Three members of each, one system after the other; a single run, of the loads of puts the median of ${options.repeats}. Keys of 14 bytes are put in transactions of 100; nothing is compacted (coracle with compaction off, as etcd is by default), etcd with --quota-backend-bytes=8589934592.`,
      "Memory is read when the members have used less than a tenth of one core for a second, or after two minutes.",
      "Restart: SIGTERM to all at once, start of all at once, until each answers a linearizable read.",
    ],
    measuredOn: today(),
    versions: Object.fromEntries(sides.map((side) => [side, figures[side].version])),
    tables: tables(figures, keys),
    targets,
    charts: [],
  };
}

export const largeStore: Part = {
  name: "large-store",
  about: "memory, restart and load with a million keys",
  run: (options) => runWith("large-store", 1_000_000, options),
};

export const largeStore5m: Part = {
  name: "large-store-5m",
  about: "the same with five million keys",
  run: (options) => runWith("large-store-5m", 5_000_000, options),
};
