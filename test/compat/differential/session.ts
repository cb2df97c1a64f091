import { pause, until } from "../../e2e/wait.ts";
import type { Face, OpenStream, Reply } from "./faces.ts";
import { type Frame, normalised, streamView } from "./normalise.ts";
import { base64, type Json, type Step } from "./steps.ts";

/** One answer, ready to be compared. `null`: this face does not have the step. */
export type Outcome = { readonly status: number; readonly body: Json } | null;

interface Pending {
  readonly step: number;
  readonly reply: Promise<Reply>;
}

/** How long etcd may take to tell a new watch of the past: compacted in the meantime, it would not. */
const catchUpMs = 250;
/** How long a call that waited may take to be answered; in a sequence that was shrunk it may never be. */
const settleMs = 3000;
/** How long events that are on their way may take. */
const cancelMs = 30;
const everything = { key: base64("\0"), range_end: base64("\0") };

/** One seed's run against one server or cluster through one face. */
export class Session {
  readonly #faces: readonly Face[];
  readonly #steps: readonly Step[];
  readonly #lagging: boolean;
  readonly #answers: Json[] = [];
  readonly #streams = new Map<string, OpenStream>();
  #base = 0;
  readonly #compacted = new Set<number>();
  #lastOpenMs = 0;

  /**
   * @param faces one for each member; a step chooses among them.
   * @param lagging one of the two that are compared has members that may lag.
   */
  constructor(faces: readonly Face[], steps: readonly Step[], lagging: boolean) {
    this.#faces = faces;
    this.#lagging = lagging;
    this.#steps = steps;
  }

