import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../e2e/wait.ts";
import { NotHere, scratchFolder } from "./checks.ts";
import type { Etcdctl } from "./etcdctl.ts";

interface MemberJson {
  readonly ID: number;
  readonly name: string;
  readonly clientURLs: readonly string[];
  readonly peerURLs: readonly string[];
  readonly isLearner?: boolean;
}

/** Members as etcdctl lists them; ids in hex, as its commands take them: JSON would round them. */
async function memberList(ctl: Etcdctl): Promise<{ id: string; name: string; clientUrls: string }[]> {
  return (await ctl.ok("member", "list"))
    .trim()
    .split("\n")
    .map((line) => {
      const [id = "", , name = "", , clientUrls = ""] = line.split(", ");
      return { id, name, clientUrls };
    });
}

export const cluster: Readonly<Record<string, (ctl: Etcdctl) => Promise<void>>> = {
  lock: async (ctl) => {
    const first = ctl.background(["lock", "lk", "--ttl=5"]);
    await first.shows(/^lk\/[0-9a-f]+\n/);
    const second = ctl.background(["lock", "lk", "--ttl=5", "--", "echo", "held"]);
    await ctl.ok("get", "lk/", "--prefix");
    assert.equal(second.output, "");
    await first.stop();
    await second.shows("held");
    assert.equal(await second.exited, 0);
    assert.equal(await ctl.ok("get", "lk/", "--prefix"), "");
  },
  elect: async (ctl) => {
    const listener = ctl.background(["elect", "--listen", "el"]);
    const first = ctl.background(["elect", "el", "one"]);
    await first.shows(/el\/[0-9a-f]+\none\n/);
    await listener.shows("one\n");
    const second = ctl.background(["elect", "el", "two"]);
    await first.stop();
    await second.shows("two\n");
    await listener.shows("two\n");
    await second.stop();
    await listener.stop();
  },
  "member list": async (ctl) => {
    const { members } = await ctl.json<{ members: readonly MemberJson[] }>("member", "list");
    assert.equal(members.length, 3);
    const urls = members.flatMap((member) => member.clientURLs).map((url) => url.replace("http://", ""));
    assert.deepEqual(urls.sort(), [...ctl.system.grpc].sort(), "the URLs of gRPC, asked by gRPC");
    assert.match(await ctl.ok("member", "list", "-w", "table"), /IS LEARNER/);
  },
  "member add, update, remove": async (ctl) => {
    await ctl.refused(/member not found/, "member", "remove", "abcdef");
    if (ctl.system.name === "coracle") {
      await ctl.refused(
        /a member of coracle adds itself/,
        "member",
        "add",
        "x",
        "--peer-urls=http://127.0.0.1:9",
      );
      throw new NotHere("a member of coracle adds itself when it is started with --join");
    }
    const added = await ctl.ok("member", "add", "late", "--learner", "--peer-urls=http://127.0.0.1:9");
    const id = /^Member +([0-9a-f]+) added to cluster/.exec(added)?.[1] ?? "";
    assert.notEqual(id, "", added);
    assert.ok((await memberList(ctl)).some((member) => member.id === id));
    assert.match(await ctl.ok("member", "update", id, "--peer-urls=http://127.0.0.1:10"), /updated/);
    await ctl.refused(/learner/, "member", "promote", id);
    assert.match(await ctl.ok("member", "remove", id), /removed from cluster/);
    assert.equal((await memberList(ctl)).length, 3);
  },
  "endpoint health, status, hashkv": async (ctl) => {
    await ctl.ok("endpoint", "health");
    await ctl.ok("endpoint", "health", "--cluster");
    const statuses = await ctl.json<
      { Status: { header: { member_id: number }; leader: number; version: string } }[]
    >("endpoint", "status", "--cluster");
    assert.equal(statuses.length, 3);
    assert.equal(new Set(statuses.map(({ Status }) => Status.leader)).size, 1);
    assert.ok(statuses.every(({ Status }) => /^\d+\.\d+\.\d+$/.test(Status.version)));
    await ctl.ok("get", "x");
    const { header } = await ctl.json<{ header: { revision: number } }>("get", "x");
    const hashes = await ctl.json<{ HashKV: { hash: number } }[]>(
      "endpoint",
      "hashkv",
      "--cluster",
      `--rev=${header.revision}`,
    );
    assert.equal(new Set(hashes.map(({ HashKV }) => HashKV.hash)).size, 1, "members agree on the hash");
  },
  alarm: async (ctl) => {
    assert.equal(await ctl.ok("alarm", "list"), "");
    assert.equal(await ctl.ok("alarm", "disarm"), "");
  },
  defrag: async (ctl) => {
    assert.match(await ctl.ok("defrag"), /Finished defragmenting etcd member/);
    assert.match(await ctl.ok("defrag", "--cluster"), /Finished defragmenting etcd member/);
  },
  "move-leader": async (ctl) => {
    const leader = await ctl.system.leader();
    const follower = ctl.system.grpc.find((endpoint) => endpoint !== leader) ?? "";
    const target = (await memberList(ctl)).find(({ clientUrls }) => clientUrls.endsWith(follower))?.id ?? "";
    const wrong = await ctl.run(["move-leader", target], { endpoints: [follower] });
    assert.match(wrong.stderr, /no leader endpoint given|not leader/);
    const moved = await ctl.run(["move-leader", target]);
    assert.equal(moved.code, 0, moved.stderr);
    assert.match(moved.stdout, /Leadership transferred from/);
    assert.equal(await ctl.system.leader(), follower);
    const unknown = await ctl.run(["move-leader", "abcdef"]);
    assert.match(unknown.stderr, /bad leader transferee/);
  },
  "snapshot save": async (ctl) => {
    const path = join(scratchFolder(), "snapshot");
    const { code, stdout, stderr } = await ctl.run(["snapshot", "save", path], {
      endpoints: ctl.system.grpc.slice(0, 1),
    });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /Snapshot saved at/);
    assert.ok(statSync(path).size > 4096);
    if (ctl.system.name === "etcd") await ctl.ok("snapshot", "status", path);
  },
  "make-mirror": async (ctl) => {
    await ctl.ok("put", "mm/a", "1");
    const [destination = ""] = ctl.system.grpc.slice(1);
    const mirror = ctl.background(["make-mirror", "--prefix=mm/", "--dest-prefix=copy/", destination]);
    const watch = ctl.background(["watch", "copy/", "--prefix", "--rev=1"]);
    const copied = async (key: string, value: string) => {
      for (let attempt = 0; attempt < 100; attempt++) {
        if ((await ctl.ok("get", key, "--print-value-only")).trim() === value) return;
      }
      assert.fail(`${key} is not ${value || "deleted"}; the mirror printed: ${mirror.output}`);
    };
    await copied("copy/a", "1");
    await ctl.ok("put", "mm/b", "2");
    await copied("copy/b", "2");
    await ctl.ok("del", "mm/a");
    await copied("copy/a", "");
    await watch.stop();
    await mirror.stop();
  },
  "auth while it is off": async (ctl) => {
    // A client that was given a name goes on without one.
    await ctl.ok("--user=somebody:secret", "put", "au/a", "1");
    if (ctl.system.name === "coracle") {
      await ctl.refused(/authentication is not enabled/, "user", "list");
      await ctl.refused(/authentication is not enabled/, "auth", "enable");
    } else {
      assert.equal(await ctl.ok("user", "list"), "");
      await ctl.refused(/root user does not exist/, "auth", "enable");
    }
  },
  "leader killed": async (ctl) => {
    const watch = ctl.background(["watch", "kl/", "--prefix"]);
    // It tells what comes after it is there, and does not say when that is.
    await until("the watch is there", async () => {
      await ctl.ok("put", "kl/a", "1");
      return watch.output.includes("kl/a");
    });
    await ctl.system.killLeader();
    // The first may end as timed out, which leaves open whether it happened: a put may be sent again.
    await until("a put without the leader", async () => (await ctl.run(["put", "kl/b", "2"])).code === 0);
    const puts = (await ctl.json<{ kvs: { version: number }[] }>("get", "kl/b")).kvs[0]?.version;
    await watch.shows("kl/b", 20_000);
    await ctl.system.restart();
    await watch.stop();
    assert.equal(watch.output.match(/kl\/b/g)?.length, puts, "each event once");
  },
};

export const slow: Readonly<Record<string, (ctl: Etcdctl) => Promise<void>>> = {
  "check perf": async (ctl) => {
    await passes(ctl, "perf");
  },
  "check datascale": async (ctl) => {
    if (ctl.system.name === "coracle") {
      throw new NotHere("it reads /metrics at the gRPC port; coracle's are at the HTTP port");
    }
    await passes(ctl, "datascale");
  },
};

/** Its verdicts are about speed: a machine that is busy with other things fails both systems. */
async function passes(ctl: Etcdctl, check: "perf" | "datascale"): Promise<void> {
  const { stdout, stderr } = await ctl.run(["check", check, "--load=s"], { timeoutMs: 120_000 });
  const verdicts = `${stdout}${stderr}`.match(/(PASS|FAIL|ERROR).*/gi) ?? [];
  assert.equal(verdicts.at(-1), "PASS", verdicts.join("; "));
}
