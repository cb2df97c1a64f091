import { Decoder } from "cbor-x/index-no-eval";
import * as v from "valibot";
import { messageOf } from "../base/errors.ts";
import { int64 } from "../base/int64.ts";
import { joinedSignal } from "../base/signals.ts";
import { CommandFailure, type ExitCode, exitCodes } from "./exit-codes.ts";

export interface ClientOptions {
  /** `http://host:port`, tried in this order. */
  readonly endpoints: readonly string[];
  /** For the whole command, retries included. */
  readonly timeoutMs: number;
}

export interface ApiRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** With the query, percent-encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  /**
   * `repeatable`: sending it twice is as sending it once (a read, or a write with an
   * `Idempotency-Key`). `once`: it is sent again only when it certainly never took effect.
   */
  readonly sending: "repeatable" | "once";
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
  /** Which member gave it. */
  readonly endpoint: string;
}

/** An attempt without a useful answer. */
export interface Miss {
  readonly endpoint: string;
  readonly reason: string;
  /** `unreached`: never sent. `not-proposed`: the member says so. `lost`: it may have taken effect. */
  readonly kind: "unreached" | "not-proposed" | "lost";
  readonly tookMs: number;
}

const pauseBetweenRoundsMs = 200;
const decoder = new Decoder({ useRecords: false, mapsAsObjects: true });
const problemSchema = v.object({ code: v.optional(v.string(), ""), detail: v.optional(v.string(), "") });

/** The same endpoint may take a little longer to answer than the last time. */
const slackMs = 100;

/** Connection errors that come up before a byte of the request is sent, on Bun, Node and Deno. */
const unreachedCodes = new Set([
  "ConnectionRefused",
  "FailedToOpenSocket",
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "DNSResolveFailed",
]);

/** Talks to the cluster through the first of several members that answers. */
export class Client {
  readonly #endpoints: readonly string[];
  readonly #timeoutMs: number;

  get endpoints(): readonly string[] {
    return this.#endpoints;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  constructor(options: ClientOptions) {
    this.#endpoints = options.endpoints;
    this.#timeoutMs = options.timeoutMs;
  }

  /**
   * Sends a request, to the next endpoint when one cannot be reached or proposes nothing now, and in
   * further rounds while a part of the cluster answers and time is left (an election is under way).
   *
   * @throws CommandFailure with the exit code that fits: `unavailable` when nothing can have changed,
   *   `outcomeUnknown` when it may have, else by the problem document.
   */
  async send(request: ApiRequest): Promise<ApiAnswer> {
    const deadlineMs = performance.now() + this.#timeoutMs;
    const misses: Miss[] = [];
    while (true) {
      const earlier = misses.length;
      const round = await this.#round(request, deadlineMs, misses);
      if (round !== undefined) return round;
      // No endpoint could answer a change in the time that is left.
      if (misses.length === earlier && request.method !== "GET") throw failureOf(request, misses);
      const recent = misses.slice(-this.#endpoints.length);
      const hopeful = recent.some((miss) => miss.kind === "not-proposed");
      if (!hopeful || performance.now() + pauseBetweenRoundsMs >= deadlineMs)
        throw failureOf(request, misses);
      await new Promise((resolve) => setTimeout(resolve, pauseBetweenRoundsMs));
    }
  }

  /** One attempt at each endpoint. `undefined` when none gave an answer. */
  async #round(request: ApiRequest, deadlineMs: number, misses: Miss[]): Promise<ApiAnswer | undefined> {
    for (const [index, endpoint] of this.#endpoints.entries()) {
      const leftMs = deadlineMs - performance.now();
      const earlier = misses.findLast((miss) => miss.endpoint === endpoint);
      const neededMs = earlier?.kind === "not-proposed" ? earlier.tookMs + slackMs : 1;
      // A change cut off before the member can say that it proposed nothing would end as unknown.
      if (neededMs > leftMs && request.method !== "GET") continue;
      // A member that hangs must leave time for the others, where they may be asked after it.
      const others = request.sending === "once" ? 0 : this.#endpoints.length - index - 1;
      const shareMs = Math.max(leftMs / (1 + others), Math.min(neededMs, leftMs), 1);
      const outcome = await attempt(endpoint, request, shareMs);
      if ("status" in outcome) return outcome;
      // A read that ran out of time says less than what the member answered before.
      if (earlier?.kind !== "not-proposed" || outcome.kind !== "lost" || request.method !== "GET") {
        misses.push(outcome);
      }
      if (outcome.kind === "lost" && request.sending === "once") throw failureOf(request, misses);
    }
    return undefined;
  }
}

/**
 * Sends a request to one endpoint.
 *
 * @param timeoutMs infinite for a request that waits; then `signal` ends it.
 * @throws CommandFailure when the member refused it.
 */
