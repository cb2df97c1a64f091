import type { LogHealth } from "../../../src/storage/types.ts";
import { WriteTimes } from "../../../src/storage/write-times.ts";

/** While the disk is full, the write is tried again so often. */
const fullRetryMs = 100;

/** Ends of writes that wait for an fsync: one is under way at a time, and covers what came before it began. */
export class FsyncQueue {
  readonly #options: FsyncQueueOptions;
  readonly #times = new WriteTimes();
  #waiting: ((error?: Error) => void)[] = [];
  #busy = false;
  #full = false;

  constructor(options: FsyncQueueOptions) {
    this.#options = options;
  }

  add(done: (error?: Error) => void): void {
    this.#waiting.push(done);
    if (!this.#busy) this.#begin();
  }

  health(): LogHealth {
    const full = this.#full ? "database or disk is full" : undefined;
    return { full, writeMs: this.#times.typicalMs(this.#options.nowMs()) };
  }

  #begin(): void {
    this.#busy = true;
    const group = this.#waiting;
    this.#waiting = [];
    this.#times.begin(this.#options.nowMs());
    this.#write(group);
  }

  #write(group: readonly ((error?: Error) => void)[]): void {
    const { after, fsyncMs, full, failing, nowMs } = this.#options;
    this.#full = full();
    if (this.#full) {
      after(fullRetryMs, () => this.#write(group));
      return;
    }
    const tookMs = fsyncMs();
    after(tookMs, () => {
      this.#busy = false;
      this.#times.end(nowMs(), tookMs);
      // Each of them: a store that was closed meanwhile has ends of its own among them.
      const error = failing() ? new Error("EIO: i/o error, fsync") : undefined;
      for (const done of group) done(error);
      if (this.#waiting.length > 0) this.#begin();
    });
  }
}

export interface FsyncQueueOptions {
  readonly after: (delayMs: number, action: () => void) => void;
  readonly nowMs: () => number;
  readonly fsyncMs: () => number;
  /** Whether the disk has no room for a write now. */
  readonly full: () => boolean;
  readonly failing: () => boolean;
}
