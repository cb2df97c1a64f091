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
 * … and for what part of the time that their entry took. In that part of it 3 for 7 of them come by chance,
 * on average, when they are requests that wait for nothing.
 */
const returnPart = 0.75;
/** What share of those that were answered lately must have come back. */
const returnShareMin = 0.5;
/** What was before counts so much less with each time. */
const fading = 7 / 8;
/** Where too few come back, it is tried again after so many entries, */
const retryAfterEntries = 64;
/** with so many, for it takes a few until all clients go on together. */
const trialEntries = 4;

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
  /** Whoever is back no earlier than this did not go on at once. */
  #lateMs = 0;
  #windowMs = 0;
  /** Begins when somebody waits for them: what is said to them takes its time, too. */
  #expectedUntilMs: number | undefined;
  /** Of those that were answered lately: all, and those that came back in time. */
  #lately = 0;
  #cameBackLately = 0;
  #trial = trialEntries;
  #entriesUntilRetry = retryAfterEntries;

  constructor(context: GatheringContext) {
    this.#context = context;
  }

  /** Whether `queued` proposals should wait for more. Wakes the node when they have waited long enough. */
  waits(queued: number): boolean {
    if (queued >= gatheredMax) return false;
    const { clock, committing } = this.#context;
    const nowMs = clock.nowMs();
    if (committing()) this.#untilMs ??= nowMs + gatherMs;
    else if (queued >= this.#expected || (this.#expectedUntilMs ?? this.#lateMs) <= nowMs) return false;
    else this.#untilMs = this.#expectedUntilMs ??= nowMs + this.#windowMs;
    if (nowMs >= this.#untilMs) return false;
    this.#wakeAt(this.#untilMs, nowMs);
    return true;
  }

  /** What waited, `queued` of it, is proposed now. */
  proposed(queued: number): void {
    this.#stopTimer();
    this.#untilMs = undefined;
    if (this.#answered === 0) return;
    const inTime = this.#expectedUntilMs !== undefined || this.#context.clock.nowMs() < this.#lateMs;
    const cameBack = inTime ? queued - (this.#expected - this.#answered) : 0;
    this.#lately = this.#lately * fading + this.#answered;
    this.#cameBackLately = this.#cameBackLately * fading + Math.min(cameBack, this.#answered);
    if (this.#trial > 0) this.#trial--;
    this.#answered = 0;
    this.#expected = 0;
    this.#expectedUntilMs = undefined;
  }

  /** Whether those who are answered seem to go on at once. */
  get #believes(): boolean {
    return this.#trial > 0 || this.#cameBackLately >= this.#lately * returnShareMin;
  }

  /** An entry of `count` proposals, which took so long, was answered while `queued` others wait. */
  answered(count: number, tookMs: number, queued: number): void {
    if (!this.#believes) {
      if (--this.#entriesUntilRetry > 0) return;
      this.#entriesUntilRetry = retryAfterEntries;
      this.#trial = trialEntries;
      this.#lately = 0;
      this.#cameBackLately = 0;
    }
    this.#answered += count;
    this.#expected = Math.max(this.#expected, queued) + count;
    this.#windowMs = Math.min(returnMs, returnPart * tookMs);
    this.#lateMs = this.#context.clock.nowMs() + tookMs;
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
