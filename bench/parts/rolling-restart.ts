import { pause } from "../../test/e2e/wait.ts";
import { nowMs } from "../clock.ts";
import { benchValue, fillKeys } from "../fill.ts";
import { type BenchCluster, ready, type Side, sides, startMembers } from "../members.ts";
import { longestGapMs, Pacer, type Samples, spreadOf } from "../pacer.ts";
import type { Part, PartOptions, PartResult } from "../part.ts";
import { today } from "../results.ts";
import { inTurn, perSide, versionsOf } from "../side-by-side.ts";
import { median } from "../statistics.ts";

/* What writers notice when the members are restarted one after another, as an upgrade does. */

const keys = 10_000;
const perSecond = 500;
const connections = 16;
const calmMs = 1_000;

interface Restart {
  readonly totalMs: number;
  readonly gapMs: number;
  readonly quietP99Ms: number;
  readonly p99Ms: number;
  /** Attempts that failed and were made again at the next member. */
  readonly repeated: number;
  readonly failed: number;
  readonly reasons: Samples["repeats"];
}

/** Followers first, the leader last, each as soon as the one before serves again. */
async function restartAll(cluster: BenchCluster, quietMs: number): Promise<Restart> {
  const leader = await cluster.leader();
  const followers = cluster.members.filter((member) => member !== leader);
  const pacer = await Pacer.start({
    endpoints: cluster.endpoints,
    face: cluster.side === "coracle" ? "coracleWrk" : "gatewayWrk",
    connections,
    perSecond,
    jobs: [{ kind: "put", share: 1 }],
    keys,
    value: benchValue,
  });
  await pause(calmMs);
  const quietFrom = nowMs();
  await pause(quietMs);
  const from = nowMs();
  for (const member of [...followers, leader]) {
    await member.terminate();
    member.start();
    await ready(member);
  }
  const to = nowMs();
  await pause(calmMs);
  const samples = await pacer.stop();
  return {
    totalMs: to - from,
    // What is late at the end of the last restart counts, too.
    gapMs: longestGapMs(samples, from, to + calmMs),
    quietP99Ms: spreadOf(samples, [[quietFrom, from]]).p99Ms,
    p99Ms: spreadOf(samples, [[from, to]]).p99Ms,
    repeated: Object.values(samples.repeats).reduce((sum, count) => sum + count, 0),
    failed: samples.failed,
    reasons: samples.repeats,
  };
}

function reasonsOf(restarts: readonly Restart[]): string {
  const sums = new Map<string, number>();
  for (const { reasons } of restarts)
    for (const [reason, count] of Object.entries(reasons)) sums.set(reason, (sums.get(reason) ?? 0) + count);
  return [...sums].map(([reason, count]) => `${reason} ${count}`).join(", ") || "none";
}

async function run({ quick, repeats, folder, log }: PartOptions): Promise<PartResult> {
  const rounds = quick ? 1 : Math.max(3, repeats);
  const clusters = await perSide((side) => startMembers(side, { folder }));
  const restarts: Record<Side, Restart[]> = { coracle: [], etcd: [] };
  try {
    for (const side of sides) await fillKeys(clusters[side], 0, keys);
    for (let round = 0; round < rounds; round++) {
      for (const side of inTurn(round)) {
        const one = await restartAll(clusters[side], quick ? 1_000 : 5_000);
        restarts[side].push(one);
        log(
          `${round + 1}/${rounds} ${side}: ${(one.totalMs / 1000).toFixed(1)} s, longest gap ${one.gapMs.toFixed(0)} ms, ` +
            `${one.repeated} attempts repeated (${reasonsOf([one])}), ${one.failed} failed`,
        );
      }
    }
  } finally {
    for (const side of sides) await clusters[side].stop();
  }
  const of = (side: Side, figure: (one: Restart) => number): number => median(restarts[side].map(figure));
  return {
    part: "rolling-restart",
    title: "Restart of all members, one after another",
    about: [
      `${perSecond} puts a second of 256 bytes to ${keys} keys, begun whatever becomes of those before, on ${connections} connections to all members; after a failure a client goes on with the same put at the next member.`,
      "SIGTERM, start, and the next member once this one answers a linearizable read: both followers, then the leader.",
      `Medians of ${rounds} rounds, systems in turn, both running all the time.`,
    ],
    measuredOn: today(),
    versions: versionsOf(clusters),
    tables: [
      {
        title: "What the writers saw",
        note: `Attempts that failed and were made again, by reason, all rounds: ${sides
          .map((side) => `${side}: ${reasonsOf(restarts[side])}`)
          .join("; ")}.`,
        columns: [
          "who",
          "all restarted after, s",
          "longest gap between two answers, ms",
          "attempts repeated",
          "puts failed",
          "p99 before, ms",
          "p99 meanwhile, ms",
        ],
        rows: sides.map((side) => [
          side,
          of(side, ({ totalMs }) => totalMs / 1000),
          of(side, ({ gapMs }) => gapMs),
          of(side, ({ repeated }) => repeated),
          of(side, ({ failed }) => failed),
          of(side, ({ quietP99Ms }) => quietP99Ms),
          of(side, ({ p99Ms }) => p99Ms),
        ]),
      },
    ],
    targets: [],
    charts: [],
  };
}

export const rollingRestart: Part = {
  name: "rolling-restart",
  about: "what writers notice while the members are restarted one after another",
  run,
};
