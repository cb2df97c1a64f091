import { between, chance, pick } from "../engine/streams.ts";
import type { Host } from "../members/host.ts";
import type { World } from "../members/world.ts";
import { updateSomeone } from "./membership-faults.ts";
import { inService, leaderOf, split, victim } from "./targets.ts";
import type { FaultKind } from "./types.ts";

type Direction = readonly [from: Host, to: Host];

function cut(world: World, directions: readonly Direction[]): () => void {
  for (const [from, to] of directions) world.conditions.block(from.number, to.number);
  return () => {
    for (const [from, to] of directions) world.conditions.unblock(from.number, to.number);
  };
}

function bothWays(a: readonly Host[], b: readonly Host[]): Direction[] {
  return a.flatMap((left) =>
    b.flatMap((right): Direction[] => [
      [left, right],
      [right, left],
    ]),
  );
}

function others(world: World, host: Host): Host[] {
  return world.hosts.filter((other) => other !== host);
}

/** A setting of the whole network for a while. */
function setting(name: "loss" | "duplication" | "reordering", min: number, max: number): FaultKind["begin"] {
  return ({ conditions }, random) => {
    const amount = between(random, min, max);
    conditions[name] += amount;
    return () => {
      conditions[name] = Math.max(0, conditions[name] - amount);
    };
  };
}

export const networkFaults: Readonly<Record<string, FaultKind>> = {
  "partition in two": {
    weight: 10,
    durationMsMin: 200,
    durationMsMax: 4000,
    begin: (world, random) => {
      const [left, right] = split(world.hosts, random);
      return cut(world, bothWays(left, right));
    },
  },
  isolation: {
    weight: 10,
    durationMsMin: 200,
    durationMsMax: 5000,
    begin: (world, random) => {
      const host = victim(world, random);
      return host === undefined ? undefined : cut(world, bothWays([host], others(world, host)));
    },
  },
  // What it accepts meanwhile stays behind in its log alone, or with one other.
  "leader cut off under load": {
    weight: 9,
    durationMsMin: 800,
    durationMsMax: 5000,
    begin: (world, random) => {
      const leader = leaderOf(world);
      if (leader === undefined) return undefined;
      const rest = others(world, leader);
      const friend = chance(random, 0.3) && rest.length > 2 ? pick(random, rest) : undefined;
      const group = friend === undefined ? [leader] : [leader, friend];
      for (let left = 4 + random.below(10); left > 0; left--) {
        world.scheduler.afterMs(between(random, 0, 2500), () => world.burst(leader));
      }
      if (chance(random, 0.5)) {
        world.scheduler.afterMs(between(random, 0, 200), () => updateSomeone(world, random, leader));
      }
      return cut(
        world,
        bothWays(
          group,
          rest.filter((host) => host !== friend),
        ),
      );
    },
  },
  "one-way loss": {
    weight: 7,
    durationMsMin: 200,
    durationMsMax: 4000,
    begin: (world, random) => {
      const host = victim(world, random);
      if (host === undefined) return undefined;
      const outward = chance(random, 0.5);
      return cut(
        world,
        others(world, host).map((other) => (outward ? [host, other] : [other, host])),
      );
    },
  },
  "asymmetric partition": {
    weight: 7,
    durationMsMin: 200,
    durationMsMax: 4000,
    begin: (world, random) => {
      const a = victim(world, random);
      if (a === undefined) return undefined;
      const rest = others(world, a);
      return rest.length === 0 ? undefined : cut(world, bothWays([a], [pick(random, rest)]));
    },
  },
  "flapping link": {
    weight: 4,
    durationMsMin: 500,
    durationMsMax: 4000,
    begin: (world, random) => {
      const a = victim(world, random);
      if (a === undefined) return undefined;
      const directions = bothWays([a], others(world, a));
      let heal: (() => void) | undefined;
      let over = false;
      const flap = (): void => {
        if (over) return;
        if (heal === undefined) heal = cut(world, directions);
        else {
          heal();
          heal = undefined;
        }
        world.scheduler.afterMs(between(random, 20, 500), flap);
      };
      flap();
      return () => {
        over = true;
        heal?.();
      };
    },
  },
  "connections break": {
    weight: 5,
    durationMsMin: 0,
    durationMsMax: 0,
    begin: (world, random) => {
      const a = victim(world, random);
      if (a === undefined) return undefined;
      for (const b of inService(world)) {
        if (b !== a && chance(random, 0.7)) world.network.breakConnections(a.number, b.number);
      }
      return undefined;
    },
  },
  "slow network": {
    weight: 5,
    durationMsMin: 300,
    durationMsMax: 3000,
    begin: ({ conditions }, random) => {
      const factor = between(random, 3, 40);
      conditions.slowness.push(factor);
      return () => {
        conditions.slowness.splice(conditions.slowness.indexOf(factor), 1);
      };
    },
  },
  "lost messages": { weight: 6, durationMsMin: 300, durationMsMax: 4000, begin: setting("loss", 0.02, 0.4) },
  "duplicated messages": {
    weight: 4,
    durationMsMin: 300,
    durationMsMax: 4000,
    begin: setting("duplication", 0.05, 0.5),
  },
  "reordered messages": {
    weight: 6,
    durationMsMin: 300,
    durationMsMax: 4000,
    begin: setting("reordering", 0.05, 0.5),
  },
  "snapshot transfers break": {
    weight: 8,
    durationMsMin: 500,
    durationMsMax: 8000,
    begin: ({ conditions }, random) => {
      const amount = between(random, 0.02, 0.4);
      conditions.snapshotBreakage += amount;
      return () => {
        conditions.snapshotBreakage = Math.max(0, conditions.snapshotBreakage - amount);
      };
    },
  },
};
