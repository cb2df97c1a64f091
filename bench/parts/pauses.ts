import { pause } from "../../test/e2e/wait.ts";
import { CheckpointWatch, overlap, secondsOf } from "../checkpoints.ts";
import { nowMs } from "../clock.ts";
import { faces } from "../faces.ts";
import { benchValue, fillKeys } from "../fill.ts";
import { ask, statusOf } from "../gateway.ts";
import { joiningFlags, joinMember } from "../joining.ts";
import { type BenchCluster, type BenchMember, type Side, sides, startMembers } from "../members.ts";
import { Pacer, type Samples, type Spread, spreadOfAll, type Windows } from "../pacer.ts";
import type { Part, PartOptions, PartResult, Target } from "../part.ts";
import { settle } from "../proc.ts";
import { runRangeLoad } from "../range-load.ts";
import { today } from "../results.ts";
import { perSide } from "../side-by-side.ts";

/*
 * How long reads stand still while the members do something large: linearizable GETs at a constant
 * rate over the whole time, cut into windows afterwards.
 */

const getsPerSecond = 1_000;
const putsPerSecond = 500;
const connections = 64;
const calmMs = 3_000;
const flags = {
  coracle: [...joiningFlags.coracle, "--compact-keep-age", "off", "--compact-revisions-max", "0"],
  etcd: joiningFlags.etcd,
} as const;

interface Case {
  readonly name: string;
  /** That of which this one is a multiple. */
  readonly quiet: string | null;
  readonly spread: Spread;
  readonly seconds: number;
}

/** What was read while something went on, and when that was. */
type Reads = readonly [Samples, Windows];

function caseOf(name: string, reads: readonly Reads[], quiet: string | null): Case {
  const seconds = reads.reduce((sum, [, windows]) => sum + secondsOf(windows), 0);
  return { name, quiet, spread: spreadOfAll(reads), seconds };
}

function pace(cluster: BenchCluster, endpoint: string, keys: number, kind: "get" | "put"): Promise<Pacer> {
  return Pacer.start({
    endpoints: [endpoint],
    face: cluster.side === "coracle" ? "coracleWrk" : "gatewayWrk",
    connections,
    perSecond: kind === "get" ? getsPerSecond : putsPerSecond,
    jobs: [{ kind, share: 1 }],
    keys,
    value: benchValue,
    timeoutMs: 5_000,
  });
}

async function stopped(pacer: Pacer, who: string): Promise<Samples> {
  const samples = await pacer.stop();
  if (samples.failed > 0)
    throw new Error(`${who}: ${samples.failed} failed: ${JSON.stringify(samples.repeats)}`);
  if (Object.keys(samples.repeats).length > 0)
    console.log(`  ${who}, attempts repeated: ${JSON.stringify(samples.repeats)}`);
  return samples;
}

/** Reads, beside the few writes, while `action` goes on; it gives the window that counts. */
async function readDuring(
  cluster: BenchCluster,
  endpoint: string,
  keys: number,
  action: () => Promise<readonly [number, number]>,
): Promise<Samples & { readonly window: readonly [number, number] }> {
  const writes = await pace(cluster, endpoint, keys, "put");
  const gets = await pace(cluster, endpoint, keys, "get");
  await pause(calmMs);
  const window = await action();
  const reads = await stopped(gets, `${cluster.side}, reads`);
  await stopped(writes, `${cluster.side}, writes`);
  return { ...reads, window };
}

/** Compacts everything but the newest revisions; resolves when the leader has removed them. */
async function compact(endpoint: string): Promise<[number, number]> {
  const { revision } = await statusOf(endpoint);
  const from = nowMs();
  await ask(endpoint, "/v3/kv/compaction", { revision: String(revision), physical: true }, 300_000);
  return [from, nowMs()];
}

interface Plan {
  readonly keys: number;
  readonly rounds: number;
  readonly quietMs: number;
  readonly fullRateSeconds: number;
}

/** Quiet, a joining member, a compaction: the same few writes all the time. */
async function measureEvents(cluster: BenchCluster, endpoint: string, plan: Plan): Promise<Case[]> {
  const { keys, rounds, quietMs } = plan;
  const leader = await cluster.leader();
  const during = (action: () => Promise<readonly [number, number]>): ReturnType<typeof readDuring> =>
    readDuring(cluster, endpoint, keys, action);
  const calm: Reads[] = [];
  const checkpoints: Reads[] = [];
  const joins: Reads[] = [];
  const compactions: Reads[] = [];
  for (let round = 1; round <= rounds; round++) {
    const watch = new CheckpointWatch(leader);
    const plain = await during(async () => {
      const from = nowMs();
      await pause(quietMs);
      return [from, nowMs()];
    });
    const { busy, quiet } = watch.stop();
    const ours = cluster.side === "coracle";
    calm.push([plain, ours ? overlap([plain.window], quiet) : [plain.window]]);
    checkpoints.push([plain, ours ? overlap([plain.window], busy) : []]);

    let joined: BenchMember | undefined;
    const join = await during(async () => {
      const { member, fromMs, toMs } = await joinMember(cluster, `joining${round}`, keys);
      joined = member;
      return [fromMs, toMs];
    });
    joins.push([join, [join.window]]);
    if (joined !== undefined) await cluster.remove(joined);

    // Old revisions to compact, as many as there are keys.
    await fillKeys(cluster, 0, keys);
    await settle(cluster.pids);
    const compaction = await during(() => compact(endpoint));
    compactions.push([compaction, [compaction.window]]);
  }
  const name = "quiet";
  return [
    caseOf(name, calm, null),
    ...(cluster.side === "coracle" ? [caseOf("checkpoints of these writes", checkpoints, name)] : []),
    caseOf("a member joins by a snapshot", joins, name),
    caseOf("compaction", compactions, name),
  ];
}

