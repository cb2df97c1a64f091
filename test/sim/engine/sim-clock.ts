import type { Clock, Timer } from "../../../src/base/clock.ts";
import type { Scheduler } from "./scheduler.ts";

/** Runs work as one process, or not at all when that process has ended; holds it while it is stopped. */
export interface Executor {
  run(action: () => void): void;
}

/** The clock of one machine: it may drift, and its wall time may be stepped. */
export class MachineClock {
  readonly #scheduler: Scheduler;
  #rate = 1;
  #slowestRate = 1;
  #fastestRate = 1;
  #baseUs = 0;
  #baseMs: number;
  /** What an operator or NTP did to the wall clock. */
  wallOffsetMs: number;

  constructor(scheduler: Scheduler, options: { readonly startMs: number; readonly wallOffsetMs: number }) {
    this.#scheduler = scheduler;
    this.#baseMs = options.startMs;
    this.wallOffsetMs = options.wallOffsetMs;
  }

  /** How slowly it ever ran; 1 is true time. */
  get slowestRate(): number {
    return this.#slowestRate;
  }

  get fastestRate(): number {
    return this.#fastestRate;
  }

  setRate(rate: number): void {
    this.#baseMs = this.nowMs();
    this.#baseUs = this.#scheduler.nowUs;
    this.#rate = rate;
    this.#slowestRate = Math.min(this.#slowestRate, rate);
    this.#fastestRate = Math.max(this.#fastestRate, rate);
  }

  nowMs(): number {
    return this.#baseMs + ((this.#scheduler.nowUs - this.#baseUs) / 1000) * this.#rate;
  }

  wallMs(): number {
    return Math.round(1_700_000_000_000 + this.nowMs() + this.wallOffsetMs);
  }

  /** The clock as one process on this machine sees it. */
  forProcess(executor: Executor): Clock {
    const scheduler = this.#scheduler;
    return {
      nowMs: () => this.nowMs(),
      wallMs: () => this.wallMs(),
      after: (delayMs, action): Timer =>
        scheduler.after((delayMs * 1000) / this.#rate, () => executor.run(action)),
      // What arrives within this time shares the turn, as it would in one poll of the event loop.
      endOfTurn: (action) => {
        scheduler.after(30, () => executor.run(action));
      },
    };
  }
}
