import { Worker } from "node:worker_threads";
import { pause } from "../test/e2e/wait.ts";

/** Many watch streams of the same keys, each on a connection of its own, read in one thread. */

export interface WatchersOptions {
  /** In turn. */
  readonly endpoints: readonly string[];
  readonly count: number;
  readonly face: "gateway" | "v1";
  /** ASCII. */
  readonly prefix: string;
}

export interface WatchedView {
  readonly open: number;
  /** Of all watches together. */
  readonly events: number;
  /** Of the watch that has had the fewest. */
  readonly fewest: number;
  /** When the n-th event had reached every watch, as far as it has. */
  readonly completeMs: Float64Array;
  readonly failure?: string;
}

const answerMsMax = 30_000;

export class Watchers {
  readonly #worker: Worker;
  #failure: unknown;

  constructor(options: WatchersOptions) {
    this.#worker = new Worker(new URL("watchers-worker.ts", import.meta.url), { workerData: options });
    this.#worker.once("error", (error) => {
      this.#failure = error;
    });
  }

  /** @throws Error when a stream was refused or ended, or could not be opened in time. */
  async view(): Promise<WatchedView> {
    if (this.#failure !== undefined) throw this.#failure;
    const view = await new Promise<WatchedView>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("the watchers do not answer")), answerMsMax);
      this.#worker.once("message", (answer: WatchedView) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#worker.postMessage("view");
    });
    if (view.failure !== undefined) throw new Error(view.failure);
    return view;
  }

  async stop(): Promise<void> {
    await Promise.race([this.#worker.terminate(), pause(1_000)]);
  }
}
