import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { limits } from "../../src/base/limits.ts";
import { Cluster } from "./cluster.ts";
import { Load } from "./load.ts";
import { type Report, runScript } from "./report.ts";
import { readTree, type Tree } from "./tree.ts";
import { caughtUp, verify } from "./verify.ts";
import { pause, until } from "./wait.ts";

/**
 * Loads a real tree of files into three members while leaders die by kill -9, kills all three at the
 * end, and then reads every acknowledged key byte for byte from each member.
 */

const mebibyte = 1024 * 1024;
const gapMsMax = 3_000;

function options() {
  const { values } = parseArgs({
    options: {
      short: { type: "boolean", default: false },
      tree: { type: "string", default: resolve(import.meta.dirname, "../../node_modules") },
      "files-max": { type: "string" },
      "mib-max": { type: "string", default: "64" },
      "mib-per-second": { type: "string", default: "6" },
      kills: { type: "string" },
      clients: { type: "string", default: "64" },
    },
  });
  return {
    folder: values.tree,
    filesMax: Number(values["files-max"] ?? (values.short ? 600 : 20_000)),
    bytesMax: Number(values["mib-max"]) * mebibyte,
    bytesPerSecond: Number(values["mib-per-second"]) * mebibyte,
    kills: Number(values.kills ?? (values.short ? 2 : 5)),
    clients: Number(values.clients),
  };
}

/** The tree again and again, each pass under a prefix of its own, so that every key is written once. */
function endlessly(tree: Tree) {
  let taken = 0;
  return {
    next() {
      const file = tree.files[taken % tree.files.length];
      if (file === undefined) return undefined;
      const pass = Math.floor(taken++ / tree.files.length) + 1;
      return { key: join(`pass-${pass}`, file.path), value: file.content };
    },
    get wholePasses() {
      return Math.floor(taken / tree.files.length);
    },
  };
}

/** Kills the leader once; gives the time of the kill. The next may follow when all are back. */
async function killLeader(cluster: Cluster, load: Load, report: Report, number: number): Promise<number> {
  const steady = load.acknowledgedAtMs.length + 300;
  await until("300 further acknowledged writes", () => load.acknowledgedAtMs.length >= steady);
  const leader = await cluster.leader();
  const killedAtMs = performance.now();
  await leader.kill();
  await until(
    "a write acknowledged after the kill",
    () => (load.acknowledgedAtMs.at(-1) ?? 0) > killedAtMs + 100,
  );
  report.note(`kill ${number}: ${leader.name}`);
  // The other two serve alone for a while, so that the restarted one has something to catch up with.
  await pause(1_000);
  leader.start();
  await leader.ready();
  return killedAtMs;
}

await runScript(async (report) => {
  const chosen = options();
  const tree = readTree(chosen.folder, { valueBytesMax: limits.valueBytesMax, ...chosen });
  report.note(
    `${tree.files.length} files, ${(tree.bytes / mebibyte).toFixed(1)} MiB; ${tree.tooLarge} over 1.5 MiB skipped`,
  );
  const cluster = await Cluster.start({ label: "durability" });
  report.onFailure(() => cluster.showLogs());
  const source = endlessly(tree);
  const { clients, bytesPerSecond } = chosen;
  const load = new Load({ endpoints: cluster.endpoints, clients, bytesPerSecond, next: source.next });

  const killsAtMs: number[] = [];
  for (let number = 1; number <= chosen.kills; number++)
    killsAtMs.push(await killLeader(cluster, load, report, number));
  await until("the whole tree sent once", () => source.wholePasses >= 1, { timeoutMs: 120_000 });
  const loadEndsMs = performance.now();
  await Promise.all(cluster.members.map((member) => member.kill()));
  report.note("all three killed at once");
  await load.stop();

  killsAtMs.forEach((killedAtMs, i) => {
    const gapMs = load.longestGapMs(killedAtMs, killsAtMs[i + 1] ?? loadEndsMs);
    report.check(
      gapMs < gapMsMax,
      `longest gap without a write after kill ${i + 1}`,
      `${gapMs.toFixed(0)} ms`,
    );
  });
  for (const [reason, times] of load.retries) report.note(`sent again ${times} times: ${reason}`);
  for (const [reason, times] of load.unknownReasons()) report.note(`unknown ${times} times: ${reason}`);
  report.check(load.refused.length === 0, "no write was refused", load.refused.slice(0, 3).join("; "));

  for (const member of cluster.members) member.start();
  await cluster.ready();
  let lost = 0;
  for (const mode of ["linearizable", "serializable"] as const) {
    if (mode === "serializable") await caughtUp(cluster);
    for (const member of cluster.members) {
      const verdict = await verify(member, load.acknowledged, mode);
      lost = Math.max(lost, verdict.wrong);
      const what = `${verdict.checked} acknowledged keys read ${mode} from ${member.name}`;
      report.check(verdict.wrong === 0, what, verdict.examples.join("; "));
    }
  }
  const unknown = [...load.unknown].map(([key, { value }]) => [key, value] as const);
  for (const member of cluster.members) {
    const verdict = await verify(member, unknown, "linearizable", { mayBeAbsent: true });
    const what = `${verdict.checked} unknown keys on ${member.name} are whole or absent`;
    report.check(verdict.wrong === 0, what, verdict.examples.join("; "));
  }
  report.check(lost === 0 && load.acknowledged.size > 0, "no acknowledged write is lost");
  console.log(`acknowledged ${load.acknowledged.size}, lost ${lost}, unknown ${load.unknown.size}`);
  await cluster.stop();
});
