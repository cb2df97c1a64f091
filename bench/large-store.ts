import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { temporaryFolder } from "../test/e2e/cluster.ts";
import { faces } from "./faces.ts";
import { measure } from "./measure.ts";
import { memory, settle } from "./proc.ts";
import { startCoracle } from "./system-coracle.ts";
import { startEtcd } from "./system-etcd.ts";
import type { Face, System } from "./types.ts";

/*
 * What a large store costs: memory of the members, the time of a restart until every member serves
 * again, and writes and reads beside those of a small store of the same run.
 */

const value = "coracle carries 256 bytes here. ".repeat(8);
const smallKeys = 10_000;
const putsATransaction = 100;
const keyOf = (index: number): string => `bench/${String(index).padStart(8, "0")}`;

interface Figures {
  readonly putPerSecond: number;
  readonly getPerSecond: number;
  readonly getP999Ms: number;
}

async function load(system: System, face: Face, keyCount: number, folder: string): Promise<Figures> {
  const keys = Array.from({ length: keyCount }, (_, index) => keyOf(index));
  const fixed = { system, face, keys, value, folder, inFlight: 64, warmSeconds: 3, seconds: 8 };
  const put = await measure({ ...fixed, operation: "put" });
  const get = await measure({ ...fixed, operation: "get" });
  return { putPerSecond: put.perSecond, getPerSecond: get.perSecond, getP999Ms: get.p999Ms };
}

/** Puts keys in transactions by the JSON gateway, which both systems have. */
async function fillUp(system: System, from: number, to: number): Promise<void> {
  const target = (await system.leader())["http/1.1"];
  let next = from;
  const work = async (): Promise<void> => {
    while (next < to) {
      const first = next;
      next = Math.min(to, next + putsATransaction);
      const success = Array.from({ length: next - first }, (_, index) => ({
        request_put: { key: btoa(keyOf(first + index)), value: btoa(value) },
      }));
      const body = JSON.stringify({ success });
      const response = await fetch(`http://${target}/v3/kv/txn`, { method: "POST", body });
      if (!response.ok)
        throw new Error(`${system.name}: a fill ended ${response.status} ${await response.text()}`);
      await response.arrayBuffer();
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

async function measureSystem(
  start: () => Promise<System>,
  face: Face,
  keys: number,
  folder: string,
): Promise<{ name: string; small: Figures; large: Figures; residentMiB: number; restartMs: number }> {
  const system = await start();
  console.log(`${system.name}: ${smallKeys} keys`);
  await fillUp(system, 0, smallKeys);
  const small = await load(system, face, smallKeys, folder);
  console.log(`${system.name}: ${keys} keys`);
  await fillUp(system, smallKeys, keys);
  await settle(system.pids);
  const { residentMiB } = memory(system.pids);
  const large = await load(system, face, keys, folder);
  await settle(system.pids);
  await system.stopAll();
  const startedAt = performance.now();
  await system.restart();
  const restartMs = performance.now() - startedAt;
  await system.stop();
  return { name: `${system.name} ${system.version}`, small, large, residentMiB, restartMs };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      keys: { type: "string", default: "1000000" },
      out: { type: "string", default: resolve(import.meta.dirname, "RESULTS-large-store.md") },
    },
  });
  const keys = Number(values.keys);
  const folder = temporaryFolder("large-store");
  const ours = await measureSystem(startCoracle, faces.coracleWrk, keys, folder);
  const theirs = await measureSystem(() => startEtcd(join(folder, "etcd")), faces.gatewayWrk, keys, folder);
  const row = (one: typeof ours): string =>
    `| ${one.name} | ${one.residentMiB.toFixed(0)} | ${one.restartMs.toFixed(0)} | ` +
    `${one.small.putPerSecond.toFixed(0)} | ${one.large.putPerSecond.toFixed(0)} | ` +
    `${one.small.getPerSecond.toFixed(0)} | ${one.large.getPerSecond.toFixed(0)} | ${one.large.getP999Ms.toFixed(1)} |`;
  const verdict = (what: string, ratio: number, limit: number, atLeast: boolean): string => {
    const met = atLeast ? ratio >= limit : ratio <= limit;
    return `- ${what}: ${ratio.toFixed(2)}x, wanted ${atLeast ? "at least" : "at most"} ${limit}x: ${met ? "reached" : "**missed**"}`;
  };
  const text = [
    `# ${keys.toLocaleString("en")} keys of 256 bytes`,
    "",
    `Written by \`npm run bench:large-store\` on ${new Date().toISOString().slice(0, 10)}: three members of each on one machine, one system after the other; wrk, 64 connections, random keys, etcd by its gateway. RSS is the sum of the members after the fill; the restart is of all members at once, until each serves.`,
    "",
    `| who | RSS MiB | restart ms | PUT/s, ${smallKeys} keys | PUT/s, all keys | GET/s, ${smallKeys} keys | GET/s, all keys | GET p99.9 ms |`,
    "|---|--:|--:|--:|--:|--:|--:|--:|",
    row(ours),
    row(theirs),
    "",
    verdict("RSS against etcd", ours.residentMiB / theirs.residentMiB, 0.25, false),
    verdict("Restart against etcd", ours.restartMs / theirs.restartMs, 0.15, false),
    verdict("PUT with all keys against few", ours.large.putPerSecond / ours.small.putPerSecond, 0.8, true),
    "",
  ].join("\n");
  console.log(text);
  writeFileSync(values.out, text);
  process.exit(0);
}

await main();