export async function attempt(
  endpoint: string,
  request: ApiRequest,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<ApiAnswer | Miss> {
  const startMs = performance.now();
  const miss = (kind: Miss["kind"], reason: string): Miss => {
    return { endpoint, reason, kind, tookMs: performance.now() - startMs };
  };
  const ends = joinedSignal([
    ...(signal === undefined ? [] : [signal]),
    ...(timeoutMs === Number.POSITIVE_INFINITY ? [] : [AbortSignal.timeout(timeoutMs)]),
  ]);
  try {
    const response = await fetch(endpoint + request.path, {
      method: request.method,
      headers: { ...request.headers },
      ...(request.body === undefined ? {} : { body: request.body }),
      redirect: "manual",
      ...endless,
      signal: ends.signal,
    });
    const body = new Uint8Array(await response.arrayBuffer());
    const answer: ApiAnswer = { status: response.status, headers: response.headers, body, endpoint };
    if (answer.status < 400) return answer;
    if (answer.status === 503 || answer.status === 429) return miss("not-proposed", problemOf(answer).detail);
    if (answer.status === 504) return miss("lost", problemOf(answer).detail);
    throw refusalOf(answer);
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    return wasSent(error)
      ? miss("lost", lostReason(error, timeoutMs))
      : miss("unreached", unreachedReason(error));
  } finally {
    ends.end();
  }
}

function wasSent(error: unknown): boolean {
  for (const item of [error, error instanceof Error ? error.cause : undefined]) {
    const { code, message = "" } = (item ?? {}) as { readonly code?: unknown; readonly message?: unknown };
    if (typeof code === "string" && unreachedCodes.has(code)) return false;
    // Deno gives no code.
    if (/client error \(Connect\)|Unable to connect/.test(String(message))) return false;
  }
  return true;
}

function lostReason(error: unknown, timeoutMs: number): string {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return `no answer within ${Math.round(timeoutMs)} ms`;
  }
  return "the connection broke off without an answer (is this the client port of a member, not its peer port?)";
}

export function unreachedReason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const text = `${messageOf(error)} ${cause === undefined ? "" : messageOf(cause)}`;
  if (/ENOTFOUND|EAI_AGAIN|dns error|DNSResolve/i.test(text))
    return "cannot be reached: its name is not found";
  // Bun says "unable to connect" to both.
  return /refused|unable to connect/i.test(text)
    ? "cannot be reached: nothing accepts connections there"
    : "cannot be reached";
}

function failureOf(request: ApiRequest, misses: readonly Miss[]): CommandFailure {
  const latest = new Map(misses.map((miss) => [miss.endpoint, miss.reason]));
  const reasons = [...latest]
    .map(([endpoint, reason]) => `${endpoint}: ${reason.replace(/\.$/, "")}`)
    .join("; ");
  if (request.method !== "GET" && misses.some((miss) => miss.kind === "lost")) {
    return new CommandFailure(
      exitCodes.outcomeUnknown,
      `The change was sent, but its outcome is unknown: ${reasons}.`,
    );
  }
  const unreached = misses.every((miss) => miss.kind === "unreached");
  const what = unreached ? "No endpoint could be reached" : "The cluster cannot serve this now";
  return new CommandFailure(exitCodes.unavailable, `${what}: ${reasons}.`);
}

function problemOf(answer: ApiAnswer): { readonly code: string; readonly detail: string } {
  try {
    const problem = v.parse(problemSchema, decode(answer));
    return {
      code: problem.code,
      detail: problem.detail || `The member at ${answer.endpoint} answered with status ${answer.status}.`,
    };
  } catch {
    return { code: "", detail: `The member at ${answer.endpoint} answered with status ${answer.status}.` };
  }
}

/** Bun gives a silent answer up after five minutes unless told not to. */
export const endless = { timeout: false } as RequestInit;

const exitCodesByProblem: Readonly<Record<string, ExitCode>> = {
  not_found: exitCodes.notFound,
  member_not_found: exitCodes.notFound,
  lease_not_found: exitCodes.notFound,
  precondition_failed: exitCodes.conditionFailed,
  lock_held: exitCodes.conditionFailed,
};

export function refusalOf(answer: ApiAnswer): CommandFailure {
  const { code, detail } = problemOf(answer);
  const fromStatus = answer.status === 412 ? exitCodes.conditionFailed : exitCodes.failed;
  return new CommandFailure(exitCodesByProblem[code] ?? fromStatus, detail);
}

function decode(answer: ApiAnswer): unknown {
  const type = answer.headers.get("content-type") ?? "";
  if (type.includes("cbor")) return withSafeIntegers(decoder.decode(answer.body));
  return JSON.parse(new TextDecoder().decode(answer.body));
}

/** CBOR's integers of 64 bits come as bigint; those that a number can hold become one. */
function withSafeIntegers(item: unknown): unknown {
  if (typeof item === "bigint") return int64(item);
  if (typeof item !== "object" || item === null || item instanceof Uint8Array) return item;
  if (Array.isArray(item)) return item.map(withSafeIntegers);
  return Object.fromEntries(Object.entries(item).map(([name, value]) => [name, withSafeIntegers(value)]));
}

/**
 * The document in an answer.
 *
 * @throws CommandFailure when it has not the expected shape: the endpoint is no coracle, or another version.
 */
export function documentOf<S extends v.GenericSchema>(answer: ApiAnswer, schema: S): v.InferOutput<S> {
  try {
    return v.parse(schema, decode(answer));
  } catch (error) {
    throw new CommandFailure(
      exitCodes.failed,
      `${answer.endpoint} answered with something this version does not understand: ${messageOf(error)}.`,
    );
  }
}

/**
 * Reads `a,b:1,http://c` as base URLs; `http` and the port are filled in.
 *
 * @throws an Error that continues "... but".
 */
export function parseEndpoints(text: string, defaultPort: number): string[] {
  const items = text.split(",").map((item) => item.trim());
  return items.map((item) => {
    // A URL would take it as an IPv4 address in one number.
    if (/^\d+$/.test(item))
      throw new Error(`"${item}" is no endpoint but a port alone; write 127.0.0.1:${item} or HOST:${item}`);
    const full = /^https?:\/\//i.test(item) ? item : `http://${item}`;
    const url = URL.canParse(full) ? new URL(full) : undefined;
    if (item === "" || url === undefined || url.pathname !== "/" || url.search !== "" || url.hash !== "") {
      throw new Error(`"${item}" is no endpoint; write HOST, HOST:PORT or a URL without a path`);
    }
    const portGiven = url.port !== "" || /:(80|443)\/?$/.test(full);
    if (!portGiven) url.port = String(defaultPort);
    return url.origin;
  });
}
