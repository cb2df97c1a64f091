/** Ends of writes that wait for an fsync: one is under way at a time, and covers what came before it began. */
export class FsyncQueue {
  readonly #after: (delayMs: number, action: () => void) => void;
  readonly #fsyncMs: () => number;
  readonly #failing: () => boolean;
  #waiting: ((error?: Error) => void)[] = [];
  #busy = false;

  constructor(options: {
    readonly after: (delayMs: number, action: () => void) => void;
    readonly fsyncMs: () => number;
    readonly failing: () => boolean;
  }) {
    this.#after = options.after;
    this.#fsyncMs = options.fsyncMs;
    this.#failing = options.failing;
  }

  add(done: (error?: Error) => void): void {
    this.#waiting.push(done);
    if (!this.#busy) this.#begin();
  }

  #begin(): void {
    this.#busy = true;
    const group = this.#waiting;
    this.#waiting = [];
    this.#after(this.#fsyncMs(), () => {
      this.#busy = false;
      // Each of them: a store that was closed meanwhile has ends of its own among them.
      const error = this.#failing() ? new Error("EIO: i/o error, fsync") : undefined;
      for (const done of group) done(error);
      if (this.#waiting.length > 0) this.#begin();
    });
  }
}
