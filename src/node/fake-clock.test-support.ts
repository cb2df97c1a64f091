import type { Clock, Timer } from "../base/clock.ts";

interface Planned {
  readonly atMs: number;
  readonly order: number;
  readonly action: () => void;
}

/** A clock that moves only when a test says so. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #planned: Planned[] = [];

  /** Timers that have not fired. */
  get planned(): number {
    return this.#planned.length;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  after(delayMs: number, action: () => void): Timer {
    const planned = { atMs: this.#nowMs + delayMs, order: this.#order++, action };
    this.#planned.push(planned);
    return {
      cancel: () => {
        this.#planned = this.#planned.filter((other) => other !== planned);
      },
    };
  }

  endOfTurn(action: () => void): void {
    this.after(0, action);
  }

  /** Runs everything due within the next `milliseconds`, in order. */
  advance(milliseconds: number): void {
    const untilMs = this.#nowMs + milliseconds;
    for (;;) {
      const next = this.#planned
        .filter(({ atMs }) => atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined) break;
      this.#planned = this.#planned.filter((other) => other !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.action();
    }
    this.#nowMs = untilMs;
  }
}
