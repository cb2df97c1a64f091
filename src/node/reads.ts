import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { firstNumber, type Random } from "../base/prng.ts";
import { TransactionLost } from "../kv/state-machine.ts";
import { type MemberId, nobody, type RaftEvent } from "../raft/types.ts";
import type { Consistency } from "./dependencies.ts";
import type { Blocked } from "./part.ts";
import { ReadTurns, type ReadTurnsContext } from "./read-turns.ts";

export interface ReadContext extends ReadTurnsContext {
  readonly random: Random;
  leader(): MemberId;
  step(event: RaftEvent): void;
  applied(): number;
  wake(): void;
  /** Why this member cannot store or apply what it is sent, if so. */
  blocked?(): Blocked | undefined;
  readonly leaderWaitMs: number;
  /** A confirmation that got lost on the way is asked for again after this long. */
  readonly retryAfterMs: number;
}

interface Waiter {
  readonly deadlineMs: number;
  ready(index: number): void;
  failed(error: CoracleError): void;
}

/** Reads that share one ReadIndex confirmation. */
interface Round {
  readonly waiters: readonly Waiter[];
  readonly startedMs: number;
}

interface Confirmed {
  readonly index: number;
  readonly round: Round;
}

/**
 * Linearizable reads (thesis §6.4): all that arrive in one turn share one ReadIndex request, and
 * are served once the index it gave is applied here. A read has no effect, so a lost or refused
 * round is simply asked for again until the deadline.
 */
export class Reads {
  readonly #turns: ReadTurns;
  readonly #context: ReadContext;
  #queued: Waiter[] = [];
  /** When the first of `#queued` was added: no later than any of them was asked. */
  #queuedSinceMs = 0;
  readonly #rounds = new Map<number, Round>();
  /** Confirmed rounds that wait for their index to be applied, in the order of index. */
  #due: Confirmed[] = [];
  #nextContext: number;
  #count = 0;
  /** This member's state is known to have been current at this moment. */
  #freshAtMs = Number.NEGATIVE_INFINITY;
  /** The index that it had to have applied for that. */
  #freshIndex = 0;
  #closed = false;

  constructor(context: ReadContext) {
    this.#context = context;
    this.#turns = new ReadTurns(context);
    this.#nextContext = firstNumber(context.random);
  }

