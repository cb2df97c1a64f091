import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "../client.ts";
import type { Cluster, Member } from "../cluster.ts";
import { until } from "../wait.ts";
import { type Fault, noGapMs, type Scene } from "./fault.ts";
import { faketimeLibrary, lacking } from "./tools.ts";

/** Wall clocks that are stepped, as an operator or NTP does. */

function clockFile(folder: string, name: string): string {
  return join(folder, `${name}.clock`);
}

/** The environment of a member whose wall clock follows a file. */
export function clockEnvironment(folder: string, name: string): Record<string, string> {
  const file = clockFile(folder, name);
  writeFileSync(file, "+0");
  return {
    LD_PRELOAD: faketimeLibrary() ?? "",
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    FAKETIME_CACHE_DURATION: "1",
  };
}

function step(cluster: Cluster, member: Member, seconds: number): void {
  writeFileSync(clockFile(cluster.folder, member.name), `${seconds < 0 ? "" : "+"}${seconds}`);
}

/** By how much a member's clock is ahead, as its answers tell. */
async function aheadSeconds(member: Member): Promise<number> {
  const client = new Client([member.endpoint]);
  try {
    const response = await client.request({ method: "GET", path: "/livez" });
    return (Date.parse(response.headers.get("date") ?? "") - Date.now()) / 1000;
  } finally {
    client.close();
  }
}

function stepped(seconds: number): Fault["begin"] {
  return async (scene: Scene) => {
    const { cluster, leader } = scene;
    const before = await leader.head();
    step(cluster, leader, seconds);
    const wanted = (ahead: number): boolean => Math.abs(ahead - seconds) < 5;
    await until("the leader's clock to step", async () => wanted(await aheadSeconds(leader)));
    return async () => {
      step(cluster, leader, 0);
      await until("the leader's clock to step back", async () => Math.abs(await aheadSeconds(leader)) < 5);
      const after = await leader.head();
      scene.check(after.term === before.term, "the leader leads on in its term");
    };
  };
}

export const clockFaults: readonly Fault[] = [
  {
    name: "clock-forward",
    text: "the leader's wall clock goes an hour forth, and back again: nobody notices",
    lacking: lacking.faketime,
    clocks: true,
    holdMs: 3000,
    gapMsMax: noGapMs,
    short: true,
    begin: stepped(3600),
  },
  {
    name: "clock-back",
    text: "the leader's wall clock goes an hour back, and forth again: nobody notices",
    lacking: lacking.faketime,
    clocks: true,
    holdMs: 3000,
    gapMsMax: noGapMs,
    begin: stepped(-3600),
  },
];
