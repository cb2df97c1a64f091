import type { Clock } from "../base/clock.ts";

/** Time that reads of the state may take before the next ones wait for another turn of the event loop. */
const turnBudgetMs = 5;

/**
 * Spreads large reads over turns of the event loop. All reads of one ReadIndex round become due in the
 * same moment; carried out in one go, thirty of 4 MB each would keep the member from its heartbeats.
 */
export class ReadTurns {
  readonly #clock: Clock;
  #spentMs = 0;
  #next: Promise<void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Carries out a read when there is time for it in this turn, in the order of asking.
   *
   * @param held gives what has to be awaited before the state can be read at all.
   */
  async run<T>(read: () => T, held: () => Promise<unknown> | undefined): Promise<T> {
    for (;;) {
      const wait = held() ?? (this.#spentMs > turnBudgetMs ? this.#nextTurn() : undefined);
      // Nothing may come between the look at the time and the read, which takes of it.
      if (wait === undefined) return this.#spend(read);
      await wait;
    }
  }

  #spend<T>(read: () => T): T {
    const startMs = this.#clock.nowMs();
    try {
      return read();
    } finally {
      this.#spentMs += this.#clock.nowMs() - startMs;
      if (this.#spentMs > turnBudgetMs) void this.#nextTurn();
    }
  }

  #nextTurn(): Promise<void> {
    this.#next ??= new Promise((resolve) => {
      this.#clock.endOfTurn(() => {
        this.#next = undefined;
        this.#spentMs = 0;
        resolve();
      });
    });
    return this.#next;
  }
}
