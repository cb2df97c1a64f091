import type { Member } from "../cluster.ts";
import { electionGapMs, type Fault, noGapMs, numberOf, type Scene } from "./fault.ts";

/** Partitions in both directions and in one, delay, and loss. */

const holdMs = 4000;

/** Nothing passes from these to those. */
function cut(scene: Scene, from: readonly Member[], to: readonly Member[]): void {
  for (const one of from) {
    for (const other of to) scene.network.block(numberOf(scene, one), numberOf(scene, other));
  }
}

function parted(choose: (scene: Scene) => readonly Member[], ways: "both" | "out" | "in"): Fault["begin"] {
  return async (scene) => {
    const inside = choose(scene);
    const outside = scene.cluster.members.filter((member) => !inside.includes(member));
    if (ways !== "in") cut(scene, inside, outside);
    if (ways !== "out") cut(scene, outside, inside);
    return () => scene.network.heal();
  };
}

const leader = (scene: Scene): readonly Member[] => [scene.leader];
const follower = (scene: Scene): readonly Member[] => scene.followers.slice(0, 1);

export const networkFaults: readonly Fault[] = [
  {
    name: "isolate-leader",
    text: "the leader is cut off: the others elect, it steps down",
    network: "block",
    holdMs,
    gapMsMax: electionGapMs,
    short: true,
    begin: parted(leader, "both"),
  },
  {
    name: "isolate-follower",
    text: "a follower is cut off: nobody else notices, and it disturbs nobody when it is back",
    network: "block",
    holdMs,
    gapMsMax: noGapMs,
    begin: parted(follower, "both"),
  },
  {
    name: "split",
    text: "five members, leader and one more on the smaller side: the other three elect",
    members: 5,
    network: "block",
    holdMs,
    gapMsMax: electionGapMs,
    begin: parted((scene) => [scene.leader, ...scene.followers.slice(0, 1)], "both"),
  },
  {
    name: "one-way-from-leader",
    text: "what the leader sends is lost, what it is sent arrives: the others elect",
    network: "block",
    holdMs,
    gapMsMax: electionGapMs + 1000,
    begin: parted(leader, "out"),
  },
  {
    name: "one-way-to-leader",
    text: "what the leader is sent is lost: it steps down for want of a majority",
    network: "block",
    holdMs,
    gapMsMax: electionGapMs + 1000,
    begin: parted(leader, "in"),
  },
  {
    name: "delay",
    text: "every message takes 50 ms: slower, nothing else",
    network: "shape",
    holdMs,
    gapMsMax: noGapMs,
    begin: async (scene) => {
      scene.network.shape({ delayMs: 50 });
      return () => scene.network.heal();
    },
  },
  {
    name: "packet-loss",
    text: "one packet in twenty is lost: slower, an election at worst",
    network: "shape",
    holdMs,
    gapMsMax: electionGapMs,
    begin: async (scene) => {
      scene.network.shape({ lossPercent: 5 });
      return () => scene.network.heal();
    },
  },
];
