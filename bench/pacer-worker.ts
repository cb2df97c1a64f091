import { parentPort, workerData } from "node:worker_threads";
import { HttpConnection, RequestFailed } from "../test/e2e/http.ts";
import { pause } from "../test/e2e/wait.ts";
import { nowMs } from "./clock.ts";
import { faces } from "./faces.ts";
import { keyOf } from "./fill.ts";
import type { JobKind, PacerOptions, Samples } from "./pacer.ts";
import type { WireRequest } from "./types.ts";

/* The thread of a Pacer: its options come as data, "stop" as the one message. */

const options = workerData as PacerOptions;
const { connections, perSecond, jobs } = options;
const face = faces[options.face];
const timeoutMs = options.timeoutMs ?? 3_000;
const attemptsMax = options.attempts ?? 200;
const repeatPauseMs = 20;

const began: number[] = [];
const took: number[] = [];
const repeats: Record<string, number> = {};
let failed = 0;

/** One client: a connection at a time, to the next member after a failure. */
class Lane {
  #at: number;
  #connection: HttpConnection;

  constructor(at: number) {
    this.#at = at;
    this.#connection = new HttpConnection(this.#endpoint());
  }

  #endpoint(): string {
    return options.endpoints[this.#at % options.endpoints.length] ?? "";
  }

  /** The answer's body. @throws Error after the last attempt. */
  async send(request: WireRequest): Promise<Buffer> {
    const { method, path, headers, body } = request;
    const plain = method === "GET" ? { method, path, headers } : { method, path, headers, body };
    for (let attempt = 1; ; attempt++) {
      let reason: string;
      try {
        const response = await this.#connection.request(plain, timeoutMs);
        // A key that another job deleted is an answer, too.
        if (response.status < 300 || response.status === 404) return response.body;
        reason = `status ${response.status}`;
      } catch (error) {
        reason = error instanceof RequestFailed ? failureOf(error) : String(error);
      }
      repeats[reason] = (repeats[reason] ?? 0) + 1;
      if (attempt >= attemptsMax) throw new Error(reason);
      this.#connection.close();
      this.#at++;
      this.#connection = new HttpConnection(this.#endpoint());
      if (attempt % options.endpoints.length === 0) await pause(repeatPauseMs);
    }
  }

  close(): void {
    this.#connection.close();
  }
}

function failureOf({ message }: RequestFailed): string {
  if (message.includes("no answer within")) return "no answer in time";
  return message.includes("no connection") ? "connection refused" : "connection broken";
}

const encoder = new TextEncoder();
function gateway(path: string, body: object): WireRequest {
  return { method: "POST", path, headers: {}, body: encoder.encode(JSON.stringify(body)) };
}

const leases: string[] = [];

async function grant(lane: Lane, seconds: number): Promise<string> {
  const answer = await lane.send(gateway("/v3/lease/grant", { TTL: seconds }));
  const { ID: id } = JSON.parse(answer.toString()) as { ID?: string };
  if (id === undefined) throw new Error(`no lease in ${answer.toString()}`);
  return id;
}

async function runJob(lane: Lane, kind: JobKind): Promise<void> {
  const key = keyOf(options.keys === 0 ? 0 : Math.floor(Math.random() * options.keys));
  if (kind === "put" || kind === "get") {
    await lane.send(face.request(kind, key, options.value));
  } else if (kind === "delete") {
    await lane.send(gateway("/v3/kv/deleterange", { key: btoa(key) }));
  } else if (kind === "lease") {
    const id = await grant(lane, 60);
    const put = { key: btoa(`lease/${id}`), value: btoa(options.value), lease: id };
    await lane.send(gateway("/v3/kv/put", put));
    await lane.send(gateway("/v3/lease/revoke", { ID: id }));
  } else {
    const id = leases[Math.floor(Math.random() * leases.length)];
    const answer = await lane.send(gateway("/v3/lease/keepalive", { ID: id }));
    if (!answer.includes('"TTL"')) throw new Error(`a lease is gone: ${answer.toString()}`);
  }
}

const sharesTotal = jobs.reduce((sum, { share }) => sum + share, 0);
function draw(): JobKind {
  let at = Math.random() * sharesTotal;
  for (const { kind, share } of jobs) {
    at -= share;
    if (at < 0) return kind;
  }
  return jobs[0]?.kind ?? "put";
}

const free = Array.from({ length: connections }, (_, at) => new Lane(at));
/** When each job became due that still waits for a connection. */
const due: number[] = [];
let stopping = false;
const paced = Number.isFinite(perSecond);

async function serve(lane: Lane, dueMs: number): Promise<void> {
  try {
    await runJob(lane, draw());
    began.push(dueMs);
    took.push(nowMs() - dueMs);
  } catch {
    failed++;
  }
  const next = paced ? due.shift() : stopping ? undefined : nowMs();
  if (next === undefined) free.push(lane);
  else void serve(lane, next);
}

function begin(dueMs: number): void {
  const lane = free.pop();
  if (lane === undefined) due.push(dueMs);
  else void serve(lane, dueMs);
}

async function finish(): Promise<void> {
  while (free.length < connections) await pause(5);
  for (const lane of free) lane.close();
  const samples: Samples = {
    beganMs: Float64Array.from(began),
    tookMs: Float64Array.from(took),
    failed,
    repeats,
  };
  parentPort?.postMessage(samples);
}

for (let at = 0; at < (options.leases ?? 0); at++) {
  const lane = free[at % free.length];
  if (lane !== undefined) leases.push(await grant(lane, 3_600));
}

const startMs = nowMs();
let issued = 0;
const timer = setInterval(() => {
  if (stopping || !paced) return;
  // A job that is due while this thread was held up counts from now on: the members are measured.
  const wanted = Math.floor(((nowMs() - startMs) * perSecond) / 1000);
  for (const now = nowMs(); issued < wanted; issued++) begin(now);
}, 1);
if (!paced) for (let at = 0; at < connections; at++) begin(nowMs());

parentPort?.on("message", () => {
  stopping = true;
  clearInterval(timer);
  void finish();
});
parentPort?.postMessage("started");
