import type { Clock, Timer } from "../base/clock.ts";

/**
 * For how long proposals gather at most while an entry is on its way: longer than the way to a majority
 * takes between near members with fast disks, and little beside that between others.
 */
const gatherMs = 3;
/** So many make an entry whose own cost does not count any more. */
const gatheredMax = 512;
/** For how long at most those who were just answered are waited for. */
const returnMs = 2;
/**
 * … and for what part of the time that their entry took. In that part of it fewer than half of them come by
 * chance, when they are clients that wait for nothing.
 */
const returnShare = 0.75;
/** The most entries without waiting, after it was in vain. */
const entriesWithoutMax = 64;

export interface GatheringContext {
  readonly clock: Clock;
  wake(): void;
  /** Whether an entry of the leader's log is still on its way to a majority. */
  committing(): boolean;
}

/**
 * How long proposals wait for others, to become one entry with them. An entry costs every member a write to
 * disk, and several of them wake-ups and messages, however much is in it.
 *
 * They wait while an entry is on its way, and then for clients that were just answered and may go on at
 * once: without that, half of the clients is served while the other half waits, in twice as many entries.
 */
export class Gathering {
  readonly #context: GatheringContext;
  #timer: Timer | undefined;
  #timerAtMs: number | undefined;
  /** Until when what is queued waits while an entry is on its way. */
  #untilMs: number | undefined;
  /** How many were answered since the last entry, and how many are queued once all of them came back. */
  #answered = 0;
  #expected = 0;
  #expectedUntilMs = 0;
  /** How many answered entries are not waited for, and how many the next time when that is in vain. */
  #without = 0;
  #withoutNext = 1;

  constructor(context: GatheringContext) {
    this.#context = context;
  }

  /** Whether `queued` proposals should wait for more. Wakes the node when they have waited long enough. */
  waits(queued: number): boolean {
    if (queued >= gatheredMax) return false;
    const { clock, committing } = this.#context;
    const nowMs = clock.nowMs();
    if (committing()) this.#untilMs ??= nowMs + gatherMs;
    else if (queued >= this.#expected) return false;
    else this.#untilMs = this.#expectedUntilMs;
    if (nowMs >= this.#untilMs) return false;
    this.#wakeAt(this.#untilMs, nowMs);
    return true;
  }

  /** What waited, `queued` of it, is proposed now. */
  proposed(queued: number): void {
    this.#stopTimer();
    this.#untilMs = undefined;
    if (this.#answered === 0) return;
    const cameBack = queued - (this.#expected - this.#answered);
    if (cameBack * 2 >= this.#answered) this.#withoutNext = 1;
    else {
      this.#without = this.#withoutNext;
      this.#withoutNext = Math.min(2 * this.#withoutNext, entriesWithoutMax);
    }
    this.#answered = 0;
    this.#expected = 0;
  }

  /** An entry of `count` proposals, which took so long, was answered while `queued` others wait. */
  answered(count: number, tookMs: number, queued: number): void {
    if (this.#without > 0) {
      this.#without--;
      return;
    }
    this.#answered += count;
    this.#expected = Math.max(this.#expected, queued) + count;
    this.#expectedUntilMs = this.#context.clock.nowMs() + Math.min(returnMs, returnShare * tookMs);
  }

  #wakeAt(atMs: number, nowMs: number): void {
    if (this.#timerAtMs === atMs) return;
    this.#stopTimer();
    const { clock, wake } = this.#context;
    this.#timerAtMs = atMs;
    this.#timer = clock.after(atMs - nowMs, () => {
      this.#timerAtMs = undefined;
      wake();
    });
  }

  #stopTimer(): void {
    this.#timer?.cancel();
    this.#timerAtMs = undefined;
  }
}
