import type { Random } from "../../../src/base/prng.ts";
import { chance, pick } from "../engine/streams.ts";
import type { Host } from "../members/host.ts";
import type { World } from "../members/world.ts";

/** Machines that hold a member's data. */
export function inService(world: World): Host[] {
  return world.hosts.filter(({ disk, retired }) => disk.identity !== undefined && !retired);
}

export function leaderOf(world: World): Host | undefined {
  return world.hosts.find((host) => host.isLeader);
}

/** A machine to hurt: rather often the leader. */
export function victim(world: World, random: Random): Host | undefined {
  const hosts = inService(world);
  if (hosts.length === 0) return undefined;
  const leader = leaderOf(world);
  if (leader !== undefined && chance(random, 0.45)) return leader;
  return pick(random, hosts);
}

/** Splits the machines in two groups, neither empty. */
export function split(hosts: readonly Host[], random: Random): readonly [Host[], Host[]] {
  const left: Host[] = [];
  const right: Host[] = [];
  for (const host of hosts) (chance(random, 0.5) ? left : right).push(host);
  if (left.length === 0) left.push(...right.splice(0, 1));
  if (right.length === 0) right.push(...left.splice(0, 1));
  return [left, right];
}
