import { benchValue, keyOf } from "./fill.ts";
import { runWrkScript, wrkDone } from "./load.ts";
import type { Face, LoadResult, Operation } from "./types.ts";

/**
 * wrk with keys at random from as many as wanted. A list of all requests, as smaller loads have it, is
 * too much for wrk's script at a million keys; here the script draws a number and puts its digits, as
 * the face writes them, wherever the one request has its key.
 */

export interface RangeLoadOptions {
  readonly face: Face;
  /** `range` has no key to draw: it always reads the first ones. */
  readonly operation: Exclude<Operation, "mix">;
  /** `host:port`. */
  readonly target: string;
  readonly inFlight: number;
  readonly seconds: number;
  /** Keys are drawn from the first so many of the fill. */
  readonly keys: number;
  /** Of the script. */
  readonly folder: string;
}

const digits = 8;
const decoder = new TextDecoder();

/** How a face writes digits of a key: as they are, or in base64, three of which make four letters. */
type Writing = (text: string) => string;

function requestText({ face, operation, target }: RangeLoadOptions): string {
  const { method, path, headers, body } = face.request(operation, keyOf(0), benchValue);
  const lines = Object.entries({ Host: target, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = method === "GET" ? "" : `Content-Length: ${body.length}\r\n`;
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}${length}\r\n${decoder.decode(body)}`;
}

/** The script. Exported for its test. */
export function rangeScript(options: RangeLoadOptions): string {
  const text = requestText(options);
  const zeros = "0".repeat(digits);
  const plain: Writing = (part) => part;
  const writing = text.includes(zeros) ? plain : btoa;
  const parts = text.split(writing(zeros));
  if (parts.length === 1 && options.operation !== "range") throw new Error(`no key in ${text}`);
  const table = (count: number, width: number): string =>
    Array.from({ length: count }, (_, n) => JSON.stringify(writing(String(n).padStart(width, "0")))).join(
      ",",
    );
  return `local parts = {${parts.map((part) => JSON.stringify(part)).join(",")}}
local three = {${table(1000, 3)}}
local two = {${table(100, 2)}}
function init() math.randomseed(${Date.now() % 1_000_000}) end
function request()
  local n = math.random(0, ${options.keys - 1})
  local high = math.floor(n / 100000)
  local low = n % 100000
  local digits = three[high + 1] .. three[math.floor(low / 100) + 1] .. two[low % 100 + 1]
  return table.concat(parts, digits)
end
${wrkDone}`;
}

/** @throws Error when a request failed. */
export async function runRangeLoad(options: RangeLoadOptions): Promise<LoadResult> {
  const result = await runWrkScript(rangeScript(options), options);
  if (result.failed > 0 || result.answered === 0)
    throw new Error(
      `${options.face.name} ${options.operation}: ${result.answered} answered, ${result.failed} failed`,
    );
  return result;
}
