import { utf8 } from "../../../src/base/bytes.ts";
import { CoracleError } from "../../../src/base/errors.ts";
import type { Random } from "../../../src/base/prng.ts";
import type { Command, CommandBody, Operation, RangeResult } from "../../../src/kv/types.ts";
import type { LocalReads } from "../checkers/local-reads.ts";
import type { StoreOutput } from "../checkers/store-model.ts";
import { between, chance, latency, pick } from "../engine/streams.ts";
import { Violation } from "../engine/violation.ts";
import type { Host } from "../members/host.ts";
import type { MemberProcess } from "../members/process.ts";
import type { World } from "../members/world.ts";
import { commandOf, operationOf, outputOf, rangeOf, seenOf } from "./commands.ts";
import type { Ending, History, RecordedOperation } from "./history.ts";
import { type Memory, nextPlan, type Plan, type Weights } from "./plans.ts";

/** A client gives up waiting for an answer after this long. */
const patienceMs = 3500;
const notProposedCodes = new Set([
  "no_leader",
  "not_proposed",
  "overloaded",
  "quota_exceeded",
  "shutting_down",
]);

/** What one attempt brought. */
type Attempt = Ending | { readonly type: "done"; readonly output: StoreOutput };

export interface ClientOptions {
  readonly world: World;
  readonly history: History;
  readonly localReads: LocalReads;
  readonly number: number;
  readonly random: Random;
  readonly thinkMs: number;
  readonly weights: Weights;
  /** Bytes added to each value. */
  readonly padding: number;
}

/** A client with a plan of its own: one operation at a time, through any member. */
export class Client {
  readonly #options: ClientOptions;
  readonly #memory: Memory = new Map();
  #marks = 0;
  #idle = true;
  #stopped = false;
  #affinity: Host | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** Whether nothing is under way. */
  get idle(): boolean {
    return this.#idle;
  }

  start(): void {
    this.#think();
  }

  /** One operation through this machine, and no other. */
  once(via: Host): void {
    this.#stopped = true;
    this.perform(this.#nextPlan(), via, () => {});
  }

  #nextPlan(): Plan {
    const { random, weights } = this.#options;
    return nextPlan({ random, weights, memory: this.#memory, mark: () => this.mark() });
  }

  stop(): void {
    this.#stopped = true;
  }

  mark(): string {
    return `${this.#options.number}.${this.#marks++}`;
  }

  #think(): void {
    const { world, random, thinkMs } = this.#options;
    world.scheduler.afterMs(latency(random, thinkMs), () => {
      if (this.#stopped || !this.#idle) return;
      this.perform(this.#nextPlan(), undefined, () => this.#think());
    });
  }

  /** Does one operation, through `via` or any member, and records it. */
  perform(plan: Plan, via: Host | undefined, then: (ending: Ending) => void): void {
    const { history, world } = this.#options;
    this.#idle = false;
    const operation = history.call({
      client: this.#options.number,
      object: plan.object,
      input: plan.input,
      writes: plan.way === "command",
      // What may show an older state is judged when it is answered, by `LocalReads` and the model.
      stale: plan.range !== undefined || (plan.way !== "command" && plan.way !== "linearizable"),
      marks: plan.marks,
      calledUs: world.scheduler.nowUs,
    });
    const idempotencyKey = plan.idempotent ? `${this.#options.number}/${operation.called}` : undefined;
    const revision = this.#someRevision();
    this.#attempt({ plan, operation, idempotencyKey, revision, via, attempts: 0, then });
  }

  #attempt(work: Work): void {
    const { world, random } = this.#options;
    const host = work.via ?? this.#choose();
    const process = host.process;
    if (process === undefined || !process.ready) {
      this.#ended(work, { type: "not-proposed", code: "connection refused" });
      return;
    }
    let answered = false;
    const once = (ending: Attempt): void => {
      if (answered) return;
      answered = true;
      world.scheduler.afterMs(between(random, 0.1, 1), () => this.#ended(work, ending));
    };
    const lost: Attempt = { type: "unknown" };
    process.onEnd.push(() => once(lost));
    world.scheduler.afterMs(patienceMs, () => {
      if (answered) return;
      world.coverage.add("client: gave up waiting");
      once(lost);
    });
    world.scheduler.afterMs(between(random, 0.1, 1), () => {
      if (!process.alive) once(lost);
      else process.run(() => this.#ask(work, process, once));
    });
  }

  #choose(): Host {
    const { world, random } = this.#options;
    const inService = world.hosts.filter(({ retired, disk }) => !retired && disk.identity !== undefined);
    const hosts = inService.length === 0 ? world.hosts : inService;
    if (this.#affinity === undefined || !hosts.includes(this.#affinity) || chance(random, 0.3)) {
      this.#affinity = pick(random, hosts);
    }
    return this.#affinity;
  }

  #ask(work: Work, process: MemberProcess, answer: (ending: Attempt) => void): void {
    const { plan } = work;
    const failed = (error: unknown): void => {
      answer(process.alive ? this.#failure(error, plan) : { type: "unknown" });
    };
    const body = this.#bodyOf(work);
    if (body === undefined) {
      this.#read(work, process, answer, failed);
      return;
    }
    const command: Command =
      work.idempotencyKey === undefined ? { body } : { body, idempotencyKey: work.idempotencyKey };
    process.node
      .propose(command)
      .then((result) => answer({ type: "done", output: outputOf(result) }), failed)
      .catch(noteError);
  }

  /** What goes through the log; `undefined` for a read. The same again when it is sent again. */
  #bodyOf(work: Work): CommandBody | undefined {
    const { plan } = work;
    const { padding } = this.#options;
    switch (plan.way) {
      case "command":
        return commandOf(plan.input, padding);
      case "compact":
        return { type: "compact", revision: work.revision };
      case "past in a transaction": {
        const past: Operation = {
          type: "range",
          key: utf8("a"),
          end: null,
          revision: work.revision,
          ...(plan.range ?? { limit: 0 }),
        };
        const puts = plan.input.success.map((step) => operationOf(step, padding));
        return { type: "txn", compare: [], success: [...puts, past], failure: [] };
      }
      default:
        return undefined;
    }
  }

  /** A revision near the newest that clients know of, mostly in the past. */
  #someRevision(): number {
    const { history, random, world } = this.#options;
    const known = history.revisionKnownAt(world.scheduler.nowUs);
    return Math.max(1, known + 2 - random.below(40));
  }

  #read(
    work: Work,
    process: MemberProcess,
    answer: (ending: Attempt) => void,
    failed: (error: unknown) => void,
  ): void {
    const { plan, operation } = work;
    const step = plan.input.success[0];
    if (step?.op !== "get" && step?.op !== "list") throw new Error(`${plan.kind} is no read`);
    const revision = plan.way === "past" ? work.revision : 0;
    const request = { ...rangeOf(step), ...plan.range, revision };
    const { random, localReads } = this.#options;
    const maxStaleMs = plan.maxStaleMs ?? Math.round(between(random, 0, 800));
    const consistency =
      plan.way === "linearizable"
        ? ({ mode: "linearizable" } as const)
        : plan.way === "bounded"
          ? ({ mode: "serializable", maxStaleMs } as const)
          : ({ mode: "serializable" } as const);
    const askedUs = this.#options.world.scheduler.nowUs;
    const served = (result: RangeResult): void => {
      localReads.checkNotUndone(process, consistency.mode === "linearizable" || plan.way === "bounded");
      const output = { succeeded: true, revision: result.revision, results: [result.keys.map(seenOf)] };
      localReads.check({
        who: process.host.name,
        request,
        result,
        askedUs,
        calledUs: operation.calledUs,
        staleMs: plan.way === "linearizable" ? 0 : plan.way === "bounded" ? maxStaleMs : undefined,
        slowestRate: process.host.clock.slowestRate,
      });
      answer({ type: "done", output });
      const follows = plan.way === "linearizable" && !process.host.isLeader;
      if (follows && chance(random, 0.3)) this.#options.world.freshened(process.host);
    };
    process.node.range(request, consistency).then(served, failed).catch(noteError);
  }

