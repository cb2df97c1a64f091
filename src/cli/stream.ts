import * as v from "valibot";
import { systemClock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { pause } from "../base/pause.ts";
import { joinedSignal } from "../base/signals.ts";
import { type ApiAnswer, type Client, endless, refusalOf, unreachedReason } from "./client.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";

const retryMs = 200;
const retryMsMax = 2000;

export type StreamLine = Readonly<Record<string, unknown>> & { readonly type: string };
const lineSchema = v.looseObject({ type: v.string() });

export interface FollowOptions {
  /** Asked for at each connection: with the revision to go on from. */
  readonly path: () => string;
  /** A connection that is silent for longer is taken for broken. */
  readonly idleMsMax: number;
  /** `end` ends the command. */
  readonly onLine: (line: StreamLine) => Promise<"go-on" | "end">;
}

/**
 * Reads an endless answer line by line, and goes on at the next endpoint when one breaks off. The first
 * connection must stand within the client's time; later ones are tried for until Ctrl-C.
 */
export async function followStream(io: Io, client: Client, options: FollowOptions): Promise<void> {
  const interrupted = io.interrupted();
  const startMs = performance.now();
  const reasons = new Map<string, string>();
  let connected = false;
  let delayMs = retryMs;
  for (let turn = 0; !interrupted.aborted; turn++) {
    const endpoint = client.endpoints[turn % client.endpoints.length] ?? "";
    const outcome = await readOnce(endpoint, options, interrupted, client.timeoutMs);
    if (outcome.end || interrupted.aborted) return;
    if (outcome.connected) {
      if (outcome.lines > 0) delayMs = retryMs;
      await io.err(`coracle: ${endpoint}: ${outcome.reason}; going on at the next endpoint.\n`);
      connected = true;
    }
    reasons.set(endpoint, outcome.reason);
    if (!connected && performance.now() - startMs > client.timeoutMs) {
      const text = [...reasons].map((entry) => entry.join(": ")).join("; ");
      throw new CommandFailure(exitCodes.unavailable, `No endpoint could be reached: ${text}.`);
    }
    await pause(systemClock, delayMs, interrupted);
    delayMs = Math.min(2 * delayMs, retryMsMax);
  }
}

interface Outcome {
  readonly end: boolean;
  readonly connected: boolean;
  readonly lines: number;
  readonly reason: string;
}

async function readOnce(
  endpoint: string,
  options: FollowOptions,
  interrupted: AbortSignal,
  connectMsMax: number,
): Promise<Outcome> {
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expect = (withinMs: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Error(`nothing came for ${withinMs / 1000} s`)), withinMs);
  };
  const either = joinedSignal([interrupted, silence.signal]);
  let connected = false;
  let lines = 0;
  const broken = (reason: string): Outcome => ({ end: false, connected, lines, reason });
  try {
    expect(connectMsMax);
    const response = await fetch(endpoint + options.path(), {
      headers: { accept: "application/x-ndjson" },
      redirect: "manual",
      ...endless,
      signal: either.signal,
    });
    if (response.status === 503 || response.status === 429) return broken(`status ${response.status}`);
    if (!response.ok || response.body === null) throw await refused(endpoint, response);
    connected = true;
    expect(options.idleMsMax);
    for await (const line of linesOf(response.body)) {
      expect(options.idleMsMax);
      lines++;
      if (line.type === "error") return broken(endReason(line));
      if ((await options.onLine(line)) === "end") return { end: true, connected, lines, reason: "" };
    }
    return broken("the connection broke off");
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    if (silence.signal.aborted) return broken(messageOf(silence.signal.reason));
    return broken(connected ? "the connection broke off" : unreachedReason(error));
  } finally {
    clearTimeout(timer);
    either.end();
  }
}

/** Some ends a repetition cannot mend. */
function endReason(line: StreamLine): string {
  const { code, detail } = line;
  const text = String(detail ?? code ?? "the stream ended").replace(/\.$/, "");
  if (code === "shutting_down" || code === "not_proposed" || code === "overloaded" || code === "no_leader") {
    return text;
  }
  throw new CommandFailure(exitCodes.failed, `${text}.`);
}

async function refused(endpoint: string, response: Response): Promise<CommandFailure> {
  const body = new Uint8Array(await response.arrayBuffer());
  const answer: ApiAnswer = { status: response.status, headers: response.headers, body, endpoint };
  return refusalOf(answer);
}

async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamLine, void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      const line = text.slice(start, end);
      start = end + 1;
      if (line !== "") yield v.parse(lineSchema, JSON.parse(line));
    }
    text = text.slice(start);
  }
}
