import assert from "node:assert/strict";
import { utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { seededRandom } from "../base/prng.ts";
import { StateMachine } from "../kv/state-machine.ts";
import type { Command, CommandBody, CommandResult, LeaseId } from "../kv/types.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { FakeClock } from "./fake-clock.test-support.ts";
import type { LeaseMetrics } from "./lease-metrics.ts";
import { Lessor } from "./lessor.ts";
import type { NodeAccess } from "./part.ts";

const electionMs = 1000;

/** A lessor on a clock that stands still, with a log that obeys the test. */
export class LessorBench {
  readonly clock = new FakeClock();
  readonly machine = StateMachine.create(openSqlite(":memory:"), {
    membership: { clusterId: 1, members: [], removed: [] },
    index: 0,
    term: 0,
  });
  readonly lessor: Lessor;
  /** What the lessor proposed, in order. */
  readonly proposed: CommandBody[] = [];
  readonly counts = { expired: 0, renewed: 0 };
  term = 1;
  leads = true;
  /** What becomes of a proof of leadership, and of proposals. */
  proof: () => Promise<void> = () => Promise.resolve();
  outcome: (apply: () => CommandResult) => Promise<CommandResult> = (apply) => Promise.resolve(apply());

  constructor(options: { readonly checkpointMs?: number } = {}) {
    const metrics: LeaseMetrics = {
      expired: (count) => {
        this.counts.expired += count;
      },
      renewed: (count) => {
        this.counts.renewed += count;
      },
    };
    this.lessor = new Lessor(this.#access(), { metrics, ...options });
  }

  #access(): NodeAccess {
    const none = (): never => assert.fail("not used");
    return {
      self: 1,
      clock: this.clock,
      random: seededRandom(1),
      options: {
        ...{ heartbeatMs: 100, electionMs, requestTimeoutMs: 5000, leaderWaitMs: 3000 },
        ...{ logEntriesMax: 1000, logBytesMax: 1e6, logTailEntries: 100, valueBytesMax: 1e6 },
      },
      state: () => this.machine,
      raft: () =>
        ({
          ...{
            id: 1,
            role: this.leads ? "leader" : "follower",
            term: this.term,
            leader: 1,
            commit: 0,
            applied: 0,
          },
          ...{ lastIndex: 0, conf: { voters: [1], learners: [] }, progress: [], transferee: 0 },
        }) as unknown as ReturnType<NodeAccess["raft"]>,
      maintain: () => false,
      stateTrouble: () => undefined,
      propose: none,
      proposeHere: (command) => this.#propose(command),
      current: () => this.proof(),
      askLeader: none,
      ask: none,
    };
  }

  async #propose({ body }: Command): Promise<Exclude<CommandResult, { type: "refused" }>> {
    this.proposed.push(body);
    const result = await this.outcome(() => this.apply(body));
    if (result.type === "refused") throw new CoracleError(result.code, result.message);
    return result;
  }

  /** Applies a command in an entry of the leader's term, as any member may have proposed it. */
  apply(...bodies: readonly CommandBody[]): CommandResult {
    const batch = { timeMs: this.clock.wallMs(), commands: bodies.map((body) => ({ body })) };
    const { machine, term } = this;
    const entry = { index: machine.appliedIndex + 1, term, content: { type: "batch", batch } } as const;
    const [outcome] = machine.apply([entry]);
    this.lessor.applied();
    const result = outcome?.type === "batch" ? outcome.results.at(-1) : undefined;
    assert.ok(result !== undefined);
    return result;
  }

  grant(id: LeaseId, ttlSeconds: number): void {
    const result = this.apply({ type: "lease-grant", id, ttlSeconds });
    assert.equal(result.type, "lease-grant");
  }

  put(key: string, lease: LeaseId): void {
    this.apply({ type: "put", key: utf8(key), value: utf8("1"), lease, previous: false });
  }

  exists(id: LeaseId): boolean {
    return this.machine.leases.get(id) !== undefined;
  }

  lead(): void {
    this.lessor.leading(this.term);
  }

  /** Lets time pass, and promises run in between. Tells the lessor each second. */
  async pass(milliseconds: number, stepMs = 10): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += stepMs) {
      const before = this.clock.nowMs();
      this.clock.advance(Math.min(stepMs, milliseconds - passed));
      await settle();
      if (Math.floor(before / 1000) !== Math.floor(this.clock.nowMs() / 1000)) this.lessor.duty();
      await settle();
    }
  }
}

export async function settle(): Promise<void> {
  for (let at = 0; at < 10; at++) await Promise.resolve();
}

/** A promise, and what ends it. */
export function gate<T = void>(): {
  readonly promise: Promise<T>;
  open(value: T): void;
  fail(error: unknown): void;
} {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  return { promise, open: resolve, fail: reject };
}
