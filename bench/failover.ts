import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { temporaryFolder } from "../test/e2e/cluster.ts";
import { pause, until } from "../test/e2e/wait.ts";
import { faces } from "./faces.ts";
import { median } from "./report.ts";
import { startCoracle } from "./system-coracle.ts";
import { startEtcd } from "./system-etcd.ts";
import type { System } from "./types.ts";

/*
 * How long nothing can be written after the leader is killed: a client writes through a member that
 * stays, over and over, and the gap is from the kill to the first write that was sent after it and
 * answered with success. Both systems with their default timeouts (heartbeat 100 ms, election 1 s).
 */

const requestTimeoutMs = 3_000;

/** Milliseconds without a successful write. */
async function gapAfterKill(system: System, survivor: string, round: number): Promise<number> {
  const face = system.name === "coracle" ? faces.coracleWrk : faces.gatewayWrk;
  const killedAt = performance.now();
  await system.killLeader();
  for (let attempt = 0; ; attempt++) {
    if (performance.now() - killedAt > 30_000) throw new Error(`${system.name}: no write in 30 s`);
    const { method, path, headers, body } = face.request("put", "bench/failover", `${round} ${attempt}`);
    try {
      const response = await fetch(`http://${survivor}${path}`, {
        method,
        headers,
        body: Buffer.from(body),
        signal: AbortSignal.timeout(requestTimeoutMs),
      });
      await response.arrayBuffer();
      if (response.ok) return performance.now() - killedAt;
    } catch {
      // Refused or too late: again.
    }
    await pause(5);
  }
}

/** `host:port` of a member that does not lead. */
async function survivorOf(system: System, endpoints: readonly string[]): Promise<string> {
  const leader = (await system.leader())["http/1.1"];
  const other = endpoints.find((endpoint) => endpoint !== leader);
  if (other === undefined) throw new Error(`${system.name} has no other member`);
  return other;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "20" },
      out: { type: "string", default: resolve(import.meta.dirname, "RESULTS-failover.md") },
    },
  });
  const rounds = Number(values.rounds);
  const folder = temporaryFolder("failover");
  const systems = [await startCoracle(), await startEtcd(join(folder, "etcd"))];
  const gaps = new Map<System, number[]>(systems.map((system) => [system, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const system of systems) {
      const survivor = await survivorOf(system, system.endpoints);
      const gap = await gapAfterKill(system, survivor, round);
      gaps.get(system)?.push(gap);
      console.log(`${round}/${rounds} ${system.name} ${gap.toFixed(0)} ms`);
      await system.restart();
      // The next kill shall find three members that know each other.
      await until(`${system.name} leads`, async () => (await system.leader())["http/1.1"] !== "");
      await pause(1_500);
    }
  }
  const lines = systems.map((system) => {
    const own = (gaps.get(system) ?? []).toSorted((a, b) => a - b);
    const at = (share: number): string =>
      (own[Math.floor((own.length - 1) * share)] ?? Number.NaN).toFixed(0);
    return `| ${system.name} ${system.version} | ${at(0)} | ${median(own).toFixed(0)} | ${at(0.9)} | ${at(1)} |`;
  });
  const [ours = Number.NaN, theirs = Number.NaN] = systems.map((system) => median(gaps.get(system) ?? []));
  const text = [
    "# No writes after kill -9 of the leader",
    "",
    `Written by \`npm run bench:failover\` on ${new Date().toISOString().slice(0, 10)}: ${rounds} kills each, in turn, three members each on one machine, default timeouts (heartbeat 100 ms, election 1 s). From the kill to the first answered write through a member that stays, in ms.`,
    "",
    "| who | least | median | 9 of 10 | longest |",
    "|---|--:|--:|--:|--:|",
    ...lines,
    "",
    `Medians: ${(ours / theirs).toFixed(2)}x of etcd's; wanted at most 0.2x: ${ours / theirs <= 0.2 ? "reached" : "**missed**"}.`,
    "",
  ].join("\n");
  console.log(text);
  writeFileSync(values.out, text);
  for (const system of systems) await system.stop();
  process.exit(0);
}

await main();
