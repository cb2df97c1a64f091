import { until } from "../test/e2e/wait.ts";
import { nowMs } from "./clock.ts";
import { countKeys, serves, statusOf } from "./gateway.ts";
import type { BenchCluster, BenchMember } from "./members.ts";

/**
 * Flags for parts in which a member joins: the log is cut often, so that a new member cannot have it
 * from its beginning and is sent a snapshot. A fill by transactions makes few entries, and both
 * systems would keep them all by default. Not more often, for each cut costs both something.
 */
export const joiningFlags = {
  coracle: ["--log-entries-max", "5000"],
  etcd: ["--snapshot-count", "5000"],
} as const;

export interface Joined {
  readonly member: BenchMember;
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Adds a member and waits until it answers linearizable reads and has all that was written before it
 * was added. Each revision holds all earlier ones, so its revision tells; the keys are counted once.
 */
export async function joinMember(cluster: BenchCluster, name: string, keys: number): Promise<Joined> {
  const { revision } = await statusOf((await cluster.leader()).endpoint);
  const fromMs = nowMs();
  const member = await cluster.join(name);
  await until(
    `${name} has the data`,
    async () => {
      if (!member.running) throw new Error(`${name} has ended`);
      return (await statusOf(member.endpoint)).revision >= revision && (await serves(member.endpoint));
    },
    { timeoutMs: 300_000, everyMs: 50 },
  );
  const toMs = nowMs();
  const held = await countKeys(member.endpoint, "bench/");
  if (held !== keys) throw new Error(`${name} has ${held} keys of ${keys}`);
  return { member, fromMs, toMs };
}
