import type { Cluster } from "../cluster.ts";
import { Load } from "../load.ts";
import { caughtUp, verify } from "../verify.ts";
import { pause, until } from "../wait.ts";
import type { Fault, Scene } from "./fault.ts";
import { Recorder } from "./recorder.ts";
import { setStage } from "./stage.ts";

/** What became of a cluster and its clients under one fault. */
export interface Row {
  readonly fault: Fault;
  readonly network: string | undefined;
  readonly acknowledged: number;
  readonly lost: number;
  readonly unknown: number;
  readonly gapMs: number;
  readonly operations: number;
  readonly verdict: string;
  readonly notes: readonly string[];
  /** Expectations that did not hold; empty when all is well. */
  readonly failures: readonly string[];
}

const valueBytesDefault = 100;
const bytesPerSecondDefault = 50_000;
const steadyWrites = 150;
/** A client that waits longer than this turns elsewhere: what it waited for may still happen. */
const clientTimeoutMs = 1000;

export async function perform(fault: Fault): Promise<Row> {
  const stage = await setStage(fault);
  const { cluster, network } = stage;
  const notes: string[] = [];
  const failures: string[] = [];
  let count = 0;
  const load = new Load({
    endpoints: cluster.endpoints,
    clients: 8,
    bytesPerSecond: fault.bytesPerSecond ?? bytesPerSecondDefault,
    timeoutMs: clientTimeoutMs,
    next: () => {
      const key = `u/${++count}`;
      return { key, value: Buffer.from(key.padEnd(fault.valueBytes ?? valueBytesDefault, ".")) };
    },
  });
  const recorder = new Recorder(cluster.endpoints, 6);
  try {
    await moreWrites(load);
    const leader = await cluster.leader();
    const scene: Scene = {
      cluster,
      leader,
      followers: cluster.members.filter((member) => member !== leader),
      load,
      get network() {
        if (network === undefined) throw new Error(`${fault.name} has no network`);
        return network;
      },
      note: (text) => notes.push(text),
      check: (ok, what) => {
        if (!ok) failures.push(what);
      },
    };
    const beganMs = performance.now();
    const end = await fault.begin(scene);
    const leftMs = fault.holdMs - (performance.now() - beganMs);
    if (leftMs > 0) await pause(leftMs);
    await end();
    await cluster.ready();
    await moreWrites(load);
    const endedMs = performance.now();
    await Promise.all([load.stop(), recorder.stop()]);
    const lost = await countLost(cluster, load, failures);
    const judgement = recorder.judge();
    const gapMs = load.longestGapMs(beganMs, endedMs);
    if (!judgement.ok) failures.push(judgement.verdict);
    if (recorder.strange.length > 0)
      failures.push(`strange answers: ${recorder.strange.slice(0, 3).join("; ")}`);
    if (load.refused.length > 0) failures.push(`refused: ${load.refused.slice(0, 3).join("; ")}`);
    if (gapMs > fault.gapMsMax)
      failures.push(`${gapMs.toFixed(0)} ms without a write, ${fault.gapMsMax} expected at most`);
    if (failures.length > 0) cluster.showLogs(40);
    const unknownInHistory = recorder.history.operations.filter(
      ({ ending }) => ending?.type === "unknown",
    ).length;
    return {
      fault,
      network: network?.kind,
      acknowledged: load.acknowledged.size,
      lost,
      unknown: load.unknown.size + unknownInHistory,
      gapMs,
      operations: judgement.operations,
      verdict: judgement.verdict,
      notes,
      failures,
    };
  } catch (error) {
    cluster.showLogs(40);
    throw error;
  } finally {
    await Promise.all([load.stop(), recorder.stop()]);
    await stage.end();
  }
}

/** The cluster serves: so many further writes are acknowledged. */
async function moreWrites(load: Load): Promise<void> {
  const wanted = load.acknowledged.size + steadyWrites;
  await until(`${steadyWrites} further writes`, () => load.acknowledged.size >= wanted, {
    timeoutMs: 30_000,
  });
}

/** Acknowledged writes that are not there, or not what was written, on any member. */
async function countLost(cluster: Cluster, load: Load, failures: string[]): Promise<number> {
  let lost = 0;
  await caughtUp(cluster);
  for (const member of cluster.members) {
    const verdict = await verify(member, load.acknowledged, "serializable");
    lost = Math.max(lost, verdict.wrong);
    if (verdict.wrong > 0) failures.push(`lost on ${member.name}: ${verdict.examples.join("; ")}`);
    const unknown = [...load.unknown].map(([key, { value }]) => [key, value] as const);
    const whole = await verify(member, unknown, "serializable", { mayBeAbsent: true });
    if (whole.wrong > 0) failures.push(`in part on ${member.name}: ${whole.examples.join("; ")}`);
  }
  return lost;
}
