import { checkHistory } from "../../sim/checkers/history-checks.ts";
import type { Condition, Seen, Step, StoreInput, StoreOutput } from "../../sim/checkers/store-model.ts";
import { Coverage } from "../../sim/engine/coverage.ts";
import { takeViolation, Violation } from "../../sim/engine/violation.ts";
import { type Ending, History, type RecordedOperation } from "../../sim/workload/history.ts";
import { Client, codeOf, keyPath } from "../client.ts";
import { type HttpRequest, type HttpResponse, RequestFailed } from "../http.ts";
import { pause } from "../wait.ts";

/*
 * Clients on a few keys whose whole history is judged by the simulator's checkers: is there one order
 * of all operations that explains every answer?
 */

/** An object is left for a fresh one after so many operations, so that the search stays short. */
const operationsMax = 120;
/** Operations that may or may not have happened multiply the orders to be tried. */
const unknownMax = 5;
const registers = 4;
const groupKeys = 3;
const requestTimeoutMs = 8000;

/** A key, or some keys that transactions span, in one of its lives. */
interface Subject {
  readonly name: string;
  readonly keys: readonly string[];
  operations: number;
  unknown: number;
  /** What somebody saw last, for conditions that often hold. */
  readonly memory: Map<string, Seen | undefined>;
}

interface Planned {
  readonly input: StoreInput;
  readonly writes: boolean;
  readonly request: HttpRequest;
  /** What a success says. */
  readonly read: (response: HttpResponse) => StoreOutput;
}

export interface Judgement {
  readonly ok: boolean;
  readonly verdict: string;
  readonly operations: number;
}

export class Recorder {
  readonly history = new History();
  /** Answers that nobody can explain. */
  readonly strange: string[] = [];
  readonly #endpoints: readonly string[];
  readonly #clients: Promise<void>[];
  readonly #subjects: Subject[] = [];
  #lives = 0;
  #marks = 0;
  #stopping = false;

  constructor(endpoints: readonly string[], clients: number) {
    this.#endpoints = endpoints;
    for (let slot = 0; slot <= registers; slot++) this.#subjects.push(this.#fresh(slot));
    this.#clients = Array.from({ length: clients }, (_, number) => this.#run(number));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  /** What the checkers of the simulator say. */
  judge(): Judgement {
    const operations = this.history.operations.length;
    const effective = new Set<string>();
    for (const { ending, marks } of this.history.operations) {
      if (ending?.type === "done") for (const mark of marks) effective.add(mark);
    }
    const coverage = new Coverage();
    try {
      // Nobody looks into the members' logs here: what was acknowledged is proved by reads.
      checkHistory(this.history, { logged: new Set(), effective }, coverage);
    } catch (error) {
      takeViolation();
      if (!(error instanceof Violation)) throw error;
      return { ok: false, verdict: `${error.checker}: ${error.message}`, operations };
    }
    const undecided = coverage.get("history: undecided");
    const verdict =
      undecided === 0 ? "linearizable" : `linearizable, ${undecided} of ${this.#lives} undecided`;
    return { ok: this.strange.length === 0, verdict, operations };
  }

  #fresh(slot: number): Subject {
    const name = `h/${++this.#lives}`;
    const group = slot === registers;
    const keys = group ? Array.from({ length: groupKeys }, (_, at) => `${name}/${at}`) : [name];
    return { name, keys, operations: 0, unknown: 0, memory: new Map() };
  }

  #subject(): Subject {
    const slot = Math.floor(Math.random() * this.#subjects.length);
    let subject = this.#subjects[slot] as Subject;
    if (subject.operations >= operationsMax || subject.unknown >= unknownMax) {
      subject = this.#fresh(slot);
      this.#subjects[slot] = subject;
    }
    return subject;
  }

  async #run(number: number): Promise<void> {
    const client = new Client(this.#endpoints, number);
    while (!this.#stopping) {
      const subject = this.#subject();
      subject.operations++;
      const planned = this.#plan(subject);
      const operation = this.history.call({
        client: number,
        object: subject.name,
        input: planned.input,
        writes: planned.writes,
        stale: false,
        marks: marksOf(planned.input),
        calledUs: performance.now() * 1000,
      });
      const ending = await this.#send(client, planned);
      this.history.end(operation, ending, performance.now() * 1000);
      learn(subject, operation);
      if (ending.type === "unknown" && planned.writes) subject.unknown++;
      await pause(5 + Math.random() * 20);
    }
    client.close();
  }

