import { CoracleError } from "../../../src/base/errors.ts";
import type { Random } from "../../../src/base/prng.ts";
import type { Node } from "../../../src/node/node.ts";
import { between, chance, pick } from "../engine/streams.ts";
import type { Host } from "../members/host.ts";
import { joinCluster } from "../members/join.ts";
import type { World } from "../members/world.ts";
import { inService, leaderOf, victim } from "./targets.ts";
import type { FaultKind } from "./types.ts";

/** Asks any member to change the membership, and counts what comes of it. */
function administer(
  world: World,
  asked: Host,
  what: string,
  request: (node: Node) => Promise<unknown>,
): void {
  const { process } = asked;
  if (process === undefined || !asked.active) return;
  process.run(() => {
    request(process.node).then(
      () => {
        world.coverage.add(`membership: ${what} done`);
      },
      (error: unknown) => {
        const code = error instanceof CoracleError ? error.code : "failed";
        world.coverage.add(`membership: ${what} ${code}`);
        world.trace.note("admin", asked.number, 0, 0, () => `${what}: ${String(error)}`);
      },
    );
  });
}

function anyActive(world: World, random: Parameters<FaultKind["begin"]>[1]): Host | undefined {
  const hosts = world.hosts.filter((host) => host.active);
  return hosts.length === 0 ? undefined : pick(random, hosts);
}

/** Has a member write the record of one of the members anew: a change that a log may lose without harm. */
export function updateSomeone(world: World, random: Random, asked: Host): void {
  const members = asked.process?.ready === true ? asked.process.node.cluster.members() : [];
  if (members.length === 0) return;
  const member = pick(random, members);
  administer(world, asked, "update", (node) => node.cluster.updateMember(member));
}

/** Has any member remove any other. */
function removeSomeone(world: World, random: Random): void {
  const asked = anyActive(world, random);
  const victims = inService(world);
  const id = victims.length < 2 ? undefined : pick(random, victims).disk.identity?.memberId;
  if (asked === undefined || id === undefined || !world.mayRemoveVoter()) return;
  world.removalAsked(id);
  administer(world, asked, "removal", (node) => node.cluster.removeMember(id));
}

/** Takes a machine down within moments of the next membership change, mostly that of the leader. */
function downAtNextChange(world: World, random: Random): () => void {
  const { onChange } = world.checks.committed;
  let hit: Host | undefined;
  let over = false;
  const strike = (): void => {
    onChange.delete(strike);
    world.scheduler.after(between(random, 0, chance(random, 0.5) ? 2000 : 20_000), () => {
      const host = chance(random, 0.7) ? (leaderOf(world) ?? victim(world, random)) : victim(world, random);
      if (over || host === undefined) return;
      world.coverage.add("crash: within moments of a membership change");
      hit = host;
      host.holdDown();
      if (chance(random, 0.7)) host.losePower();
      else host.kill();
    });
  };
  onChange.add(strike);
  return () => {
    over = true;
    onChange.delete(strike);
    hit?.letUp();
  };
}

export const membershipFaults: Readonly<Record<string, FaultKind>> = {
  "new member joins": {
    weight: 9,
    durationMsMin: 0,
    durationMsMax: 0,
    begin: (world) => {
      const spare = world.hosts.find(({ disk, retired }) => disk.identity === undefined && !retired);
      if (spare !== undefined) joinCluster(spare);
      return undefined;
    },
  },
  "retired member comes back": {
    weight: 4,
    durationMsMin: 0,
    durationMsMax: 0,
    begin: (world) => {
      const host = world.hosts.find(({ retired }) => retired);
      if (host === undefined) return undefined;
      host.wipe();
      joinCluster(host);
      return undefined;
    },
  },
  "member removed": {
    weight: 7,
    durationMsMin: 0,
    durationMsMax: 0,
    begin: (world, random) => {
      removeSomeone(world, random);
      return undefined;
    },
  },
  "crash at a membership change": {
    weight: 8,
    durationMsMin: 300,
    durationMsMax: 4000,
    begin: (world, random) => {
      const end = downAtNextChange(world, random);
      if (chance(random, 0.7)) removeSomeone(world, random);
      return end;
    },
  },
  "learner promoted by hand": {
    weight: 4,
    durationMsMin: 0,
    durationMsMax: 0,
    begin: (world, random) => {
      const asked = anyActive(world, random);
      const members = asked?.process?.node.cluster.members() ?? [];
      const learner = members.find((member) => member.learner);
      if (asked === undefined || learner === undefined) return undefined;
      administer(world, asked, "promotion", (node) => node.cluster.promoteMember(learner.id));
      return undefined;
    },
  },
  "member's record updated": {
    weight: 4,
    durationMsMin: 0,
    durationMsMax: 0,
    begin: (world, random) => {
      const asked = anyActive(world, random);
      if (asked !== undefined) updateSomeone(world, random, asked);
      return undefined;
    },
  },
  "disk lost and member replaced": {
    weight: 5,
    durationMsMin: 0,
    durationMsMax: 1500,
    begin: (world, random) => {
      const hosts = inService(world);
      if (hosts.length < 3 || !world.mayLoseDisk()) return undefined;
      const host = chance(random, 0.5)
        ? (hosts.find((other) => other.isLeader) ?? hosts[0])
        : pick(random, hosts);
      if (host === undefined) return undefined;
      host.holdDown();
      host.wipe();
      return () => host.letUp();
    },
  },
};
