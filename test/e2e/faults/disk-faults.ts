import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Client, keyPath } from "../client.ts";
import type { Member } from "../cluster.ts";
import { pause, until } from "../wait.ts";
import { electionGapMs, type Fault, noGapMs, type Scene } from "./fault.ts";
import { lacking } from "./tools.ts";
import { inject } from "./trace.ts";

/** Disks that fail, are slow, or are full. */

/** A member that cannot trust its disk any more ends, and says why. */
function failing(injection: string): Fault["begin"] {
  return async (scene) => {
    const { leader, cluster } = scene;
    const detach = await inject(cluster, leader, injection);
    const exit = await until("the end of the member", () => leader.process.exit, { timeoutMs: 10_000 });
    scene.check(
      exit.code !== 0 && exit.code !== null,
      `it ends with an exit code, not with ${JSON.stringify(exit)}`,
    );
    scene.check(/raft\.db.*must stop/.test(leader.tail(20)), "it names raft.db and says that it must stop");
    await detach();
    return () => leader.start();
  };
}

interface Times {
  readonly medianMs: number;
  readonly maxMs: number;
  readonly count: number;
}

/** Reads a member's own state at a steady pace; gives what ends it, and then how long they took. */
function readSteadily(member: Member): () => Promise<Times> {
  const client = new Client([member.endpoint]);
  const took: number[] = [];
  let going = true;
  const work = (async () => {
    while (going) {
      const startMs = performance.now();
      await client.read(`${keyPath("steady")}?consistency=serializable`);
      took.push(performance.now() - startMs);
      await pause(10);
    }
    client.close();
  })();
  return async () => {
    going = false;
    await work;
    took.sort((a, b) => a - b);
    return { medianMs: took[took.length >> 1] ?? 0, maxMs: took.at(-1) ?? 0, count: took.length };
  };
}

/** A slow disk under the leader: it hands over, and neither heartbeats nor local reads wait for the disk. */
function slowLeader(ms: number): Fault["begin"] {
  return async (scene) => {
    const { leader, cluster } = scene;
    const before = await leader.head();
    const startMs = performance.now();
    const detach = await inject(cluster, leader, `fsync,fdatasync:delay_exit=${ms * 1000}`);
    const endReads = readSteadily(leader);
    const next = await until(
      "leadership at a member with a better disk",
      async () => {
        const now = await cluster.leader();
        return now === leader ? undefined : now;
      },
      { timeoutMs: 15_000, everyMs: 50 },
    ).catch(() => undefined);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    scene.note(next === undefined ? "leadership stayed" : `handed over to ${next.name} after ${seconds} s`);
    scene.check(next !== undefined, "the leader hands over to a member with a better disk");
    return async () => {
      const reads = await endReads();
      const figures = `median ${reads.medianMs.toFixed(1)} ms, longest ${reads.maxMs.toFixed(0)} ms`;
      scene.note(`${reads.count} local reads on it: ${figures}`);
      scene.check(reads.medianMs < ms / 2, `local reads do not wait for the disk (${figures})`);
      const after = await leader.head();
      scene.note(`term ${before.term} to ${after.term}`);
      scene.check(
        after.term <= before.term + 1,
        "heartbeats keep their pace: one change of leader, no other",
      );
      await detach();
    };
  };
}

const ballast = "ballast";

function fill(member: Member): void {
  const file = openSync(join(member.plan.folder, ballast), "w");
  const portion = new Uint8Array(4096);
  try {
    for (;;) writeSync(file, portion);
  } catch {
    // Full.
  } finally {
    closeSync(file);
  }
}

function sawFull({ load }: Scene): boolean {
  return [...load.retries.keys()].some((reason) => reason.startsWith("507 quota_exceeded"));
}

/** Full disks under some members; they must be in service again without a restart. */
function full(choose: (scene: Scene) => readonly Member[], all: boolean): Fault["begin"] {
  return async (scene) => {
    const members = choose(scene);
    const pids = members.map((member) => member.process.pid);
    for (const member of members) fill(member);
    if (all) {
      await until("writes refused for want of room", () => sawFull(scene), { timeoutMs: 60_000 });
      const client = new Client(scene.cluster.endpoints);
      const read = await client.read(`${keyPath("steady")}?consistency=serializable`);
      scene.check(read.status === 200 || read.status === 404, "local reads are still served");
      client.close();
    } else {
      const next = await until("another leader", async () => {
        const now = await scene.cluster.leader();
        return now === scene.leader ? undefined : now;
      });
      scene.note(`handed over to ${next.name}`);
    }
    return async () => {
      for (const member of members) rmSync(join(member.plan.folder, ballast));
      await until("all members ready again", async () => {
        await scene.cluster.ready();
        return true;
      });
      const same = members.every((member, at) => member.running && member.process.pid === pids[at]);
      scene.check(same, "the same processes go on, without a restart");
    };
  };
}