  #failure(error: unknown, plan: Plan): Attempt {
    if (!(error instanceof CoracleError)) {
      return broken("unexpected error", `${plan.kind} failed with ${String(error)}`);
    }
    if (error.code === "outcome_unknown") return { type: "unknown" };
    if (notProposedCodes.has(error.code)) return { type: "not-proposed", code: error.code };
    const aboutPast = plan.way === "past" || plan.way === "compact" || plan.way === "past in a transaction";
    if (aboutPast && (error.code === "revision_compacted" || error.code === "revision_future")) {
      return { type: "refused", code: error.code };
    }
    return broken("unexpected error", `${plan.kind} was refused as ${error.code}: ${error.message}`);
  }

  #ended(work: Work, ending: Attempt): void {
    const { world, history, random } = this.#options;
    const { plan, operation } = work;
    world.coverage.add(`client: ${plan.kind} ${ending.type}`);
    if (this.#retries(work, ending)) {
      world.coverage.add("client: sent again with its Idempotency-Key");
      const attempts = work.attempts + 1;
      const everUnknown = work.everUnknown === true || ending.type === "unknown";
      world.scheduler.afterMs(between(random, 20, 300), () => {
        this.#attempt({ ...work, attempts, everUnknown });
      });
      return;
    }
    const final: Ending = work.everUnknown === true && ending.type !== "done" ? { type: "unknown" } : ending;
    history.end(operation, final, world.scheduler.nowUs);
    world.trace.note("client", this.#options.number, operation.called, operation.returned, () => {
      return `#${operation.called}-${operation.returned} by ${this.#options.number}: ${plan.kind} ${plan.object} ${JSON.stringify(plan.input)} -> ${JSON.stringify(final)}`;
    });
    this.#remember(final, operation);
    this.#idle = true;
    work.then(final);
  }

  #retries(work: Work, ending: Attempt): boolean {
    if (ending.type === "done" || ending.type === "refused") return false;
    return work.plan.idempotent && work.attempts < 12 && !(this.#stopped && work.attempts > 4);
  }

  #remember(ending: Ending, { input, writes }: RecordedOperation): void {
    if (ending.type !== "done") return;
    const { output } = ending;
    const steps = output.succeeded ? input.success : input.failure;
    steps.forEach((step, at) => {
      if (step.op === "delete") this.#memory.set(step.key, undefined);
      const seen = output.results[at];
      if (typeof seen !== "object") return;
      if (step.op === "get" && !writes) this.#memory.set(step.key, undefined);
      for (const found of seen) this.#memory.set(found.key, found);
    });
  }
}

/** Notes a broken promise where throwing would only reject a promise. */
function broken(checker: string, message: string): Attempt {
  new Violation(checker, message).note();
  return { type: "unknown" };
}

/** A violation is known from its making on; anything else is one, too. */
function noteError(error: unknown): void {
  if (!(error instanceof Violation)) broken("uncaught", String(error));
}

interface Work {
  readonly plan: Plan;
  readonly operation: RecordedOperation;
  readonly idempotencyKey: string | undefined;
  /** For what asks about the past. */
  readonly revision: number;
  readonly via: Host | undefined;
  readonly attempts: number;
  /** An earlier attempt may have taken effect. */
  readonly everUnknown?: boolean;
  readonly then: (ending: Ending) => void;
}
