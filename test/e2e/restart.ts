import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Client, keyPath } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { Load } from "./load.ts";
import { freePorts } from "./ports.ts";
import { type Report, runScript } from "./report.ts";
import { verify } from "./verify.ts";
import { until } from "./wait.ts";

/**
 * A rolling restart by SIGTERM under load loses no request that a client may not send again and hands
 * leadership over first; a lone member starts again after kill -9, and its folder has one owner.
 */

/** The election timeout: who waits for it has no leader for at least so long. */
const handoverGapMsMax = 1_000;

async function rollingRestart(report: Report, rounds: number): Promise<void> {
  const cluster = await Cluster.start({ label: "restart" });
  report.onFailure(() => cluster.showLogs());
  let count = 0;
  const load = new Load({
    endpoints: cluster.endpoints,
    clients: 16,
    bytesPerSecond: 200_000,
    next: () => {
      const key = `restart/${++count}`;
      return { key, value: Buffer.from(key.padEnd(100, ".")) };
    },
  });
  for (let round = 1; round <= rounds; round++) {
    for (const member of cluster.members) {
      const steady = load.acknowledged.size + 300;
      await until("300 further writes", () => load.acknowledged.size >= steady);
      const before = await cluster.leader();
      const startedMs = performance.now();
      const exit = await member.terminate();
      const stoppedMs = performance.now();
      const role = before === member ? "leader" : "follower";
      const what = `round ${round}, ${member.name} (${role})`;
      report.equal(exit, { code: 0, signal: null }, `${what} ends with 0 after SIGTERM`);
      await until("a write after the stop", () => (load.acknowledgedAtMs.at(-1) ?? 0) > stoppedMs);
      member.start();
      await member.ready();
      const gapMs = load.longestGapMs(startedMs, performance.now());
      const detail = `longest gap ${gapMs.toFixed(0)} ms, stopped in ${(stoppedMs - startedMs).toFixed(0)} ms`;
      report.check(gapMs < handoverGapMsMax, `${what} hands over without an election timeout`, detail);
    }
  }
  await load.stop();
  report.check(load.refused.length === 0, "no write was refused", load.refused.slice(0, 3).join("; "));
  report.equal(Object.fromEntries(load.unknownReasons()), {}, "no write ended unknown");
  for (const [reason, times] of load.retries) report.note(`sent again ${times} times: ${reason}`);
  for (const member of cluster.members) {
    const verdict = await verify(member, load.acknowledged, "linearizable");
    const what = `${verdict.checked} acknowledged keys read from ${member.name}`;
    report.check(verdict.wrong === 0 && verdict.checked > 0, what, verdict.examples.join("; "));
  }
  await cluster.stop();
}

async function loneMember(report: Report): Promise<void> {
  const cluster = new Cluster({ label: "lone" });
  const [clientPort = 0, peerPort = 0, otherClient = 0, otherPeer = 0] = await freePorts(4);
  const member = cluster.add("lone", clientPort, peerPort, []);
  report.onFailure(() => cluster.showLogs());
  member.start();
  await member.ready();
  const tokenPath = join(member.plan.folder, "token");
  const token = readFileSync(tokenPath, "utf8").trim();
  report.equal(statSync(tokenPath).mode & 0o777, 0o600, "the token file is readable by its owner only");
  const printed = member.tail(200);
  report.check(printed.includes(tokenPath), "the first start says where the token lies");
  report.check(!printed.includes(token), "the token itself is printed to a terminal only");
  report.check(/serve .*--join/.test(printed), "a ready-made join command is printed");

  const client = new Client([member.endpoint]);
  const value = Buffer.from("kept");
  const ended = await client.put("kept", value);
  report.equal(ended.outcome, "acknowledged", "a lone member takes a write");
  const owner = cluster.add("lone-again", otherClient, otherPeer, ["--data-dir", member.plan.folder]);
  owner.start();
  await until("the end of the second process", () => !owner.running, { timeoutMs: 15_000 }).catch(
    () => false,
  );
  const second = owner.process.exit ?? { code: null };
  report.check(
    second.code !== 0 && second.code !== null,
    "a second process on the same folder ends",
    `exit ${second.code}`,
  );
  report.check(owner.tail().includes(member.plan.folder), "and names the folder", owner.tail(3));
  await owner.kill();
  report.equal((await client.read("/livez")).status, 200, "the first one lives on");

  await member.kill();
  member.start();
  await member.ready();
  const read = await client.read(keyPath("kept"));
  report.check(read.body.equals(value), "after kill -9 it starts again with its data");
  report.equal(readFileSync(tokenPath, "utf8").trim(), token, "and with the same token");
  client.close();
  await cluster.stop();
}

await runScript(async (report) => {
  const { values } = parseArgs({ options: { short: { type: "boolean", default: false } } });
  await report.part("a lone member", () => loneMember(report));
  await report.part("a rolling restart", () => rollingRestart(report, values.short ? 1 : 3));
});