/** Writes until the quota is reached; then makes room by deleting and compacting. */
async function fillToQuota(scene: Scene): Promise<() => Promise<void>> {
  const client = new Client(scene.cluster.endpoints);
  const filler = Buffer.alloc(200_000, "f");
  for (let at = 0; at < 15; at++) await client.putUntilProposed(`filler/${at}`, filler);
  await until("writes refused over the quota", () => sawFull(scene), { timeoutMs: 60_000 });
  return async () => {
    const removed = await client.write({ method: "DELETE", path: "/v1/kv?prefix=filler/" });
    scene.check(removed.outcome === "acknowledged", `deletes go on over the quota (${removed.outcome})`);
    const freed = scene.load.acknowledged.size + 100;
    await until(
      "service after deletes and compaction",
      async () => {
        const { revision } = await scene.leader.head();
        const body = Buffer.from(JSON.stringify({ revision }));
        const headers = { "Content-Type": "application/json" };
        const compacted = await client.write({ method: "POST", path: "/v1/compact", headers, body });
        if (compacted.outcome !== "acknowledged" && compacted.outcome !== "refused")
          scene.check(false, `compaction goes on over the quota (${compacted.reason})`);
        return scene.load.acknowledged.size >= freed;
      },
      { everyMs: 200 },
    );
    client.close();
  };
}

export const diskFaults: readonly Fault[] = [
  {
    name: "fsync-eio",
    text: "fsync fails on the leader: it ends and says why, the others elect",
    lacking: lacking.strace,
    holdMs: 2000,
    gapMsMax: electionGapMs,
    short: true,
    begin: failing("fsync,fdatasync:error=EIO"),
  },
  {
    name: "write-eio",
    text: "a write fails on the leader: it ends and says why, the others elect",
    lacking: lacking.strace,
    holdMs: 2000,
    gapMsMax: electionGapMs,
    begin: failing("pwrite64,write:error=EIO"),
  },
  {
    name: "fsync-50ms-leader",
    text: "fsync takes 50 ms longer on the leader: it hands over",
    lacking: lacking.strace,
    holdMs: 3000,
    gapMsMax: noGapMs,
    begin: slowLeader(50),
  },
  {
    name: "fsync-500ms-leader",
    text: "fsync takes 500 ms longer on the leader: it hands over; reads and heartbeats keep their pace",
    lacking: lacking.strace,
    holdMs: 4000,
    gapMsMax: 3000,
    short: true,
    begin: slowLeader(500),
  },
  {
    name: "fsync-500ms-follower",
    text: "fsync takes 500 ms longer on a follower: nobody else notices",
    lacking: lacking.strace,
    holdMs: 5000,
    gapMsMax: noGapMs,
    begin: async (scene) => {
      const [follower] = scene.followers;
      if (follower === undefined) throw new Error("no follower");
      const before = await scene.leader.head();
      const detach = await inject(scene.cluster, follower, "fsync,fdatasync:delay_exit=500000");
      return async () => {
        const after = await scene.leader.head();
        scene.check(after.term === before.term, "the leader leads on in its term");
        await detach();
      };
    },
  },
  {
    name: "disk-full-leader",
    text: "the leader's disk is full: it hands over, and comes back without a restart",
    lacking: lacking.mount,
    diskMebibytes: 48,
    holdMs: 3000,
    gapMsMax: electionGapMs,
    short: true,
    begin: full((scene) => [scene.leader], false),
  },
  {
    name: "disk-full-followers",
    text: "both followers' disks are full: no majority can store a write, which is said by 507",
    lacking: lacking.mount,
    diskMebibytes: 48,
    holdMs: 3000,
    gapMsMax: 3000 + 7000,
    begin: full((scene) => scene.followers, true),
  },
  {
    name: "disk-full-all",
    text: "all disks are full: writes are refused with 507, reads go on; writes too when there is room",
    lacking: lacking.mount,
    diskMebibytes: 48,
    holdMs: 3000,
    gapMsMax: 3000 + 7000,
    begin: full((scene) => scene.cluster.members, true),
  },
  {
    name: "quota",
    text: "the store reaches its quota: writes get 507, deletes and compaction go on and bring service back",
    flags: ["--quota", "4MiB"],
    valueBytes: 2000,
    bytesPerSecond: 500_000,
    holdMs: 2000,
    gapMsMax: 2000 + 4000,
    begin: fillToQuota,
  },
];