  async #send(client: Client, planned: Planned): Promise<Ending> {
    try {
      const response = await client.request(planned.request, requestTimeoutMs);
      const { status } = response;
      if (status < 300) return { type: "done", output: planned.read(response) };
      if (status === 404 && !planned.writes) return { type: "done", output: planned.read(response) };
      if (status >= 500 || status === 429) client.next();
      if (status === 503 || status === 429 || status === 507)
        return { type: "not-proposed", code: codeOf(response) };
      if (status === 412) return { type: "refused", code: "precondition_failed" };
      if (status >= 500) return { type: "unknown" };
      this.strange.push(`${planned.request.method} ${planned.request.path}: ${status} ${codeOf(response)}`);
      return { type: "refused", code: codeOf(response) };
    } catch (error) {
      if (!(error instanceof RequestFailed)) throw error;
      client.next();
      return error.sent ? { type: "unknown" } : { type: "not-proposed", code: "not sent" };
    }
  }

  #mark(): string {
    return `m${++this.#marks}`;
  }

  #plan(subject: Subject): Planned {
    const dice = Math.random();
    if (subject.keys.length > 1) {
      return transaction(subject, dice < 0.4 ? undefined : () => this.#mark());
    }
    const key = subject.keys[0] ?? "";
    if (dice < 0.4) return get(key);
    if (dice < 0.6) return put(key, this.#mark(), undefined);
    if (dice < 0.75) return put(key, this.#mark(), subject.memory.get(key)?.mod ?? 0);
    if (dice < 0.9) return compareAndSet(key, this.#mark(), subject.memory.get(key)?.mod ?? 0);
    return remove(key);
  }
}

function marksOf(input: StoreInput): string[] {
  return [...input.success, ...input.failure].flatMap((step) => (step.op === "put" ? [step.value] : []));
}

function learn(subject: Subject, { input, ending }: RecordedOperation): void {
  if (ending?.type !== "done") return;
  const { output } = ending;
  const steps = output.succeeded ? input.success : input.failure;
  steps.forEach((step, at) => {
    const result = output.results[at];
    if (step.op === "put")
      subject.memory.set(step.key, { key: step.key, value: step.value, version: 0, mod: output.revision });
    if (step.op === "delete") subject.memory.delete(step.key);
    if (step.op === "get" && typeof result === "object") subject.memory.set(step.key, result[0]);
  });
}

type Json = Readonly<Record<string, unknown>>;

function parse(response: HttpResponse): Json {
  return JSON.parse(response.body.toString()) as Json;
}

function seenIn(document: Json): Seen {
  return {
    key: String(document.key),
    value: Buffer.from(String(document.value_base64), "base64").toString(),
    version: Number(document.version),
    mod: Number(document.mod_revision),
  };
}

function get(key: string): Planned {
  return {
    input: { conditions: [], success: [{ op: "get", key }], failure: [] },
    writes: false,
    request: { method: "GET", path: keyPath(key), headers: { Accept: "application/json" } },
    read: (response) => {
      if (response.status === 404) {
        return { succeeded: true, revision: Number(parse(response).revision), results: [[]] };
      }
      const document = parse(response);
      return { succeeded: true, revision: Number(document.revision), results: [[seenIn(document)]] };
    },
  };
}

/** @param mod the condition of the put: the key's revision, 0 for a missing key; none when absent. */
function put(key: string, value: string, mod: number | undefined): Planned {
  const conditions: Condition[] = mod === undefined ? [] : [{ key, target: "mod", equals: mod }];
  const header: Record<string, string> =
    mod === undefined ? {} : mod === 0 ? { "If-None-Match": "*" } : { "If-Match": `"${mod}"` };
  return {
    input: { conditions, success: [{ op: "put", key, value }], failure: [] },
    writes: true,
    request: { method: "PUT", path: keyPath(key), headers: header, body: Buffer.from(value) },
    read: (response) => ({
      succeeded: true,
      revision: Number(parse(response).revision),
      results: [undefined],
    }),
  };
}

function remove(key: string): Planned {
  return {
    input: { conditions: [], success: [{ op: "delete", key }], failure: [] },
    writes: true,
    request: { method: "DELETE", path: keyPath(key) },
    read: (response) => {
      const { revision, deleted } = parse(response);
      return { succeeded: true, revision: Number(revision), results: [Number(deleted)] };
    },
  };
}

function compareAndSet(key: string, value: string, mod: number): Planned {
  return transactionOf({
    conditions: [{ key, target: "mod", equals: mod }],
    success: [{ op: "put", key, value }],
    failure: [{ op: "get", key }],
  });
}

/** Reads all keys of a group, or changes two of them when nobody changed the first meanwhile. */
function transaction({ keys, memory }: Subject, mark: (() => string) | undefined): Planned {
  const reads = keys.map((key): Step => ({ op: "get", key }));
  if (mark === undefined) return transactionOf({ conditions: [], success: reads, failure: [] });
  const first = Math.floor(Math.random() * keys.length);
  const key = keys[first] ?? "";
  const other = keys[(first + 1) % keys.length] ?? "";
  const second: Step =
    Math.random() < 0.7 ? { op: "put", key: other, value: mark() } : { op: "delete", key: other };
  return transactionOf({
    conditions: Math.random() < 0.7 ? [{ key, target: "mod", equals: memory.get(key)?.mod ?? 0 }] : [],
    success: [{ op: "put", key, value: mark() }, second],
    failure: reads,
  });
}

function transactionOf(input: StoreInput): Planned {
  const { conditions, success, failure } = input;
  const body = {
    compare: conditions.map(({ key, equals }) => ({ key, mod_revision: equals })),
    success: success.map(stepBody),
    failure: failure.map(stepBody),
  };
  return {
    input,
    writes: true,
    request: {
      method: "POST",
      path: "/v1/txn",
      headers: { "Content-Type": "application/json" },
      body: Buffer.from(JSON.stringify(body)),
    },
    read: (response) => {
      const { revision, succeeded, responses } = parse(response);
      return {
        succeeded: Boolean(succeeded),
        revision: Number(revision),
        results: (responses as Json[]).map(resultOf),
      };
    },
  };
}

function stepBody(step: Step): Json {
  switch (step.op) {
    case "put":
      return { type: "put", key: step.key, value: step.value };
    case "delete":
      return { type: "delete", key: step.key };
    case "get":
      return { type: "range", key: step.key };
    case "list":
      throw new Error("no transaction here lists");
  }
}

function resultOf(response: Json): StoreOutput["results"][number] {
  if (response.type === "delete") return Number(response.deleted);
  if (response.type === "range") return (response.keys as Json[]).map(seenIn);
  return undefined;
}
