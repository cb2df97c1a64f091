import type { Clock } from "../base/clock.ts";

/** Time that reads of the state may take before the next ones wait for another turn of the event loop. */
const turnBudgetMs = 5;

export interface ReadTurnsContext {
  readonly clock: Clock;
  /** What has to be awaited before the state can be read at all. */
  stateHeld(): Promise<unknown> | undefined;
  /** Runs reads of the state that come one after another, which is cheaper than each by itself. */
  readTogether(reads: () => void): void;
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
    this.#context.clock.endOfTurn(() => this.#endOfTurn());
  }

  #endOfTurn(): void {
    const held = this.#context.stateHeld();
    if (held !== undefined) {
      const again = (): void => this.#context.clock.endOfTurn(() => this.#endOfTurn());
      void held.then(again, again);
      return;
    }
    this.#scheduled = false;
    this.#context.readTogether(() => this.#carryOut());
    if (this.#waiting.length > 0) this.#schedule();
  }

  #carryOut(): void {
    const { clock } = this.#context;
    const untilMs = clock.nowMs() + turnBudgetMs;
    const waiting = this.#waiting;
    this.#waiting = [];
    let done = 0;
    do waiting[done++]?.();
    while (done < waiting.length && clock.nowMs() <= untilMs);
    if (done < waiting.length) this.#waiting = waiting.slice(done).concat(this.#waiting);
  }
}
