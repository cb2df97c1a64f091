import { join } from "node:path";
import { runToEnd } from "../test/e2e/process.ts";
import type { Pair } from "./faces.ts";
import { keyOf, benchValue as value } from "./fill.ts";
import { runLoad } from "./load.ts";
import { type Measurement, measure, probe } from "./measure.ts";
import type { PartOptions } from "./part.ts";
import { startSystem } from "./systems.ts";
import type { Face, Operation, System, SystemName } from "./types.ts";

/** An operation, at some loads, by some faces side by side: a table of the results. */
export interface Workload {
  readonly operation: Operation;
  readonly title: string;
  readonly runs: readonly {
    readonly inFlight: readonly number[];
    readonly pairs: readonly Pair[];
  }[];
}

export interface ThroughputPlan {
  readonly systems: readonly SystemName[];
  readonly workloads: readonly Workload[];
}

/** What a round measured. */
export interface Round extends Measurement {
  readonly round: number;
}

export interface Throughput extends ThroughputPlan {
  readonly rounds: readonly Round[];
  readonly versions: Readonly<Record<string, string>>;
  readonly tools: string;
  readonly keyCount: number;
  readonly repeats: number;
  readonly seconds: number;
}

const keyCount = 10_000;
const keys = Array.from({ length: keyCount }, (_, index) => keyOf(index));

/** Starts three members of each system, measures all workloads in rounds, and ends the members. */
export async function measureThroughput(plan: ThroughputPlan, options: PartOptions): Promise<Throughput> {
  const { folder, log, repeats, seconds } = options;
  const tools = await toolVersions();
  const systems = new Map<SystemName, System>();
  try {
    for (const name of plan.systems) {
      log(`starting three ${name} members`);
      systems.set(name, await startSystem(name, join(folder, name)));
    }
    for (const system of systems.values()) await system.fill(keyCount);
    await probeAll(plan, systems);
    await warmUp(plan, systems, options);
    const rounds: Round[] = [];
    for (let round = 1; round <= repeats; round++) {
      for (const workload of plan.workloads) {
        rounds.push(...(await measureRound(workload, round, systems, options)));
      }
    }
    const versions = Object.fromEntries([...systems].map(([name, system]) => [name, system.version]));
    return { ...plan, rounds, versions, tools, keyCount, repeats, seconds };
  } finally {
    for (const system of systems.values()) await system.stop();
  }
}

async function measureRound(
  { operation, runs }: Workload,
  round: number,
  systems: ReadonlyMap<SystemName, System>,
  { quick, repeats, seconds, folder, log }: PartOptions,
): Promise<Round[]> {
  const measured: Round[] = [];
  for (const { inFlight, faces } of cellsOf(runs)) {
    // Every other round in reverse, so that nobody always goes first.
    for (const face of round % 2 === 1 ? faces : faces.toReversed()) {
      const system = systemOf(systems, face);
      if (system === undefined) continue;
      const given = { system, face, operation, inFlight, seconds, keys, value, folder };
      const one = await measure({ ...given, warmSeconds: quick ? 0 : 1 });
      measured.push({ ...one, round });
      log(lineOf(`${round}/${repeats}`, one));
    }
  }
  return measured;
}

/** The loads in ascending order, each with its faces once in the order of the pairs. */
export function cellsOf(runs: Workload["runs"]): { inFlight: number; faces: Face[] }[] {
  const loads = [...new Set(runs.flatMap(({ inFlight }) => inFlight))].sort((a, b) => a - b);
  return loads.map((inFlight) => {
    const here = runs.filter((run) => run.inFlight.includes(inFlight)).flatMap((run) => run.pairs);
    return { inFlight, faces: [...new Set(here.flatMap(({ ours, theirs }) => [ours, theirs]))] };
  });
}

function facesOf({ workloads }: ThroughputPlan): Set<Face> {
  return new Set(workloads.flatMap(({ runs }) => cellsOf(runs).flatMap(({ faces }) => faces)));
}

/** Shows for each face and each of its operations that the requests do what the load takes for granted. */
async function probeAll(plan: ThroughputPlan, systems: ReadonlyMap<SystemName, System>): Promise<void> {
  for (const face of facesOf(plan)) {
    const system = systemOf(systems, face);
    // The prototype cannot read back what it was given.
    if (system === undefined || face.system === "prototype") continue;
    const operations = plan.workloads
      .filter(({ runs }) => cellsOf(runs).some(({ faces }) => faces.includes(face)))
      .map(({ operation }) => operation);
    await probe(system, face, operations);
  }
}

/** Puts to each system, so that compilers at run time have done their work as in a server of some age. */
async function warmUp(
  plan: ThroughputPlan,
  systems: ReadonlyMap<SystemName, System>,
  { quick, folder, log }: PartOptions,
): Promise<void> {
  for (const face of facesOf(plan)) {
    const system = systemOf(systems, face);
    if (system === undefined) continue;
    // Ten seconds a system; a second face of it shares most of the code.
    const first = [...facesOf(plan)].find((other) => other.system === face.system) === face;
    const seconds = quick ? 1 : first ? 10 : 3;
    log(`warming up ${face.name} with ${face.tool} for ${seconds} s`);
    const target = (await system.leader())[face.protocol];
    await runLoad({ face, operation: "put", target, inFlight: 64, keys, value, folder, seconds });
  }
}

function systemOf(systems: ReadonlyMap<SystemName, System>, face: Face): System | undefined {
  return systems.get(face.system);
}

function lineOf(round: string, { operation, inFlight, face, ...one }: Measurement): string {
  return (
    `${round} ${operation} ${String(inFlight).padStart(4)}  ${face.name.padEnd(15)} ${face.tool.padEnd(7)} ` +
    `${one.perSecond.toFixed(0).padStart(7)}/s  p50 ${one.p50Ms.toFixed(2)} ms  p99 ${one.p99Ms.toFixed(2)} ms  ` +
    `cpu ${one.cpuMicroseconds.toFixed(0)} us  rss ${one.memory.residentMiB.toFixed(0)} MiB`
  );
}

async function toolVersions(): Promise<string> {
  const wrk = await firstWords("wrk", "--version");
  const h2load = await firstWords("h2load", "--version");
  return `${wrk}, ${h2load}`;
}

/** Name and version. @throws Error when the program is not installed. */
async function firstWords(program: string, flag: string): Promise<string> {
  const { code, stdout, stderr } = await runToEnd([program, flag]);
  if (code === 127)
    throw new Error(`${program} is not installed; Debian has it in ${packages[program] ?? program}`);
  return (stdout || stderr).split("\n")[0]?.split(/\s+/).slice(0, 2).join(" ") ?? program;
}

const packages: Readonly<Record<string, string>> = { wrk: "wrk", h2load: "nghttp2-client" };
