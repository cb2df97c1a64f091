import { getLogger } from "@logtape/logtape";
import { CoracleError } from "../base/errors.ts";
import type { QueuedBatch } from "./topic.ts";
import type { Watcher } from "./watcher.ts";

const log = getLogger(["coracle", "watch"]);

/** Batches that one receiver gets before the next has its turn. */
const batchesInTurn = 16;
/** So many bytes of a batch count as much as giving one. */
const bytesEach = 4096;

/** What becomes of a watch that was given something. */
export interface GivingHost {
  /** Puts it where it is worked on next. */
  settle(watcher: Watcher): void;
  end(watcher: Watcher, error: CoracleError): void;
}

/** Gives receivers what is queued for them, in portions, so that others are served in between. */
export class Giving {
  /** Bytes in all queues. */
  queuedBytes = 0;
  /** Events given so far. */
  events = 0;
  readonly #host: GivingHost;
  readonly #perTurn: number;
  /** Those that have something to be given, or to be told. */
  #ready: Watcher[] = [];

  constructor(host: GivingHost, perTurn: number) {
    this.#host = host;
    this.#perTurn = perTurn;
  }

  get pending(): boolean {
    return this.#ready.length > 0;
  }

  enqueue(watcher: Watcher, queued: QueuedBatch): void {
    watcher.enqueue(queued);
    this.queuedBytes += queued.bytes;
  }

  /** The watch has its turn, once. */
  list(watcher: Watcher): void {
    if (watcher.listed) return;
    watcher.listed = true;
    this.#ready.push(watcher);
  }

  /** One portion: as many batches as one turn may, or fewer large ones. */
  turn(): void {
    const ready = this.#ready;
    this.#ready = [];
    let left = this.#perTurn;
    let served = 0;
    for (const watcher of ready) {
      if (left <= 0) break;
      served++;
      watcher.listed = false;
      for (let batches = 0; batches < batchesInTurn && left > 0 && mayReceive(watcher); batches++) {
        left -= 1 + Math.floor(this.#give(watcher) / bytesEach);
      }
      if (watcher.state === "ended") continue;
      if (watcher.idle && watcher.ending !== undefined) this.#host.end(watcher, watcher.ending);
      else this.#host.settle(watcher);
    }
    // Whoever had no turn comes before those who had one.
    if (served < ready.length) this.#ready = [...ready.slice(served), ...this.#ready];
  }

  /** Gives one batch. Its bytes are the answer. */
  #give(watcher: Watcher): number {
    const queued = watcher.dequeue();
    if (queued === undefined) return 0;
    this.queuedBytes -= queued.bytes;
    this.events += queued.batch.events.length;
    try {
      watcher.paused = !watcher.receiver.receive(queued.batch);
    } catch (error) {
      log.error("A watch ended by a bug in its receiver: {error}.", { error });
      const message = "The member failed to serve this watch; its log says why.";
      this.#host.end(watcher, new CoracleError("internal", message));
    }
    return queued.bytes;
  }
}

function mayReceive(watcher: Watcher): boolean {
  return watcher.state !== "ended" && !watcher.paused && !watcher.idle;
}
