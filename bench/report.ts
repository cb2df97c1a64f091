import { cpus, release, totalmem } from "node:os";
import { runToEnd } from "../test/e2e/process.ts";
import { type Pair, pairs } from "./faces.ts";
import type { Measurement } from "./measure.ts";
import type { Start } from "./startup.ts";
import type { Face, Operation, SystemName } from "./types.ts";
import type { Workload } from "./workloads.ts";

export interface Results {
  readonly measurements: readonly Measurement[];
  readonly starts: readonly Start[];
  readonly versions: Readonly<Partial<Record<SystemName, string>>>;
  readonly repeats: number;
  readonly seconds: number;
  readonly keys: readonly string[];
  readonly workloads: readonly Workload[];
}

/** The share of the bare prototype's throughput that is asked for, in the same run. */
const shareOfPrototype = 0.8;

/**
 * What an earlier prototype reached against etcd on another machine of two cores, as ratios. The cost of
 * a wake-up against that of a computation differs between machines, so the ratio to the prototype of the same run counts more.
 */
const prototypeRatios = [
  { inFlight: 64, pair: pairs.grpc, ratio: 22_200 / 11_700 },
  { inFlight: 64, pair: pairs.gateway, ratio: 22_200 / 6_750 },
  { inFlight: 64, pair: pairs.wrk, ratio: 22_200 / 6_750 },
  { inFlight: 256, pair: pairs.grpc, ratio: 25_500 / 16_900 },
  { inFlight: 256, pair: pairs.gateway, ratio: 25_500 / 8_400 },
  { inFlight: 256, pair: pairs.wrk, ratio: 25_500 / 8_400 },
] as const;

type Figure = "perSecond" | "p50Ms" | "p99Ms" | "cpuMicroseconds";
/** What coracle wants to be against etcd: ratios, at least for throughput, at most for all others. */
const targets: readonly {
  readonly operation: Operation;
  readonly inFlight: number;
  readonly pair: Pair;
  readonly figure: Figure;
  readonly ratio: number;
}[] = [
  { operation: "put", inFlight: 64, pair: pairs.grpc, figure: "perSecond", ratio: 2 },
  { operation: "put", inFlight: 64, pair: pairs.grpc, figure: "p99Ms", ratio: 1 },
  { operation: "put", inFlight: 256, pair: pairs.grpc, figure: "perSecond", ratio: 2 },
  { operation: "put", inFlight: 256, pair: pairs.grpc, figure: "p99Ms", ratio: 1 },
  { operation: "put", inFlight: 64, pair: pairs.gateway, figure: "perSecond", ratio: 4 },
  { operation: "put", inFlight: 64, pair: pairs.gatewayToGateway, figure: "perSecond", ratio: 4 },
  { operation: "put", inFlight: 100, pair: pairs.grpcToGrpc, figure: "perSecond", ratio: 1.3 },
  { operation: "put", inFlight: 1, pair: pairs.grpc, figure: "p50Ms", ratio: 0.6 },
  { operation: "get", inFlight: 64, pair: pairs.grpc, figure: "perSecond", ratio: 5 },
  { operation: "put", inFlight: 64, pair: pairs.grpc, figure: "cpuMicroseconds", ratio: 0.6 },
];
const startMsMax = 100;
const idleMiBMax = 80;

export function median(values: readonly number[]): number {
  const ascending = values.toSorted((a, b) => a - b);
  const middle = Math.floor(ascending.length / 2);
  const upper = ascending[middle] ?? Number.NaN;
  return ascending.length % 2 === 1 ? upper : ((ascending[middle - 1] ?? Number.NaN) + upper) / 2;
}

