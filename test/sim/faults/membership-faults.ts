import { CoracleError } from "../../../src/base/errors.ts";
import type { Node } from "../../../src/node/node.ts";
import { chance, pick } from "../engine/streams.ts";
import type { Host } from "../members/host.ts";
import { joinCluster } from "../members/join.ts";
import type { World } from "../members/world.ts";
import { inService } from "./targets.ts";
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
      const asked = anyActive(world, random);
      const victims = inService(world);
      const victim = victims.length < 2 ? undefined : pick(random, victims);
      const id = victim?.disk.identity?.memberId;
      if (asked === undefined || id === undefined || !world.mayRemoveVoter()) return undefined;
      world.removalAsked(id);
      administer(world, asked, "removal", (node) => node.cluster.removeMember(id));
      return undefined;
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
