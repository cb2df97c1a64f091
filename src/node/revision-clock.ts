/** How many samples lie in the span: so much longer than it a revision may be kept. */
const samplesPerSpan = 120;
const sampleMsMin = 1000;

/**
 * Remembers which revision was the newest at which time, over a span that ends now. By the clock of
 * this member alone, which never goes back; a revision never looks older than it is.
 */
export class RevisionClock {
  readonly #spanMs: number;
  readonly #sampleMs: number;
  /** In the order of time; only the first may be older than the span. */
  readonly #samples: { readonly atMs: number; readonly revision: number }[] = [];

  constructor(spanMs: number) {
    this.#spanMs = spanMs;
    this.#sampleMs = Math.max(sampleMsMin, spanMs / samplesPerSpan);
  }

  /** To be told about once a second. */
  note(nowMs: number, revision: number): void {
    const last = this.#samples.at(-1);
    if (last === undefined || nowMs - last.atMs >= this.#sampleMs) {
      this.#samples.push({ atMs: nowMs, revision });
    }
    for (let next = this.#samples[1]; next !== undefined; next = this.#samples[1]) {
      if (nowMs - next.atMs < this.#spanMs) return;
      this.#samples.shift();
    }
  }

  /** A revision that was the newest at least a whole span ago; 0 when none is known. */
  oldest(nowMs: number): number {
    const first = this.#samples[0];
    return first === undefined || nowMs - first.atMs < this.#spanMs ? 0 : first.revision;
  }
}
