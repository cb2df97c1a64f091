import type { Member } from "../cluster.ts";
import { electionGapMs, type Fault, noGapMs, type Scene } from "./fault.ts";

/** Processes that are killed, and processes that stand still. */

type Choice = (scene: Scene) => readonly Member[];

const leader: Choice = (scene) => [scene.leader];
const follower: Choice = (scene) => scene.followers.slice(0, 1);
const majority: Choice = (scene) => [scene.leader, ...scene.followers.slice(0, 1)];

function killing(choose: Choice): Fault["begin"] {
  return async (scene) => {
    const members = choose(scene);
    await Promise.all(members.map((member) => member.kill()));
    return () => {
      for (const member of members) member.start();
    };
  };
}

function stopping(choose: Choice): Fault["begin"] {
  return async (scene) => {
    const members = choose(scene);
    for (const member of members) member.process.signal("SIGSTOP");
    return () => {
      for (const member of members) member.process.signal("SIGCONT");
    };
  };
}

const holdMs = 3000;

export const processFaults: readonly Fault[] = [
  {
    name: "kill-leader",
    text: "kill -9 of the leader: the others elect",
    holdMs,
    gapMsMax: electionGapMs,
    short: true,
    begin: killing(leader),
  },
  {
    name: "kill-follower",
    text: "kill -9 of a follower: nobody notices",
    holdMs,
    gapMsMax: noGapMs,
    begin: killing(follower),
  },
  {
    name: "kill-majority",
    text: "kill -9 of leader and follower: no writes until they are back",
    holdMs,
    gapMsMax: holdMs + electionGapMs,
    begin: killing(majority),
  },
  {
    name: "stop-leader",
    text: "SIGSTOP of the leader, then SIGCONT: the others elect, it steps down",
    holdMs,
    gapMsMax: electionGapMs,
    begin: stopping(leader),
  },
  {
    name: "stop-follower",
    text: "SIGSTOP of a follower: nobody notices",
    holdMs,
    gapMsMax: noGapMs,
    begin: stopping(follower),
  },
  {
    name: "stop-majority",
    text: "SIGSTOP of leader and follower: no writes until SIGCONT",
    holdMs,
    gapMsMax: holdMs + electionGapMs,
    begin: stopping(majority),
  },
];
