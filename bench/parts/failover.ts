import { pause } from "../../test/e2e/wait.ts";
import { faces } from "../faces.ts";
import { type BenchCluster, ready, type Side, sides, startMembers } from "../members.ts";
import type { Part, PartOptions, PartResult } from "../part.ts";
import { today } from "../results.ts";
import { perSide, versionsOf } from "../side-by-side.ts";
import { median, percentile } from "../statistics.ts";

/*
 * How long nothing can be written after the leader is killed: every 10 ms a write is sent through a
 * member that stays, whatever became of those before, and the gap is from the kill to the first
 * success. One client that waits for each answer would measure its own timeout: etcd leaves a write
 * that came while there was no leader without an answer for 7 s.
 */

const everyMs = 10;
/** The next kill shall find three members that know each other. */
const calmMs = 1_500;

/** Milliseconds without a successful write. */
async function gapAfterKill(cluster: BenchCluster, round: number): Promise<number> {
  const leader = await cluster.leader();
  const survivor = cluster.members.find((member) => member !== leader)?.endpoint;
  const face = cluster.side === "coracle" ? faces.coracleWrk : faces.gatewayWrk;
  const rest = new AbortController();
  const write = async (attempt: number): Promise<boolean> => {
    const { method, path, headers, body } = face.request("put", "bench/failover", `${round} ${attempt}`);
    const init = { method, headers, body: Buffer.from(body), signal: rest.signal };
    try {
      const response = await fetch(`http://${survivor}${path}`, init);
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  };
  const killedAt = performance.now();
  await leader.kill();
  let gapMs: number | undefined;
  for (let attempt = 0; gapMs === undefined; attempt++) {
    if (performance.now() - killedAt > 30_000) throw new Error(`${cluster.side}: no write in 30 s`);
    void write(attempt).then((ok) => {
      if (ok) gapMs ??= performance.now() - killedAt;
    });
    await pause(everyMs);
  }
  rest.abort();
  leader.start();
  await ready(leader);
  await cluster.leader();
  await pause(calmMs);
  return gapMs;
}

async function run({ quick, folder, log }: PartOptions): Promise<PartResult> {
  const rounds = quick ? 3 : 20;
  const clusters = await perSide((side) => startMembers(side, { folder }));
  const gaps: Record<Side, number[]> = { coracle: [], etcd: [] };
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const side of round % 2 === 1 ? sides : sides.toReversed()) {
        const gap = await gapAfterKill(clusters[side], round);
        gaps[side].push(gap);
        log(`${round}/${rounds} ${side}: ${gap.toFixed(0)} ms`);
      }
    }
  } finally {
    for (const side of sides) await clusters[side].stop();
  }
  const ratio = median(gaps.coracle) / median(gaps.etcd);
  return {
    part: "failover",
    title: "No writes after kill -9 of the leader",
    about: [
      `${rounds} kills each, in turn, three members each, default timeouts (heartbeat 100 ms, election 1 s).`,
      "From the kill to the first answered write; one is sent every 10 ms through a member that stays, without waiting for those before. The killed member is back, and all know each other, before the next kill.",
    ],
    measuredOn: today(),
    versions: versionsOf(clusters),
    tables: [
      {
        title: "Milliseconds without writes",
        columns: ["who", "least", "median", "9 of 10 within", "longest"],
        rows: sides.map((side) => {
          const ascending = gaps[side].toSorted((a, b) => a - b);
          const at = (share: number): number => ascending[Math.floor((rounds - 1) * share)] ?? Number.NaN;
          return [side, at(0), median(ascending), percentile(ascending, 0.9), at(1)];
        }),
      },
    ],
    targets: [{ what: "median gap against etcd's", measured: ratio, unit: "x", atMost: 0.2 }],
    charts: [
      {
        title: "Gap without writes of each kill",
        x: "kill",
        y: "ms",
        lines: sides.map((side) => ({ name: side, points: gaps[side].map((gap, at) => [at + 1, gap]) })),
      },
    ],
  };
}

export const failover: Part = {
  name: "failover",
  about: "the gap without writes after kill -9 of the leader, 20 times",
  run,
};
