/** Writes that are remembered, and for how long: what is older says nothing of the disk as it is now. */
const timesMax = 9;
const rememberMs = 10_000;
/** A write under way counts once it takes longer than this. */
const patienceMs = 1000;

/** How long the log's recent writes took to be durable. */
export class WriteTimes {
  #recent: { readonly atMs: number; readonly tookMs: number }[] = [];
  #begunMs: number | undefined;

  begin(nowMs: number): void {
    this.#begunMs = nowMs;
  }

  end(nowMs: number, tookMs: number): void {
    this.#begunMs = undefined;
    this.#recent.push({ atMs: nowMs, tookMs });
    if (this.#recent.length > timesMax) this.#recent.shift();
  }

  /**
   * The median of the recent ones, or the age of the one under way when that is longer; 0 when
   * nothing was written of late. A median, as one slow fsync is no slow disk.
   */
  typicalMs(nowMs: number): number {
    const recent = this.#recent.filter(({ atMs }) => nowMs - atMs < rememberMs);
    const sorted = recent.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
    const median = sorted[sorted.length >> 1] ?? 0;
    const ageMs = this.#begunMs === undefined ? 0 : nowMs - this.#begunMs;
    return ageMs > patienceMs ? Math.max(median, ageMs) : median;
  }
}
