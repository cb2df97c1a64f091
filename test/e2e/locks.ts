import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { getJson } from "./client.ts";
import { Cluster, coracleCommand } from "./cluster.ts";
import { ManagedProcess, runToEnd } from "./process.ts";
import { type Report, runScript } from "./report.ts";
import { until } from "./wait.ts";

/**
 * Processes that contend for a lock by `coracle lock` while leaders are killed: never two at once, the
 * fencing revision rises from holder to holder, and none is refused although the cluster serves again.
 */

const contenders = 4;

/** What runs under the lock. `mkdir` is atomic: it fails when another holder is at work. */
const program = `
cd "$1" || exit 9
mkdir held 2>/dev/null || echo overlap >> overlaps
n=$(cat count)
sleep 0.02
echo $((n + 1)) > count
echo "$CORACLE_LOCK_REVISION" >> revisions
rmdir held
`;

interface Contention {
  readonly folder: string;
  runs: number;
  readonly failures: string[];
}

async function contend(
  cluster: Cluster,
  at: number,
  contention: Contention,
  ending: () => boolean,
): Promise<void> {
  // Each begins at another member.
  const endpoints = [...cluster.endpoints.slice(at % 3), ...cluster.endpoints.slice(0, at % 3)].join(",");
  while (!ending()) {
    const command = [
      ...coracleCommand(),
      "lock",
      "job",
      "--ttl",
      "20",
      "--timeout",
      "20s",
      "--endpoints",
      endpoints,
    ];
    const ended = await runToEnd([...command, "--", "sh", "-c", program, "sh", contention.folder], {
      timeoutMs: 60_000,
    });
    if (ended.code === 0) contention.runs++;
    else contention.failures.push(`exit code ${ended.code}: ${ended.stderr.trim()}`);
  }
}

async function leaderKills(cluster: Cluster, report: Report, rounds: number): Promise<void> {
  const folder = join(cluster.folder, "work");
  mkdirSync(folder);
  writeFileSync(join(folder, "count"), "0\n");
  writeFileSync(join(folder, "revisions"), "");
  writeFileSync(join(folder, "overlaps"), "");
  const contention: Contention = { folder, runs: 0, failures: [] };
  let ending = false;
  const working = Array.from({ length: contenders }, (_, at) =>
    contend(cluster, at, contention, () => ending),
  );
  const more = async (what: string): Promise<void> => {
    const before = contention.runs;
    await until(what, () => contention.runs >= before + 2 * contenders, { timeoutMs: 90_000 });
  };
  await more("the lock goes round");
  for (let round = 1; round <= rounds; round++) {
    const leader = await cluster.leader();
    await leader.kill();
    await cluster.leader();
    leader.start();
    await leader.ready();
    await more(`the lock goes round after kill ${round}`);
    report.check(
      true,
      `the lock goes round after ${leader.name}, the leader, was killed`,
      `${contention.runs} runs`,
    );
  }
  ending = true;
  await Promise.all(working);
  const lines = (name: string): string[] =>
    readFileSync(join(folder, name), "utf8")
      .split("\n")
      .filter((line) => line !== "");
  const revisions = lines("revisions").map(Number);
  report.equal(lines("overlaps"), [], "never two held it at once");
  report.equal(contention.failures, [], "none was refused");
  report.equal(Number(lines("count")[0]), contention.runs, "no increment under the lock was lost");
  const rising = revisions.every((revision, index) => index === 0 || revision > (revisions[index - 1] ?? 0));
  report.check(rising, "the fencing revision rises from holder to holder", `${revisions.length} holders`);
}

async function nothingLeft(cluster: Cluster, report: Report): Promise<void> {
  const endpoint = cluster.endpoints[0] ?? "";
  const claims = (await getJson(endpoint, "/v1/kv?prefix=job/&count_only=true")) as { count: number };
  const leases = (await getJson(endpoint, "/v1/leases")) as { leases: unknown[] };
  report.equal([claims.count, leases.leases.length], [0, 0], "no claim and no lease is left behind");
}

/** A holder that dies without a word keeps the lock for its lease's time, no longer. */
async function holderKilled(cluster: Cluster, report: Report): Promise<void> {
  const endpoints = cluster.endpoints.join(",");
  const lock = [...coracleCommand(), "lock", "dying", "--endpoints", endpoints];
  const holder = new ManagedProcess({
    command: [...lock, "--ttl", "3"],
    logPath: join(cluster.folder, "holder.log"),
  });
  await until("the lock is held", async () => {
    const { holder: held } = (await getJson(cluster.endpoints[0] ?? "", "/v1/locks/dying")) as {
      holder: unknown;
    };
    return held !== null;
  });
  await holder.stop();
  const startMs = performance.now();
  const next = await runToEnd([...lock, "--wait", "20s", "--", "true"], { timeoutMs: 30_000 });
  report.equal(next.code, 0, "a holder that is killed loses the lock to the next");
  report.note(`${(performance.now() - startMs).toFixed(0)} ms after it was killed, with a TTL of 3 s`);
}

await runScript(async (report) => {
  const { values } = parseArgs({ options: { short: { type: "boolean", default: false } } });
  const cluster = await Cluster.start({ label: "locks" });
  report.onFailure(() => cluster.showLogs());
  await report.part("leaders killed", () => leaderKills(cluster, report, values.short ? 1 : 4));
  await report.part("what is left", () => nothingLeft(cluster, report));
  await report.part("a holder killed", () => holderKilled(cluster, report));
  await cluster.stop();
});
