import { parseArgs } from "node:util";
import { Cluster, type Member } from "./cluster.ts";
import { LeaseClient, LeaseHolder } from "./lease-holder.ts";
import { type Report, runScript } from "./report.ts";
import { pause, until } from "./wait.ts";

/**
 * Leases of a compiled cluster while leaders are killed and stopped: what is renewed lives on, with its
 * keys, and what is not renewed ends, on every member.
 */

const ttlMs = 8000;
/** From the last promise to the end, when no leader changed: an election, a portion, a round trip. */
const lateMsMax = 4000;

async function keyCount(member: Member, prefix: string): Promise<number> {
  const client = new LeaseClient([member.endpoint]);
  const path = `/v1/kv?prefix=${prefix}&count_only=true&consistency=serializable`;
  const answer = await client.ask("GET", path);
  client.close();
  return Number(answer?.document.count ?? Number.NaN);
}

/** Waits until the keys are gone everywhere, and says how long that took. */
async function gone(cluster: Cluster, prefix: string, timeoutMs: number): Promise<number> {
  const startMs = performance.now();
  for (const member of cluster.members) {
    const left = timeoutMs - (performance.now() - startMs);
    await until(
      `no key under ${prefix} at ${member.name}`,
      async () => (await keyCount(member, prefix)) === 0,
      {
        timeoutMs: Math.max(1, left),
        everyMs: 50,
      },
    );
  }
  return performance.now() - startMs;
}

async function leaseCount(member: Member): Promise<number> {
  const answer = await fetch(`http://${member.endpoint}/metrics`);
  return Number(/^coracle_leases (\d+)$/m.exec(await answer.text())?.[1] ?? Number.NaN);
}

async function leaderChanges(cluster: Cluster, report: Report, rounds: number): Promise<void> {
  const holders = Array.from(
    { length: 12 },
    (_, at) => new LeaseHolder(cluster.endpoints, `held/${at}`, ttlMs),
  );
  await Promise.all(holders.map((holder) => holder.grant()));
  for (const holder of holders) holder.keep();
  for (let round = 1; round <= rounds; round++) {
    // Leases that nobody renews: their time begins before the leader dies.
    const left = new LeaseHolder(cluster.endpoints, `left/${round}`, ttlMs);
    await left.grant();
    const leader = await cluster.leader();
    const paused = round % 2 === 0;
    if (paused) {
      // Longer than the TTL: its own clock says that all leases are over.
      leader.process.signal("SIGSTOP");
      await pause(ttlMs + 2000);
      leader.process.signal("SIGCONT");
    } else {
      await leader.kill();
      await cluster.leader();
      leader.start();
      await leader.ready();
    }
    const renewed = holders.map(({ renewals }) => renewals);
    await until(
      "each lease renewed after the fault",
      () => holders.every(({ renewals, broken }, at) => renewals > (renewed[at] ?? 0) || broken.length > 0),
      { timeoutMs: 2 * ttlMs },
    );
    const what = `round ${round}: ${leader.name} ${paused ? "stopped for longer than the TTL" : "killed"}`;
    const broken = [...holders, left].flatMap((holder) =>
      holder.broken.map((text) => `${holder.key}: ${text}`),
    );
    report.check(broken.length === 0, `${what}: no lease ended early`, broken.slice(0, 3).join("; "));
    // A new leader gives it all of its time once more.
    await gone(cluster, `left/${round}`, 2 * ttlMs + lateMsMax);
    report.check(true, `${what}: what nobody renewed is over`);
    left.client.close();
  }
  await Promise.all(holders.map((holder) => holder.stop()));
  const promisedMs = Math.max(...holders.map(({ promisedUntilMs }) => promisedUntilMs));
  const early = holders.map((holder) => holder.look());
  await Promise.all(early);
  await gone(cluster, "held/", ttlMs + lateMsMax);
  const lateMs = performance.now() - promisedMs;
  report.check(
    lateMs < lateMsMax,
    "all end when nobody renews them",
    `${lateMs.toFixed(0)} ms after the last promise`,
  );
  const broken = holders.flatMap((holder) => holder.broken);
  report.check(broken.length === 0, "and none of them early", broken.slice(0, 3).join("; "));
  for (const holder of holders) holder.client.close();
}

async function flood(cluster: Cluster, report: Report): Promise<void> {
  const count = 2000;
  const client = new LeaseClient(cluster.endpoints);
  const clients = Array.from({ length: 16 }, () => new LeaseClient(cluster.endpoints));
  let next = 0;
  await Promise.all(
    clients.map(async (own) => {
      for (let at = next++; at < count; at = next++) {
        const { document } = await own.insist("POST", "/v1/leases", { ttl: 5 }, [201]);
        await own.insist("PUT", `/v1/kv/flood/${at}?lease=${document.id}`, "x", [200, 201]);
      }
      own.close();
    }),
  );
  const leader = await cluster.leader();
  const tookMs = await gone(cluster, "flood/", 5000 + count + lateMsMax);
  report.check(
    true,
    `${count} leases end by themselves`,
    `${(tookMs / 1000).toFixed(1)} s after the last grant`,
  );
  for (const member of cluster.members) {
    await until(`no lease at ${member.name}`, async () => (await leaseCount(member)) === 0);
  }
  report.note(`the leader was ${leader.name}, and is ${(await cluster.leader()).name}`);
  client.close();
}

async function manyKeys(cluster: Cluster, report: Report): Promise<void> {
  const count = 10_000;
  const client = new LeaseClient(cluster.endpoints);
  const { document } = await client.insist("POST", "/v1/leases", { ttl: 600 }, [201]);
  for (let at = 0; at < count; at += 100) {
    const success = Array.from({ length: 100 }, (_, j) => {
      return { type: "put", key: `many/${at + j}`, value: "x", lease: document.id };
    });
    await client.insist("POST", "/v1/txn", { success }, [200]);
  }
  const leader = await cluster.leader();
  const startMs = performance.now();
  const { document: revoked } = await client.insist("DELETE", `/v1/leases/${document.id}`, undefined, [200]);
  const tookMs = performance.now() - startMs;
  report.check(true, `a lease with ${count} keys is revoked`, `${tookMs.toFixed(0)} ms`);
  const read = await client.insist("GET", "/v1/kv?prefix=many/&count_only=true", undefined, [200]);
  report.equal([read.document.count, read.document.revision], [0, revoked.revision], "at one revision");
  await gone(cluster, "many/", 10_000);
  report.note(`the leader was ${leader.name}, and is ${(await cluster.leader()).name}`);
  client.close();
}

await runScript(async (report) => {
  const { values } = parseArgs({ options: { short: { type: "boolean", default: false } } });
  const cluster = await Cluster.start({ label: "leases" });
  report.onFailure(() => cluster.showLogs());
  await report.part("leases with many keys", () => manyKeys(cluster, report));
  await report.part("a flood of leases", () => flood(cluster, report));
  await report.part("changes of leader", () => leaderChanges(cluster, report, values.short ? 2 : 6));
  await cluster.stop();
});
