import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { temporaryFolder } from "../test/e2e/cluster.ts";
import { faces } from "./faces.ts";
import { runLoad } from "./load.ts";
import { fill, type Measurement, measure, probe } from "./measure.ts";
import { median, type Results, renderResults } from "./report.ts";
import { measureStart, type Start } from "./startup.ts";
import { startCoracle } from "./system-coracle.ts";
import { startEtcd } from "./system-etcd.ts";
import { startPrototype } from "./system-prototype.ts";
import type { Face, System, SystemName } from "./types.ts";
import { type SuiteName, suites, type Workload } from "./workloads.ts";

const usage = `npm run bench -- [options]
  --quick              one short round, for a look; writes no results
  --only SYSTEM        coracle, etcd or prototype alone; writes no results
  --suite core|wide    core: PUT and GET (default); wide: everything that has a load tool
  --in-flight 1,64     only these numbers of requests at once
  --operations put,get only these operations
  --repeats N          rounds, default 3
  --seconds N          of each measurement, default 5
  --keys N             in the store, default 10000
  --out FILE           default bench/RESULTS.md`;

function options() {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      "in-flight": { type: "string" },
      operations: { type: "string" },
      suite: { type: "string", default: "core" },
      repeats: { type: "string" },
      seconds: { type: "string" },
      keys: { type: "string", default: "10000" },
      out: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const quick = values.quick;
  return {
    systems:
      values.only === undefined ? (["coracle", "etcd", "prototype"] as const) : [systemNamed(values.only)],
    workloads: workloadsOf(
      values.suite,
      values.operations,
      values["in-flight"] ?? (quick ? "1,64" : undefined),
    ),
    repeats: Number(values.repeats ?? (quick ? 1 : 3)),
    seconds: Number(values.seconds ?? (quick ? 2 : 5)),
    firstWarmSeconds: quick ? 1 : 10,
    warmSeconds: quick ? 1 : 2,
    keys: Array.from({ length: Number(values.keys) }, (_, i) => `bench/${String(i).padStart(8, "0")}`),
    value: "coracle carries 256 bytes here. ".repeat(8),
    out: values.out ?? (quick || values.only ? undefined : resolve(import.meta.dirname, "RESULTS.md")),
  };
}

function systemNamed(name: string): SystemName {
  if (Object.hasOwn(starters, name)) return name as SystemName;
  throw new Error(`there is no system ${name}: ${Object.keys(starters).join(", ")}`);
}

function workloadsOf(
  suite: string,
  operations: string | undefined,
  inFlight: string | undefined,
): Workload[] {
  if (!Object.hasOwn(suites, suite))
    throw new Error(`there is no suite ${suite}: ${Object.keys(suites).join(", ")}`);
  const loads = inFlight?.split(",").map(Number);
  return suites[suite as SuiteName]
    .filter(({ operation }) => operations === undefined || operations.split(",").includes(operation))
    .map((workload) => ({ ...workload, inFlight: loads ?? workload.inFlight }));
}

/** Each face once, in the order of the pairs. */
function facesOf(workload: Workload, systems: ReadonlyMap<SystemName, System>): Face[] {
  const rows = new Set(workload.pairs.flatMap(({ ours, theirs }) => [ours, theirs]));
  return [...rows].filter((face) => systems.has(face.system));
}

const starters: Readonly<Record<SystemName, (folder: string) => Promise<System>>> = {
  coracle: startCoracle,
  etcd: (folder) => startEtcd(folder),
  prototype: startPrototype,
};

/** Puts to each system, so that compilers at run time have done their work as in a server of some age. */
async function warmUp(
  systems: ReadonlyMap<SystemName, System>,
  { firstWarmSeconds, keys, value }: ReturnType<typeof options>,
  folder: string,
): Promise<void> {
  for (const face of [faces.coracleWrk, faces.gatewayWrk, faces.grpcH2load, faces.prototypeWrk]) {
    const system = systems.get(face.system);
    if (system === undefined) continue;
    const target = (await system.leader())[face.protocol];
    const load = { face, operation: "put", target, inFlight: 64, keys, value, folder } as const;
    await runLoad({ ...load, seconds: firstWarmSeconds });
  }
}

async function main(): Promise<void> {
  const chosen = options();
  const folder = temporaryFolder("bench");
  const systems = new Map<SystemName, System>();
  for (const name of chosen.systems) {
    console.log(`starting three ${name} members`);
    systems.set(name, await starters[name](join(folder, name)));
  }
  for (const system of systems.values()) await fill(system, chosen.keys, chosen.value);
  const used = new Set(chosen.workloads.flatMap((workload) => facesOf(workload, systems)));
  // The prototype cannot read back what it was given.
  for (const face of used) if (face.system !== "prototype") await probe(systemOf(systems, face), face);
  await warmUp(systems, chosen, folder);

  const measurements: Measurement[] = [];
  for (let repeat = 1; repeat <= chosen.repeats; repeat++) {
    for (const workload of chosen.workloads) {
      const { operation } = workload;
      const rows = facesOf(workload, systems);
      for (const inFlight of workload.inFlight) {
        // Every other round in reverse, so that nobody always goes first.
        for (const face of repeat % 2 === 1 ? rows : rows.toReversed()) {
          const system = systemOf(systems, face);
          const { warmSeconds, seconds, keys, value } = chosen;
          const fixed = { system, warmSeconds, seconds, keys, value, folder };
          const one = await measure({ ...fixed, face, operation, inFlight });
          measurements.push(one);
          console.log(lineOf(`${repeat}/${chosen.repeats}`, one));
        }
      }
    }
  }
  for (const system of systems.values()) await system.stop();

  const startable = chosen.systems.filter((name) => name !== "prototype");
  const starts: Start[] = [];
  for (let round = 0; round < Math.max(3, chosen.repeats); round++) {
    for (const name of startable) starts.push(await measureStart(name, folder, round));
  }
  for (const name of startable) {
    const own = starts.filter((start) => start.system === name);
    console.log(
      `${name}: first answer after ${median(own.map((s) => s.firstAnswerMs)).toFixed(0)} ms, ` +
        `idle ${median(own.map((s) => s.idle.residentMiB)).toFixed(0)} MiB resident`,
    );
  }
  const versions = Object.fromEntries([...systems].map(([name, system]) => [name, system.version]));
  const results: Results = { measurements, starts, versions, ...chosen };
  const text = await renderResults(results);
  console.log(`\n${text}`);
  if (chosen.out !== undefined) writeFileSync(chosen.out, text);
  process.exit(0);
}

function lineOf(round: string, { operation, inFlight, face, ...one }: Measurement): string {
  return (
    `${round} ${operation} ${String(inFlight).padStart(4)}  ${face.name.padEnd(15)} ${face.tool.padEnd(7)} ` +
    `${one.perSecond.toFixed(0).padStart(7)}/s  p50 ${one.p50Ms.toFixed(2)} ms  p99 ${one.p99Ms.toFixed(2)} ms  ` +
    `cpu ${one.cpuMicroseconds.toFixed(0)} us  rss ${one.memory.residentMiB.toFixed(0)} MiB`
  );
}

function systemOf(systems: ReadonlyMap<SystemName, System>, face: Face): System {
  const system = systems.get(face.system);
  if (system === undefined) throw new Error(`${face.system} is not running`);
  return system;
}

await main();