  /**
   * Carries out a read of this member's state when it is as current as asked for. What was applied may be
   * undone for a while between the confirmation and the read; then the read waits for it again.
   */
  async run<T>(consistency: Consistency, read: () => T): Promise<T> {
    for (;;) {
      const confirmed = this.#confirm(consistency);
      const index = typeof confirmed === "number" ? confirmed : await confirmed;
      const found = await this.#turns.run(() => {
        if (this.#closed) throw closing();
        return this.#context.applied() < index ? undefined : answerOf(read);
      });
      if (found !== undefined) return found.answer;
    }
  }

  #confirm(consistency: Consistency): Promise<number> | number {
    if (consistency.mode === "linearizable") return this.#confirmed();
    return consistency.maxStaleMs === undefined ? 0 : this.#fresh(consistency.maxStaleMs);
  }

  /** Resolves when a read of this member's state is linearizable with respect to this call. */
  async current(): Promise<void> {
    for (;;) {
      const index = await this.#confirmed();
      // What waited for this resumes at the end of the turn, in which the state may have gone back.
      if (this.#context.applied() >= index) return;
    }
  }

  /** Gives the index that must be applied when the state is read. */
  #confirmed(): Promise<number> {
    if (this.#closed) {
      return Promise.reject(closing());
    }
    if (this.#count >= limits.readsInFlightMax) {
      return Promise.reject(
        new CoracleError("overloaded", `${this.#count} reads wait already; try again shortly.`),
      );
    }
    return new Promise((resolve, reject) => {
      const nowMs = this.#context.clock.nowMs();
      this.#count++;
      if (this.#queued.length === 0) {
        this.#queuedSinceMs = nowMs;
        this.#context.wake();
      }
      this.#queued.push({
        deadlineMs: nowMs + this.#context.leaderWaitMs,
        ready: (index) => {
          this.#count--;
          resolve(index);
        },
        failed: (error) => {
          this.#count--;
          reject(error);
        },
      });
    });
  }

  /** The index to be applied for a state that is known to be no older than `maxStaleMs`. */
  #fresh(maxStaleMs: number): Promise<number> | number {
    const recent = this.#context.clock.nowMs() - this.#freshAtMs <= maxStaleMs;
    return recent && this.#context.applied() >= this.#freshIndex ? this.#freshIndex : this.#confirmed();
  }

  /** The state went back: it is not known to be current any more. */
  forgetFreshness(): void {
    this.#freshAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Asks for one confirmation for everything queued; called once a turn. */
  flush(): void {
    if (this.#queued.length === 0 || this.#context.leader() === nobody) return;
    const waiters = this.#queued;
    this.#queued = [];
    const context = this.#nextContext++;
    this.#rounds.set(context, { waiters, startedMs: this.#queuedSinceMs });
    this.#context.step({ type: "read", context });
  }

  confirmed(reads: readonly { readonly context: number; readonly index: number }[]): void {
    for (const { context, index } of reads) {
      const round = this.#rounds.get(context);
      if (round === undefined) continue;
      this.#rounds.delete(context);
      this.#due.push({ index, round });
    }
    this.applied();
  }

  refused(contexts: readonly number[]): void {
    for (const context of contexts) this.#again(context);
  }

  /** The applied index moved. */
  applied(): void {
    if (this.#due.length === 0) return;
    const appliedIndex = this.#context.applied();
    const waiting: Confirmed[] = [];
    for (const confirmed of this.#due) {
      if (confirmed.index > appliedIndex) {
        waiting.push(confirmed);
        continue;
      }
      this.#freshAtMs = Math.max(this.#freshAtMs, confirmed.round.startedMs);
      this.#freshIndex = Math.max(this.#freshIndex, confirmed.index);
      for (const waiter of confirmed.round.waiters) waiter.ready(confirmed.index);
    }
    this.#due = waiting;
  }

  /** Ends reads that waited too long, and asks again for rounds that got no answer. */
  sweep(): void {
    const nowMs = this.#context.clock.nowMs();
    const error = (): CoracleError =>
      this.#context.leader() === nobody
        ? new CoracleError(
            "no_leader",
            "The cluster has no leader now; try again, or ask for consistency=serializable.",
          )
        : new CoracleError("not_proposed", unconfirmed(this.#context.blocked?.()));
    for (const [context, round] of this.#rounds) {
      if (nowMs - round.startedMs > this.#context.retryAfterMs) this.#again(context);
    }
    const late = this.#queued.filter((waiter) => waiter.deadlineMs <= nowMs);
    if (late.length > 0) this.#queued = this.#queued.filter((waiter) => waiter.deadlineMs > nowMs);
    for (const waiter of late) waiter.failed(error());
    const stuck = this.#due.filter(({ round }) =>
      round.waiters.every((waiter) => waiter.deadlineMs <= nowMs),
    );
    if (stuck.length > 0) this.#due = this.#due.filter((confirmed) => !stuck.includes(confirmed));
    for (const { round } of stuck) for (const waiter of round.waiters) waiter.failed(error());
  }

  close(): void {
    this.#closed = true;
    const error = new CoracleError("shutting_down", "This member shut down before the read was served.");
    for (const { waiters } of this.#rounds.values()) for (const waiter of waiters) waiter.failed(error);
    for (const { round } of this.#due) for (const waiter of round.waiters) waiter.failed(error);
    for (const waiter of this.#queued) waiter.failed(error);
    this.#rounds.clear();
    this.#due = [];
    this.#queued = [];
  }

  #again(context: number): void {
    const round = this.#rounds.get(context);
    if (round === undefined) return;
    this.#rounds.delete(context);
    if (this.#queued.length === 0) this.#queuedSinceMs = this.#context.clock.nowMs();
    for (const waiter of round.waiters) this.#queued.push(waiter);
    this.#context.wake();
  }
}

function closing(): CoracleError {
  return new CoracleError("shutting_down", "This member is shutting down; ask another member.");
}

function unconfirmed(blocked: Blocked | undefined): string {
  const cause = blocked?.unready;
  return cause === undefined
    ? "The leader did not confirm the read in time; try again."
    : `The read cannot be served here now, since ${cause}; ask another member, or for consistency=serializable.`;
}

/** Nothing when the read found that the state has gone back. */
function answerOf<T>(read: () => T): { readonly answer: T } | undefined {
  try {
    return { answer: read() };
  } catch (error) {
    if (error instanceof TransactionLost) return undefined;
    throw error;
  }
}