  async run(): Promise<Outcome[]> {
    await this.#reset();
    const outcomes: Outcome[] = [];
    const pending: Pending[] = [];
    for (const [index, step] of this.#steps.entries()) {
      outcomes.push(await this.#step(index, step, pending));
    }
    for (const { step, reply } of pending) {
      outcomes[step] = this.#outcome("", withoutHeader(await reply));
    }
    return outcomes;
  }

  /** What the streams have told until now. */
  streams(): Record<string, Json> {
    const frame = this.#frame();
    return Object.fromEntries(
      [...this.#streams].map(([id, { messages }]) => [id, streamView(messages, frame)]),
    );
  }

  close(): void {
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  /** No key, no lease, and nothing of the past. */
  async #reset(): Promise<void> {
    const face = this.#face(0);
    const { body } = await face.call("/v3/lease/leases", {});
    for (const { ID } of listOf(body, "leases")) await face.call("/v3/lease/revoke", { ID: ID ?? 0 });
    await face.call("/v3/kv/put", { key: base64("\0"), value: "" });
    const deleted = await face.call("/v3/kv/deleterange", everything);
    this.#base = Number(at(deleted.body, ["header", "revision"]));
    await face.call("/v3/kv/compaction", { revision: this.#base });
    this.#compacted.add(this.#base);
  }

  async #step(index: number, step: Step, pending: Pending[]): Promise<Outcome> {
    switch (step.kind) {
      case "call": {
        if (at(step.body, ["serializable"]) !== undefined) await this.#catchUp(step.member);
        const body = this.#resolved(step.body);
        const compacts = step.path.endsWith("/compaction");
        if (compacts) await pause(Math.max(0, this.#lastOpenMs + catchUpMs - performance.now()));
        const reply = await this.#face(step.member).call(step.path, body);
        if (compacts && at(reply.body, ["code"]) === undefined)
          this.#compacted.add(Number(at(body, ["revision"])));
        this.#answers[index] = reply.body;
        return this.#outcome(step.path, reply);
      }
      case "raw": {
        const face = this.#face(step.member);
        if (face.raw === undefined) return null;
        return this.#outcome(step.path, await face.raw(step.path, step.text));
      }
      case "open": {
        await this.#catchUp(step.member);
        const documents = step.documents.map((document) => this.#resolved(document));
        this.#streams.get(step.id)?.close();
        const stream = this.#face(step.member).open(step.path, documents);
        this.#streams.set(step.id, stream);
        this.#lastOpenMs = performance.now();
        await until("the stream begins", () => begun(step.path, stream, documents.length), { everyMs: 2 });
        return null;
      }
      case "send": {
        const stream = this.#streams.get(step.id);
        if (stream === undefined || this.#face(0).raw !== undefined) return null;
        const wanted = created(stream) + ("create_request" in (step.document as object) ? 1 : 0);
        for (const [member] of this.#faces.entries()) await this.#catchUp(member);
        // What a watch was not told before it is cancelled is chance.
        if ("cancel_request" in (step.document as object)) {
          await pause(Math.max(cancelMs, this.#lastOpenMs + catchUpMs - performance.now()));
        }
        this.#lastOpenMs = performance.now();
        stream.send(this.#resolved(step.document));
        await until("the watch is created", () => created(stream) >= wanted, { everyMs: 2 });
        return null;
      }
      case "settle": {
        const ended = Promise.all(pending.map(({ reply }) => reply));
        await Promise.race([ended, pause(settleMs)]);
        return null;
      }
      case "wait": {
        const call = this.#face(step.member).call(step.path, this.#resolved(step.body));
        const reply = call.catch((error: unknown) => ({ status: -1, body: { broken: String(error) } }));
        pending.push({ step: index, reply });
        await this.#keysBelow(step.prefix, step.keys, reply);
        return null;
      }
    }
  }

  /** Another member may be a little behind the one that answered last. */
  async #catchUp(member: number): Promise<void> {
    if (this.#faces.length > 1) await this.#face(member).call("/v3/kv/range", { key: base64("a") });
  }

  /** Until the call that waits stands in the queue, or has ended. */
  async #keysBelow(prefix: string, keys: number, reply: Promise<Reply>): Promise<void> {
    let ended = false;
    void reply.then(() => {
      ended = true;
    });
    const end = Buffer.from(prefix, "base64");
    end[end.length - 1] = (end.at(-1) ?? 0) + 1;
    const query = { key: prefix, range_end: end.toString("base64"), count_only: true };
    await until(
      "the call waits",
      async () => {
        const { body } = await this.#face(0).call("/v3/kv/range", query);
        return ended || Number(at(body, ["count"]) ?? 0) >= keys;
      },
      { everyMs: 2 },
    );
  }

  #face(member: number): Face {
    const face = this.#faces[member % this.#faces.length];
    if (face === undefined) throw new Error("there is no face");
    return face;
  }

  #outcome(path: string, { status, body }: Reply): Outcome {
    const json = normalised(path, body, this.#frame());
    return { status, body: this.#lagging && ofLeader.test(path) ? withoutOwnHeader(json) : json };
  }

  #frame(): Frame {
    return { base: this.#base, compacted: this.#compacted };
  }

  #resolved(json: Json): Json {
    if (Array.isArray(json)) return json.map((item: Json) => this.#resolved(item));
    if (typeof json !== "object" || json === null) return json;
    const { $rev, $number, $answer } = json as Record<string, Json>;
    if (typeof $rev === "number") return String(this.#base + $rev);
    if (typeof $number === "number") return this.#base + $number;
    if (Array.isArray($answer))
      return at(this.#answers[Number($answer[0])] ?? null, [String($answer[1])]) ?? null;
    return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, this.#resolved(value)]));
  }
}

/** The leader answers these, and the member that was asked tells its own revision, which may lag. */
const ofLeader = /\/lease\/(keepalive|timetolive|leases)$/;

function withoutOwnHeader(json: Json): Json {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return json;
  const { result } = json as { readonly result?: Json };
  return result === undefined ? { ...json, header: null } : { result: withoutOwnHeader(result) };
}

/** The one that waited is answered while other steps go on: at which revision is chance. */
function withoutHeader({ status, body }: Reply): Reply {
  return { status, body: { ...(body as object), header: null } };
}

/** A watch is created; an election has a leader when its observation is asked for. */
function begun(path: string, stream: OpenStream, documents: number): boolean {
  return path === "/v3/watch" ? created(stream) >= documents : stream.messages.length > 0;
}

function created(stream: OpenStream): number {
  const failed = stream.messages.some((message) => at(message, ["broken"]) !== undefined);
  if (failed) return Number.POSITIVE_INFINITY;
  return stream.messages.filter((message) => at(message, ["created"]) === true).length;
}

function at(json: Json, path: readonly string[]): Json | undefined {
  let found: Json | undefined = json;
  for (const name of path) {
    if (typeof found !== "object" || found === null || Array.isArray(found)) return undefined;
    found = (found as { readonly [name: string]: Json })[name];
  }
  return found;
}

function listOf(json: Json, name: string): readonly Record<string, Json>[] {
  const list = at(json, [name]);
  return Array.isArray(list) ? (list as Record<string, Json>[]) : [];
}
