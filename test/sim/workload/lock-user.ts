import { utf8 } from "../../../src/base/bytes.ts";
import type { Random } from "../../../src/base/prng.ts";
import { claimKeyOf, queueOf } from "../../../src/concurrency/claim.ts";
import type { Claim } from "../../../src/concurrency/types.ts";
import type { KeyValue } from "../../../src/kv/types.ts";
import { between, chance, pick } from "../engine/streams.ts";
import type { MemberProcess } from "../members/process.ts";
import type { World } from "../members/world.ts";
import { type Answer, anyMember, ask } from "./asking.ts";
import { paddedValue } from "./commands.ts";

const ttlSeconds = 2;

/** A client that waits for a lock, works under it, and gives it up or forgets it. */
export class LockUser {
  readonly #world: World;
  readonly #random: Random;
  #stopped = false;
  #busy = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    this.#pause(() => this.#turn());
  }

  get idle(): boolean {
    return this.#busy === 0;
  }

  stop(): void {
    this.#stopped = true;
  }

  #pause(then: () => void, delayMs = between(this.#random, 20, 1200)): void {
    this.#world.scheduler.afterMs(delayMs, () => {
      if (!this.#stopped) then();
    });
  }

  #ask<T>(
    process: MemberProcess,
    question: (process: MemberProcess) => Promise<T>,
    then: (answer: Answer<T>) => void,
  ): void {
    this.#busy++;
    ask(this.#world, this.#random, process, question, (answer) => {
      this.#busy--;
      then(answer);
    });
  }

  /** What it does next: mostly it wants a lock. */
  #turn(): void {
    if (chance(this.#random, 0.25)) this.#breakClaim();
    else this.#acquire();
  }

  /** As an operator would who takes a lock from a holder that hangs, or from one that waits for it. */
  #breakClaim(): void {
    const process = anyMember(this.#world, this.#random);
    if (process === undefined) {
      this.#pause(() => this.#turn());
      return;
    }
    const byLease = chance(this.#random, 0.5);
    this.#ask(
      process,
      async ({ node, leases }) => {
        const { keys } = await node.range(
          {
            type: "range",
            ...queueOf(this.#someLock()),
            revision: 0,
            limit: 0,
            sort: { target: "create", descending: false },
          },
          { mode: "linearizable" },
        );
        if (keys.length === 0) return;
        // Rather one that waits: it learns of it only when its turn comes.
        const at = chance(this.#random, 0.6) ? keys.length - 1 : this.#random.below(keys.length);
        const { key, lease } = keys[at] as KeyValue;
        if (byLease) await leases.revoke(lease);
        else await node.propose({ body: { type: "delete", key, previous: false } });
      },
      (answer) => {
        this.#count("break", answer);
        this.#pause(() => this.#turn());
      },
    );
  }

  #someLock(): Uint8Array {
    return utf8(pick(this.#random, ["lock/1", "lock/2"]));
  }

  #acquire(): void {
    const process = anyMember(this.#world, this.#random);
    if (process === undefined) {
      this.#pause(() => this.#turn());
      return;
    }
    const { history, checks, scheduler } = this.#world;
    const name = this.#someLock();
    const waitMs = pick(this.#random, [0, 300, 3000, 3000]);
    const knownRevision = history.revisionKnownAt(scheduler.nowUs);
    const giveUp = new AbortController();
    // Some clients go away while they wait.
    if (chance(this.#random, 0.15)) {
      scheduler.afterMs(between(this.#random, 1, 1000), () =>
        process.run(() => giveUp.abort(new Error("gone"))),
      );
    }
    this.#ask(
      process,
      async ({ locks }) => {
        try {
          const claim = await locks.acquire({ name, lease: 0, ttlSeconds, waitMs, signal: giveUp.signal });
          checks.locks.acquired(claim, knownRevision);
          return claim;
        } catch (error) {
          if (giveUp.signal.aborted && error === giveUp.signal.reason) return undefined;
          throw error;
        }
      },
      (answer) => {
        this.#count("acquire", answer);
        if (answer.type === "answer" && answer.value !== undefined) this.#work(answer.value);
        else this.#pause(() => this.#turn());
      },
    );
  }

  /** Holds it for a moment; some hold it too long. */
  #work(claim: Claim): void {
    const hangs = chance(this.#random, 0.2);
    const heldMs = hangs
      ? between(this.#random, 0.8, 2) * ttlSeconds * 1000
      : between(this.#random, 20, 1200);
    this.#pause(() => this.#use(claim), heldMs);
  }

  /** Writes what only the holder may write, and lets go. */
  #use(claim: Claim): void {
    const process = anyMember(this.#world, this.#random);
    if (process === undefined) {
      this.#pause(() => this.#turn());
      return;
    }
    const { key, createRevision } = claim;
    const guarded = utf8(`fenced/${claim.name.at(-1)}`);
    const value = paddedValue(`${createRevision}`, 0);
    this.#ask(
      process,
      ({ node }) =>
        node.propose({
          body: {
            type: "txn",
            compare: [{ key, target: "create", result: "equal", operand: createRevision }],
            success: [{ type: "put", key: guarded, value, lease: 0, previous: false }],
            failure: [],
          },
        }),
      (answer) => {
        this.#count("fenced write", answer);
        if (answer.type === "answer" && answer.value.type === "txn") {
          const { succeeded, revision } = answer.value;
          this.#world.coverage.add(`lock: ${succeeded ? "worked under it" : "lost before it was used"}`);
          if (succeeded) this.#world.checks.locks.wrote(claim, revision);
        }
        this.#release(claim);
      },
    );
  }

  #release({ name, lease }: Claim): void {
    const process = anyMember(this.#world, this.#random);
    if (process === undefined || chance(this.#random, 0.3)) {
      this.#pause(() => this.#turn());
      return;
    }
    this.#ask(
      process,
      ({ locks }) => locks.release(claimKeyOf(name, lease)),
      (answer) => {
        this.#count("release", answer);
        this.#pause(() => this.#turn());
      },
    );
  }

  #count(what: string, answer: Answer<unknown>): void {
    const ending = answer.type === "error" ? answer.code : answer.type;
    this.#world.coverage.add(`lock: ${what} ${ending}`);
  }
}
