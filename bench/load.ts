import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runToEnd } from "../test/e2e/process.ts";
import { percentile } from "./statistics.ts";
import type { LoadOptions, LoadResult, WireRequest } from "./types.ts";

/** Runs the face's load tool once. */
export function runLoad(options: LoadOptions): Promise<LoadResult> {
  return options.face.tool === "wrk" ? runWrkScript(wrkScript(options), options) : runH2load(options);
}

const decoder = new TextDecoder();

/** A request as HTTP/1.1 text. Keys, values and bodies of the benchmark are ASCII. */
function httpText(request: WireRequest, target: string): string {
  const headers = { Host: target, ...request.headers };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = request.method === "GET" ? "" : `Content-Length: ${request.body.length}\r\n`;
  return `${request.method} ${request.path} HTTP/1.1\r\n${lines.join("")}${length}\r\n${decoder.decode(request.body)}`;
}

interface Texts {
  readonly head: string;
  readonly middles: readonly string[];
  readonly tail: string;
}

/** Requests for all keys; what they have in common is held once: head, the part with the key, tail. */
function requestTexts(options: LoadOptions, operation: Exclude<LoadOptions["operation"], "mix">): Texts {
  const texts = options.keys.map((key) =>
    httpText(options.face.request(operation, key, options.value), options.target),
  );
  const first = texts[0] ?? "";
  let head = first.length;
  let tail = first.length;
  for (const text of texts) {
    let same = 0;
    while (same < head && text[same] === first[same]) same++;
    head = same;
    same = 0;
    while (same < tail && text[text.length - 1 - same] === first[first.length - 1 - same]) same++;
    tail = same;
  }
  // All alike: one key, or an operation that names none.
  if (head === first.length) return { head: first, middles: [""], tail: "" };
  return {
    head: first.slice(0, head),
    middles: texts.map((text) => text.slice(head, text.length - tail)),
    tail: first.slice(first.length - tail),
  };
}

/** The end of every script for wrk: says what `parseWrk` reads. */
export const wrkDone = `function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"requests":%d,"bytes":%d,"microseconds":%d,"status":%d,"lost":%d,"p50":%d,"p99":%d,"p999":%d}\\n',
    summary.requests, summary.bytes, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
`;

/** A script that sends one of the prepared requests at random; of a mix, nine gets to one put. */
function wrkScript(options: LoadOptions): string {
  const { operation } = options;
  const kinds =
    operation === "mix"
      ? [requestTexts(options, "get"), requestTexts(options, "put")]
      : [requestTexts(options, operation)];
  const tables = kinds.map(
    ({ head, middles, tail }) =>
      `{head = ${luaText(head)}, tail = ${luaText(tail)}, middles = {${middles.map(luaText).join(",")}}}`,
  );
  return `local kinds = {${tables.join(",")}}
function init() math.randomseed(${Date.now() % 1_000_000}) end
function request()
  local kind = kinds[1]
  if #kinds > 1 and math.random(10) == 1 then kind = kinds[2] end
  return kind.head .. kind.middles[math.random(#kind.middles)] .. kind.tail
end
${wrkDone}`;
}

function luaText(text: string): string {
  return JSON.stringify(text);
}

/** Runs wrk with this script, which ends with `wrkDone`. */
export async function runWrkScript(
  text: string,
  { folder, inFlight, seconds, target }: Pick<LoadOptions, "folder" | "inFlight" | "seconds" | "target">,
): Promise<LoadResult> {
  const script = join(folder, "load.lua");
  writeFileSync(script, text);
  const command = ["wrk", "-t1", `-c${inFlight}`, `-d${seconds}s`, "--timeout", "10s", "-s", script];
  const timeoutMs = seconds * 1000 + 30_000;
  const { code, stdout, stderr } = await runToEnd([...command, `http://${target}/`], { timeoutMs });
  if (code !== 0) throw new Error(`wrk ended with ${code}: ${stdout}${stderr}`);
  return parseWrk(stdout);
}

/** What the script printed at wrk's end. @throws Error when it did not. */
export function parseWrk(stdout: string): LoadResult {
  const line = /^RESULT (.*)$/m.exec(stdout)?.[1];
  if (line === undefined) throw new Error(`wrk printed no result: ${stdout}`);
  const result = JSON.parse(line) as Record<
    "requests" | "bytes" | "microseconds" | "status" | "lost" | "p50" | "p99" | "p999",
    number
  >;
  return {
    answered: result.requests - result.status,
    failed: result.status + result.lost,
    bodyBytes: result.bytes,
    seconds: result.microseconds / 1e6,
    p50Ms: result.p50 / 1000,
    p99Ms: result.p99 / 1000,
    p999Ms: result.p999 / 1000,
  };
}

async function runH2load(options: LoadOptions): Promise<LoadResult> {
  const { face, folder, operation } = options;
  if (operation === "mix") throw new Error("h2load sends one request over and over: a mix needs wrk");
  const request = face.request(operation, options.keys[0] ?? "", options.value);
  const bodyFile = join(folder, "body");
  const logFile = join(folder, "h2load.log");
  writeFileSync(bodyFile, request.body);
  rmSync(logFile, { force: true });
  const args = ["h2load", "-t1", "-D", `${options.seconds}`];
  // gRPC clients, etcd's own among them, share one connection; measured here, etcd does better so by a third.
  if (face.protocol === "grpc") args.push("-c", "1", "-m", `${options.inFlight}`);
  else args.push("--h1", "-c", `${options.inFlight}`, "-m", "1");
  if (request.method !== "GET") args.push("-d", bodyFile, "-H", `:method: ${request.method}`);
  for (const [name, value] of Object.entries(request.headers)) args.push("-H", `${name}: ${value}`);
  args.push(`--log-file=${logFile}`, `http://${options.target}${request.path}`);
  const { code, stdout, stderr } = await runToEnd(args, { timeoutMs: options.seconds * 1000 + 30_000 });
  if (code !== 0) throw new Error(`h2load failed: ${stdout}${stderr}`);
  return parseH2load(stdout, readFileSync(logFile, "utf8"), options.seconds);
}

/** What h2load printed, and its log of each request. @throws Error when it printed no counts. */
export function parseH2load(stdout: string, log: string, seconds: number): LoadResult {
  const counts = /(\d+) done, (\d+) succeeded, \d+ failed, (\d+) errored, (\d+) timeout/.exec(stdout);
  if (counts === null) throw new Error(`h2load printed no counts: ${stdout}`);
  const [done = 0, succeeded = 0, errored = 0, timedOut = 0] = counts.slice(1).map(Number);
  const latencies = readLatencies(log);
  return {
    answered: succeeded,
    failed: done - succeeded + errored + timedOut,
    bodyBytes: Number(/^traffic:.*\((\d+)\) data$/m.exec(stdout)?.[1] ?? 0),
    seconds,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    p999Ms: percentile(latencies, 0.999),
  };
}

/** Microseconds of each answered request, ascending, as milliseconds. h2load's own summary has no percentiles. */
function readLatencies(log: string): number[] {
  const latencies: number[] = [];
  for (const line of log.split("\n")) {
    const [, status = "-1", microseconds] = line.split("\t");
    if (microseconds !== undefined && status !== "-1") latencies.push(Number(microseconds) / 1000);
  }
  return latencies.sort((a, b) => a - b);
}
