import type { Clock } from "../base/clock.ts";

/** Time that reads of the state may take before the next ones wait for another turn of the event loop. */
const turnBudgetMs = 5;

export interface ReadTurnsContext {
  readonly clock: Clock;
  /** What has to be awaited before the state can be read at all. */
  held(): Promise<unknown> | undefined;
  /** Runs reads of the state that come one after another, which is cheaper than each by itself. */
  together(reads: () => void): void;
}

/**
 * Carries out the reads of a turn of the event loop together at its end, in the order of asking, and
 * spreads large ones over turns. All reads of one ReadIndex round become due in the same moment; carried
 * out in one go, thirty of 4 MB each would keep the member from its heartbeats.
 */
export class ReadTurns {
  readonly #context: ReadTurnsContext;
  #waiting: (() => void)[] = [];
  #scheduled = false;

  constructor(context: ReadTurnsContext) {
    this.#context = context;
  }

  /** Gives what `read` gave or threw. */
  run<T>(read: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        try {
          resolve(read());
        } catch (error) {
          reject(error);
        }
      });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#context.clock.endOfTurn(() => {
      this.#scheduled = false;
      this.#carryOut();
    });
  }

  #carryOut(): void {
    const held = this.#context.held();
    if (held !== undefined) {
      const again = (): void => this.#schedule();
      void held.then(again, again);
      return;
    }
    const { clock, together } = this.#context;
    const untilMs = clock.nowMs() + turnBudgetMs;
    let done = 0;
    together(() => {
      while (done < this.#waiting.length && clock.nowMs() <= untilMs) this.#waiting[done++]?.();
    });
    this.#waiting = this.#waiting.slice(done);
    if (this.#waiting.length > 0) this.#schedule();
  }
}
