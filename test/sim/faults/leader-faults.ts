import { utf8 } from "../../../src/base/bytes.ts";
import { CoracleError } from "../../../src/base/errors.ts";
import type { Random } from "../../../src/base/prng.ts";
import { between } from "../engine/streams.ts";
import { Violation } from "../engine/violation.ts";
import type { Host } from "../members/host.ts";
import type { MemberProcess } from "../members/process.ts";
import type { World } from "../members/world.ts";
import { paddedValue } from "../workload/commands.ts";
import { inService, leaderOf } from "./targets.ts";
import type { FaultKind } from "./types.ts";

/** How often a fault looks at what has come of it. */
const lookMs = 40;

/** Writes through this member, one by one within `overMs`, by nobody who waits for an answer. */
function flood(world: World, random: Random, host: Host, writes: number, overMs: number): void {
  for (let left = writes; left > 0; left--) {
    world.scheduler.afterMs(between(random, 0, overMs), () => writeThrough(host.process));
  }
}

function writeThrough(process: MemberProcess | undefined): void {
  if (process?.ready !== true) return;
  const key = utf8("lease/flood");
  const value = paddedValue("flood", 0);
  process.run(() => {
    process.node.propose({ body: { type: "put", key, value, lease: 0, previous: false } }).catch((error) => {
      if (error instanceof CoracleError || !process.alive) return;
      new Violation("unexpected error", `a write failed with ${String(error)}`).note();
    });
  });
}

/** Whoever leads instead of the one that was cut off. */
function successorOf(world: World, former: Host): Host | undefined {
  return world.hosts.find((host) => host !== former && host.isLeader);
}

/**
 * A leader is cut off with a long tail of its own, while the others elect another one and cut their
 * logs: what it needs then is a snapshot of less than its log reaches to.
 */
function leaveBehind(world: World, random: Random, leader: Host): () => void {
  const { electionMs, logEntriesMax } = world.nodeOptions;
  const rest = world.hosts.filter((host) => host !== leader);
  for (const { number } of rest) {
    world.conditions.block(leader.number, number);
    world.conditions.block(number, leader.number);
    // Nothing waits in a connection for the end of the partition.
    world.network.breakConnections(leader.number, number);
  }
  const cutAfter = logEntriesMax <= 100 ? logEntriesMax : 0;
  flood(world, random, leader, cutAfter + 20 + random.below(60), electionMs / 2);
  let over = false;
  const heal = (): void => {
    if (over) return;
    over = true;
    for (const { number } of rest) {
      world.conditions.unblock(leader.number, number);
      world.conditions.unblock(number, leader.number);
    }
  };
  const look = (): void => {
    if (over) return;
    const successor = successorOf(world, leader);
    const [log, commit] = [successor?.process?.log, commitOf(leader)];
    if (successor !== undefined && log !== undefined && commit !== undefined) {
      if (log.firstIndex() > commit + 1) {
        heal();
        return;
      }
      const lacking = cutAfter + 1 - log.size().entries;
      if (lacking > 0) flood(world, random, successor, Math.min(lacking, 10), lookMs);
    }
    world.scheduler.afterMs(lookMs, look);
  };
  look();
  return heal;
}

function commitOf({ process }: Host): number | undefined {
  return process?.ready === true ? process.node.raftStatus().commit : undefined;
}

/**
 * The others lose their connections to the leader, and it hears nothing of them: for an election timeout
 * it believes that it leads, and its clients with it, while another leads already.
 */
function replaceUnheard(world: World, random: Random, leader: Host): () => void {
  const rest = world.hosts.filter((host) => host !== leader);
  let cut = false;
  let over = false;
  const look = (): void => {
    if (over || !leader.isLeader) return;
    if (successorOf(world, leader) !== undefined) world.renewLeases(leader, true);
    world.scheduler.afterMs(between(random, 0.05, 0.3) * world.nodeOptions.electionMs, look);
  };
  // What was renewed just before counts with the next leader, too.
  world.renewLeases(leader, true);
  world.scheduler.afterMs(between(random, 10, 100), () => {
    if (over || !leader.isLeader) return;
    cut = true;
    for (const { number } of rest) {
      world.conditions.block(number, leader.number);
      world.network.breakConnections(leader.number, number);
    }
    look();
  });
  return () => {
    over = true;
    if (cut) for (const { number } of rest) world.conditions.unblock(number, leader.number);
  };
}

/** Begins when there is a leader, and enough others to replace it. */
function withLeader(how: (world: World, random: Random, leader: Host) => () => void): FaultKind["begin"] {
  return (world, random) => {
    let end: (() => void) | undefined;
    let over = false;
    const look = (): void => {
      if (over) return;
      const leader = leaderOf(world);
      if (leader !== undefined && inService(world).length >= 3) end = how(world, random, leader);
      else world.scheduler.afterMs(lookMs, look);
    };
    look();
    return () => {
      over = true;
      end?.();
    };
  };
}

/** What happens to a leader that does not know yet that it is one no more. */
export const leaderFaults: Readonly<Record<string, FaultKind>> = {
  "leader left behind with a long log": {
    weight: 10,
    durationMsMin: 2000,
    durationMsMax: 8000,
    begin: withLeader(leaveBehind),
  },
  "leader replaced unheard": {
    weight: 10,
    durationMsMin: 1000,
    durationMsMax: 4000,
    begin: withLeader(replaceUnheard),
  },
};