/** Writes at full rate, with and without a checkpoint at the leader. */
async function measureFullRate(
  cluster: BenchCluster,
  endpoint: string,
  { keys, fullRateSeconds }: Plan,
  folder: string,
): Promise<Case[]> {
  const leader = await cluster.leader();
  await settle(cluster.pids);
  const gets = await pace(cluster, endpoint, keys, "get");
  const checkpoints = new CheckpointWatch(leader);
  const fromMs = nowMs();
  await runRangeLoad({
    face: cluster.side === "coracle" ? faces.coracleWrk : faces.gatewayWrk,
    operation: "put",
    target: endpoint,
    inFlight: 64,
    seconds: fullRateSeconds,
    keys,
    folder,
  });
  const all: Windows = [[fromMs + calmMs / 3, nowMs()]];
  const { busy, quiet } = checkpoints.stop();
  const reads = await stopped(gets, `${cluster.side}, reads`);
  if (cluster.side === "etcd") return [caseOf("writes at full rate", [[reads, all]], null)];
  const name = "writes at full rate, no checkpoint";
  return [
    caseOf(name, [[reads, overlap(all, quiet)]], null),
    caseOf("writes at full rate, checkpoint", [[reads, overlap(all, busy)]], name),
  ];
}

interface SideResult {
  readonly version: string;
  readonly cases: readonly Case[];
}

async function measureSide(side: Side, plan: Plan, { folder, log }: PartOptions): Promise<SideResult> {
  const cluster = await startMembers(side, { folder, flags });
  try {
    await fillKeys(cluster, 0, plan.keys);
    const { endpoint } = await cluster.leader();
    const cases = await measureEvents(cluster, endpoint, plan);
    cases.push(...(await measureFullRate(cluster, endpoint, plan, folder)));
    if ((await cluster.leader()).endpoint !== endpoint) throw new Error(`${side}: the leader changed`);
    for (const { name, spread, seconds } of cases)
      log(
        `${side}, ${name}: ${spread.count} reads in ${seconds.toFixed(1)} s, p50 ${spread.p50Ms.toFixed(2)} ` +
          `p99 ${spread.p99Ms.toFixed(1)} p99.9 ${spread.p999Ms.toFixed(1)} longest ${spread.longestMs.toFixed(1)} ms`,
      );
    return { version: cluster.version, cases };
  } finally {
    await cluster.stop();
  }
}

function ratioOf(one: Case, cases: readonly Case[]): number | null {
  const beside = cases.find(({ name }) => name === one.quiet);
  return beside === undefined ? null : one.spread.p999Ms / beside.spread.p999Ms;
}

async function run(options: PartOptions): Promise<PartResult> {
  const { quick, repeats } = options;
  const plan: Plan = quick
    ? { keys: 50_000, rounds: 1, quietMs: 5_000, fullRateSeconds: 8 }
    : { keys: 300_000, rounds: repeats, quietMs: 15_000, fullRateSeconds: 40 };
  const results = await perSide((side) => measureSide(side, plan, options));
  const targets = results.coracle.cases.flatMap((one): Target[] => {
    const measured = ratioOf(one, results.coracle.cases);
    if (measured === null) return [];
    return [{ what: `GET p99.9, ${one.name}, against ${one.quiet}`, measured, unit: "x", atMost: 3 }];
  });
  return {
    part: "pauses",
    title: "Reads while something large happens",
    about: [
      `${plan.keys.toLocaleString("en")} keys of 256 bytes. ${getsPerSecond} linearizable GETs a second of random keys at the leader, at a constant rate on up to ${connections} connections: one that comes while all are busy waits, and its wait counts, as does that of one that fails and is sent again. coracle by /v1, etcd by its gateway; one system after the other.`,
      `Quiet, the joining member and the compaction have the same ${putsPerSecond} puts a second at a constant rate beside them. Quiet leaves out the times when the leader makes a checkpoint, which the times of its files tell; they are a row of their own.`,
      "Writes at full rate are 64 in flight; the same load with and without a checkpoint at the leader is compared. etcd has no such thing.",
      `The member joins by a snapshot, for the log is cut every 5,000 entries on both; from the request to add it until it serves with all data. Compaction takes one old revision of each key, until the leader has removed them. ${plan.rounds} of each, taken together.`,
      "The client is two threads of the benchmark on the same machine as all members.",
    ],
    measuredOn: today(),
    versions: Object.fromEntries(sides.map((side) => [side, results[side].version])),
    tables: [
      {
        title: "Linearizable GETs, ms",
        columns: [
          "who",
          "while",
          "for s",
          "GETs",
          "p50",
          "p99",
          "p99.9",
          "longest",
          "p99.9 against its quiet",
        ],
        rows: sides.flatMap((side) =>
          results[side].cases.map((one) => [
            side,
            one.name,
            one.seconds,
            one.spread.count,
            one.spread.p50Ms,
            one.spread.p99Ms,
            one.spread.p999Ms,
            one.spread.longestMs,
            ratioOf(one, results[side].cases),
          ]),
        ),
      },
    ],
    targets,
    charts: [],
  };
}

export const pauses: Part = {
  name: "pauses",
  about: "how long reads stand still during snapshot, compaction and checkpoints",
  run,
};