export async function renderResults(results: Results): Promise<string> {
  const { versions, repeats, seconds, keys } = results;
  const tools = `${(await firstWords("wrk", "--version")) || "wrk"}, ${await firstWords("h2load", "--version")}`;
  const sections = [
    "# coracle beside etcd",
    `Written by \`npm run bench\` on ${new Date().toISOString().slice(0, 10)}. Three members of each on loopback of one machine that also runs the load, so what counts is the ratio of two lines, not a line.`,
    [
      `- Machine: ${cpus().length} × ${cpus()[0]?.model.trim() ?? "CPU"}, ${(totalmem() / 1024 ** 3).toFixed(0)} GiB, Linux ${release()}`,
      `- coracle ${versions.coracle ?? "not measured"} (compiled binary), etcd ${versions.etcd ?? "not measured"}, both with default timeouts; load on the leader`,
      `- Load: ${tools}, one thread: HTTP/1.1 with one request in flight on each of N connections, gRPC with N streams on one connection as its clients do (etcd is faster so). \`wrk\` draws one of ${keys.length} keys for every request; \`h2load\`, which is needed for gRPC, sends one fixed key to both. Values are 256 bytes. Ratios are made only between lines of one tool.`,
      `- Medians of ${repeats} rounds of ${seconds} s, systems in turn, the order reversed every other round. Every request was answered with success, and the store's revision rose by the number of answered puts.`,
      "- The prototype is the bare data path of a write without consensus (bench/prototype): Hono, a log with one fsync a batch, SQLite for the state, two followers.",
      "- CPU is user and system time of the three members together for one request; RSS is their sum after the load.",
    ].join("\n"),
    ...results.workloads.map((workload) => renderTable(results, workload)),
    renderVerdict(results),
    renderTargets(results),
    renderStarts(results),
  ];
  return `${sections.join("\n\n")}\n`;
}

async function firstWords(program: string, flag: string): Promise<string> {
  const { stdout, stderr } = await runToEnd([program, flag]);
  return (stdout || stderr).split("\n")[0]?.split(/\s+/).slice(0, 2).join(" ") ?? program;
}

function renderTable(
  results: Results,
  { operation, title, inFlight: loads, pairs: compared }: Workload,
): string {
  const lines = [
    `## ${title}`,
    "",
    "| in flight | tool | who | requests/s | p50 ms | p99 ms | CPU µs | RSS MiB | coracle/other: requests/s | p99 | CPU |",
    "|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
  ];
  for (const inFlight of loads) {
    for (const { ours, theirs } of compared) {
      const our = cell(results, ours, operation, inFlight);
      const their = cell(results, theirs, operation, inFlight);
      const ratio = (of: (c: Cell) => number): string =>
        our === undefined || their === undefined ? "" : `**${(of(our) / of(their)).toFixed(2)}**`;
      const ratios = [ratio((c) => c.perSecond), ratio((c) => c.p99Ms), ratio((c) => c.cpuMicroseconds)];
      if (our !== undefined) lines.push(tableLine(inFlight, ours, our, ratios));
      if (their !== undefined) lines.push(tableLine(inFlight, theirs, their, ["", "", ""]));
    }
  }
  return lines.join("\n");
}

interface Cell {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicroseconds: number;
  readonly residentMiB: number;
}

/** The medians of one cell's rounds. */
function cell(results: Results, face: Face, operation: Operation, inFlight: number): Cell | undefined {
  const rounds = results.measurements.filter(
    (one) => one.face === face && one.operation === operation && one.inFlight === inFlight,
  );
  if (rounds.length === 0) return undefined;
  const middle = (of: (one: Measurement) => number): number => median(rounds.map(of));
  return {
    perSecond: middle((one) => one.perSecond),
    p50Ms: middle((one) => one.p50Ms),
    p99Ms: middle((one) => one.p99Ms),
    cpuMicroseconds: middle((one) => one.cpuMicroseconds),
    residentMiB: middle((one) => one.memory.residentMiB),
  };
}

function tableLine(inFlight: number, face: Face, cell: Cell, ratios: readonly string[]): string {
  const numbers = [
    Math.round(cell.perSecond).toLocaleString("en"),
    cell.p50Ms.toFixed(2),
    cell.p99Ms.toFixed(2),
    cell.cpuMicroseconds.toFixed(0),
    cell.residentMiB.toFixed(0),
  ];
  return `| ${[inFlight, face.tool, face.name, ...numbers, ...ratios].join(" | ")} |`;
}

