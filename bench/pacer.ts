import { Worker } from "node:worker_threads";
import type { faces } from "./faces.ts";
import { percentile } from "./statistics.ts";

/**
 * A client that begins so many jobs a second, whatever becomes of those before (an open loop), in a
 * thread of its own. What a load tool cannot do: go to the next member when one fails, jobs of
 * several requests, and a time with every answer, so that a window can be looked at afterwards.
 */

/**
 * `get` and `put` go by the face given; the others by the JSON gateway. `lease` grants a lease, puts
 * a key with it and revokes it: three requests. `keep-alive` renews one of `leases`.
 */
export type JobKind = "put" | "get" | "delete" | "lease" | "keep-alive";

export interface PacerOptions {
  /** Clients begin at these in turn, and go to the next one on failure. */
  readonly endpoints: readonly string[];
  readonly face: keyof typeof faces;
  /** Jobs at once at most; what is due beyond waits, and its wait counts. */
  readonly connections: number;
  /** `Infinity`: the next job as soon as a connection is free, so all are always busy. */
  readonly perSecond: number;
  /** Drawn by their shares. */
  readonly jobs: readonly { readonly kind: JobKind; readonly share: number }[];
  /** A key is drawn at random from the first so many of the fill; 0 for one and the same. */
  readonly keys: number;
  readonly value: string;
  /** Leases that are granted first, for `keep-alive`. */
  readonly leases?: number;
  /** Of one attempt. */
  readonly timeoutMs?: number;
  /** Of one request, each at the next member, at least 20 ms apart after the first round. */
  readonly attempts?: number;
}

/** Answered jobs, by the end of each. */
export interface Samples {
  /** When it was due, or when a connection was free if that was later. Milliseconds as of `nowMs`. */
  readonly beganMs: Float64Array;
  readonly tookMs: Float64Array;
  /** Jobs given up after all attempts. */
  readonly failed: number;
  /** Attempts that failed and were made again, by what was told. */
  readonly repeats: Readonly<Record<string, number>>;
}

export class Pacer {
  readonly #worker: Worker;
  readonly #started: Promise<void>;
  readonly #samples: Promise<Samples>;

  private constructor(options: PacerOptions) {
    this.#worker = new Worker(new URL("pacer-worker.ts", import.meta.url), { workerData: options });
    let started: () => void = () => {};
    this.#started = new Promise((resolve) => {
      started = resolve;
    });
    this.#samples = new Promise((resolve, reject) => {
      this.#worker.on("message", (message: "started" | Samples) => {
        if (message === "started") started();
        else resolve(message);
      });
      this.#worker.once("error", reject);
    });
    // Whoever stops it hears of it.
    this.#samples.catch(() => started());
  }

  /** Resolves when the first job is due. */
  static async start(options: PacerOptions): Promise<Pacer> {
    const pacer = new Pacer(options);
    await pacer.#started;
    return pacer;
  }

  /** Begins no more jobs, waits for those under way, and gives what was measured. */
  async stop(): Promise<Samples> {
    this.#worker.postMessage("stop");
    const samples = await this.#samples;
    await this.#worker.terminate();
    return samples;
  }
}

export interface Spread {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly longestMs: number;
}

/** Times of `nowMs`. */
export type Windows = readonly (readonly [fromMs: number, toMs: number])[];

/** Of the jobs that began in any of the windows; of all without. */
export function spreadOf(samples: Samples, windows?: Windows): Spread {
  return spreadOfAll([[samples, windows]]);
}

/** Of several measurements together. */
export function spreadOfAll(all: readonly (readonly [Samples, Windows | undefined])[]): Spread {
  const ascending = all
    .flatMap(([{ beganMs, tookMs }, windows]) =>
      Array.from(tookMs).filter((_, at) => {
        const began = beganMs[at] ?? 0;
        return windows === undefined || windows.some(([from, to]) => began >= from && began < to);
      }),
    )
    .sort((a, b) => a - b);
  return {
    count: ascending.length,
    p50Ms: percentile(ascending, 0.5),
    p99Ms: percentile(ascending, 0.99),
    p999Ms: percentile(ascending, 0.999),
    longestMs: ascending.at(-1) ?? Number.NaN,
  };
}

/** The longest time between two answers one after the other, the ends of the window counted as answers. */
export function longestGapMs(samples: Samples, fromMs: number, toMs: number): number {
  const ends = samples.beganMs
    .map((began, at) => began + (samples.tookMs[at] ?? 0))
    .filter((end) => end >= fromMs && end < toMs)
    .sort();
  let longest = 0;
  let before = fromMs;
  for (const end of ends) {
    longest = Math.max(longest, end - before);
    before = end;
  }
  return Math.max(longest, toMs - before);
}
