import { utf8 } from "../../../src/base/bytes.ts";
import type { Random } from "../../../src/base/prng.ts";
import type { LeaseId } from "../../../src/kv/types.ts";
import { between, chance, pick } from "../engine/streams.ts";
import type { MemberProcess } from "../members/process.ts";
import type { World } from "../members/world.ts";
import { type Answer, anyMember, ask } from "./asking.ts";
import { paddedValue } from "./commands.ts";

/** A client that takes leases, hangs keys on them, keeps them alive for a while, and lets go. */
export class LeaseHolder {
  readonly #world: World;
  readonly #number: number;
  readonly #random: Random;
  #leases = 0;
  #member: MemberProcess | undefined;
  #stopped = false;
  /** Questions under way. */
  #asking = 0;
  /** The lease that it keeps alive. */
  #kept: LeaseId | undefined;

  constructor(world: World, number: number, random: Random) {
    this.#world = world;
    this.#number = number;
    this.#random = random;
    this.#pause(() => this.#grant(), between(random, 20, 600));
  }

  get idle(): boolean {
    return this.#asking === 0;
  }

  stop(): void {
    this.#stopped = true;
  }

  #pause(then: () => void, delayMs = between(this.#random, 50, 1500)): void {
    this.#world.scheduler.afterMs(delayMs, () => {
      if (!this.#stopped) then();
    });
  }

  #ask<T>(question: (process: MemberProcess) => Promise<T>, then: (answer: Answer<T>) => void): void {
    const process = this.#choose();
    if (process === undefined) {
      this.#pause(() => this.#ask(question, then), 100);
      return;
    }
    this.#askOf(process, question, (answer) => {
      if (answer.type !== "answer") this.#member = undefined;
      then(answer);
    });
  }

  #askOf<T>(
    process: MemberProcess,
    question: (process: MemberProcess) => Promise<T>,
    then: (answer: Answer<T>) => void,
  ): void {
    this.#asking++;
    ask(this.#world, this.#random, process, question, (answer) => {
      this.#asking--;
      then(answer);
    });
  }

  /** Renews what it keeps, if anything, through this member, out of turn; with `last` it may never do so again. */
  renewThrough(process: MemberProcess, last: boolean): boolean {
    const id = this.#kept;
    if (id === undefined) return false;
    if (last && chance(this.#random, 0.5)) this.#kept = undefined;
    const calledUs = this.#world.scheduler.nowUs;
    this.#askOf(
      process,
      ({ leases }) => leases.keepAlive(id),
      (answer) => this.#renewed(id, calledUs, answer),
    );
    return true;
  }

  /** Mostly the member that answered last: it may be cut off with this client. */
  #choose(): MemberProcess | undefined {
    if (this.#member?.ready !== true || chance(this.#random, 0.15)) {
      this.#member = anyMember(this.#world, this.#random);
    }
    return this.#member;
  }

  #grant(): void {
    const id = (this.#number + 1) * 1_000_000 + this.#leases++;
    const ttlSeconds = pick(this.#random, [1, 2, 3, 6, 6]);
    const calledUs = this.#world.scheduler.nowUs;
    this.#ask(
      ({ leases }) => leases.grant(id, ttlSeconds),
      (answer) => {
        this.#count("grant", answer);
        // An id is used once, so whoever asked has it, or does not know.
        if (answer.type !== "answer") {
          this.#pause(() => this.#grant());
          return;
        }
        const { ttlSeconds: given } = answer.value;
        this.#world.checks.leases.confirmed(id, calledUs, given);
        this.#kept = id;
        this.#hang(id, given, this.#random.below(3));
      },
    );
  }

  #hang(id: LeaseId, ttlSeconds: number, keys: number): void {
    if (keys === 0) {
      this.#keep(id, ttlSeconds, this.#random.below(12));
      return;
    }
    const key = utf8(`lease/${this.#random.below(6)}`);
    const value = paddedValue(`${id}/${keys}`, 0);
    this.#ask(
      ({ node }) => node.propose({ body: { type: "put", key, value, lease: id, previous: false } }),
      (answer) => {
        this.#count("put with a lease", answer);
        this.#hang(id, ttlSeconds, keys - 1);
      },
    );
  }

  /** Renews it `times` times, in good time or a little late, unless it was forgotten meanwhile. */
  #keep(id: LeaseId, ttlSeconds: number, times: number): void {
    if (times === 0) {
      this.#letGo(id);
      return;
    }
    this.#pause(
      () => {
        if (this.#kept !== id) this.#grant();
        else this.#renewInTurn(id, ttlSeconds, times);
      },
      ttlSeconds * 1000 * this.#gap(),
    );
  }

  /** Between two renewals, in TTLs. */
  #gap(): number {
    if (chance(this.#random, 0.35)) return between(this.#random, 0.5, 0.9);
    return between(this.#random, 0.1, chance(this.#random, 0.1) ? 1.3 : 0.5);
  }

  #renewInTurn(id: LeaseId, ttlSeconds: number, times: number): void {
    const calledUs = this.#world.scheduler.nowUs;
    this.#ask(
      ({ leases }) => leases.keepAlive(id),
      (answer) => {
        this.#renewed(id, calledUs, answer);
        if (isOver(answer)) this.#pause(() => this.#grant());
        else this.#keep(id, ttlSeconds, times - 1);
      },
    );
  }

  #renewed(id: LeaseId, calledUs: number, answer: Answer<{ readonly ttlSeconds: number }>): void {
    this.#count("keep-alive", answer);
    if (answer.type === "answer") {
      this.#world.checks.leases.confirmed(id, calledUs, answer.value.ttlSeconds);
    }
  }

  #letGo(id: LeaseId): void {
    this.#kept = undefined;
    if (chance(this.#random, 0.6)) {
      this.#pause(() => this.#grant());
      return;
    }
    this.#ask(
      ({ leases }) => leases.revoke(id),
      (answer) => {
        this.#count("revoke", answer);
        this.#pause(() => this.#grant());
      },
    );
  }

  #count(what: string, answer: Answer<unknown>): void {
    const ending = answer.type === "error" ? answer.code : answer.type;
    this.#world.coverage.add(`lease: ${what} ${ending}`);
  }
}

function isOver(answer: Answer<unknown>): boolean {
  return answer.type === "error" && answer.code === "lease_not_found";
}