/** Side by side: within 20% of the prototype or not. */
function renderVerdict(results: Results): string {
  const lines = ["## PUT against a bare prototype of its data path", ""];
  for (const inFlight of [64, 256]) {
    for (const pair of [pairs.prototypeWrk, pairs.prototype]) {
      const reached = ratioOf(results, pair, "put", inFlight, "perSecond");
      if (reached === undefined) continue;
      lines.push(
        `- ${inFlight} in flight beside ${pairName(pair)}: ${reached.toFixed(2)}x, wanted at least ` +
          `${shareOfPrototype}x: ${reached >= shareOfPrototype ? "reached" : "**missed**"}`,
      );
    }
  }
  for (const { inFlight, pair, ratio } of prototypeRatios) {
    const reached = ratioOf(results, pair, "put", inFlight, "perSecond");
    if (reached === undefined) continue;
    const asked = ratio * shareOfPrototype;
    lines.push(
      `- ${inFlight} in flight against ${pairName(pair)}: ${reached.toFixed(2)}x; an earlier prototype had ${ratio.toFixed(2)}x elsewhere, ` +
        `within 20% is ${asked.toFixed(2)}x: ${reached >= asked ? "reached" : "**missed**"}`,
    );
  }
  return lines.length === 2 ? "" : lines.join("\n");
}

const figureNames: Readonly<Record<Figure, string>> = {
  perSecond: "requests/s",
  p50Ms: "p50",
  p99Ms: "p99",
  cpuMicroseconds: "CPU a request",
};

function renderTargets(results: Results): string {
  const lines = ["## Targets", ""];
  for (const { operation, inFlight, pair, figure, ratio } of targets) {
    const reached = ratioOf(results, pair, operation, inFlight, figure);
    if (reached === undefined) continue;
    const more = figure === "perSecond";
    const met = more ? reached >= ratio : reached <= ratio;
    lines.push(
      `- ${operation}, ${inFlight} in flight, ${pair.ours.name} against ${pairName(pair)}, ${figureNames[figure]}: ` +
        `${reached.toFixed(2)}x, wanted ${more ? "at least" : "at most"} ${ratio}x: ${met ? "reached" : "**missed**"}`,
    );
  }
  return lines.length === 2 ? "" : lines.join("\n");
}

function pairName({ theirs }: Pair): string {
  return `${theirs.name} (${theirs.tool}, ${theirs.variedKeys ? "varied keys" : "one key"})`;
}

function ratioOf(
  results: Results,
  { ours, theirs }: Pair,
  operation: Operation,
  inFlight: number,
  figure: Figure,
): number | undefined {
  const our = cell(results, ours, operation, inFlight);
  const their = cell(results, theirs, operation, inFlight);
  return our === undefined || their === undefined ? undefined : our[figure] / their[figure];
}

function renderStarts(results: Results): string {
  const lines = [
    "## Start and idle memory of a lone member",
    "",
    "| who | start to first answered request, ms | idle RSS MiB | of it not backed by files MiB |",
    "|---|--:|--:|--:|",
  ];
  const verdicts: string[] = [];
  for (const system of ["coracle", "etcd"] as const) {
    const own = results.starts.filter((start) => start.system === system);
    if (own.length === 0) continue;
    const startMs = median(own.map((start) => start.firstAnswerMs));
    const residentMiB = median(own.map((start) => start.idle.residentMiB));
    const anonymousMiB = median(own.map((start) => start.idle.anonymousMiB));
    lines.push(
      `| ${system} | ${startMs.toFixed(0)} | ${residentMiB.toFixed(0)} | ${anonymousMiB.toFixed(0)} |`,
    );
    if (system !== "coracle") continue;
    verdicts.push(
      `coracle starts in ${startMs.toFixed(0)} ms (asked: under ${startMsMax}): ${startMs < startMsMax ? "reached" : "**missed**"}; ` +
        `idle it holds ${residentMiB.toFixed(0)} MiB (asked: under ${idleMiBMax}): ${residentMiB < idleMiBMax ? "reached" : "**missed**"}.`,
    );
  }
  return [...lines, "", ...verdicts].join("\n");
}
