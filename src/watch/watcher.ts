import type { CoracleError } from "../base/errors.ts";
import type { Watch, WatchReceiver } from "../service/service.ts";
import type { QueuedBatch, Topic } from "./topic.ts";

/** What a watch needs of its hub. */
export interface WatcherHost {
  /** The revision up to which synced watches have been served. */
  readonly head: number;
  resumed(watcher: Watcher): void;
  cancelled(watcher: Watcher): void;
}

/** One watch: its place in history, and what waits for its receiver. */
export class Watcher implements Watch {
  readonly storeRevision: number;
  readonly openedRevision: number;
  readonly topic: Topic;
  readonly receiver: WatchReceiver;
  state: "synced" | "behind" | "ended" = "behind";
  /** Its receiver wants no more for now. */
  paused = false;
  /** Events up to this revision are collected, or not wanted. While it is behind, its place. */
  after: number;
  /** It stands in the hub's list of those that have something to be given. */
  listed = false;
  /** It ends when its queue is given. */
  ending: CoracleError | undefined;
  queuedBytes = 0;
  queuedEvents = 0;
  readonly #host: WatcherHost;
  /** Events up to this revision were never wanted. */
  readonly #start: number;
  #queue: QueuedBatch[] = [];
  /** Every event up to this revision was given; more may be true while nothing is queued. */
  #given: number;

  constructor(
    host: WatcherHost,
    topic: Topic,
    receiver: WatchReceiver,
    place: { readonly storeRevision: number; readonly after: number },
  ) {
    this.#host = host;
    this.topic = topic;
    this.receiver = receiver;
    this.storeRevision = place.storeRevision;
    this.after = place.after;
    this.#start = place.after;
    this.openedRevision = Math.max(0, Math.min(place.after, place.storeRevision));
    this.#given = this.openedRevision;
  }

  get deliveredRevision(): number {
    if (this.#queue.length > 0 || this.state === "ended") return this.#given;
    return Math.max(this.#given, this.state === "synced" ? this.#host.head : this.after);
  }

  get idle(): boolean {
    return this.#queue.length === 0;
  }

  cancel(): void {
    if (this.state !== "ended") this.#host.cancelled(this);
  }

  resume(): void {
    if (!this.paused || this.state === "ended") return;
    this.paused = false;
    this.#host.resumed(this);
  }

  /** Appends to the queue; to be called before `after` or the head move past the batch. */
  enqueue(queued: QueuedBatch): void {
    if (this.#queue.length === 0) this.#given = this.deliveredRevision;
    this.#queue.push(queued);
    this.queuedBytes += queued.bytes;
    this.queuedEvents += queued.batch.events.length;
  }

  /** Takes the first of the queue out, as given. */
  dequeue(): QueuedBatch | undefined {
    const queued = this.#queue.shift();
    if (queued === undefined) return undefined;
    this.#given = queued.batch.revision;
    this.queuedBytes -= queued.bytes;
    this.queuedEvents -= queued.batch.events.length;
    return queued;
  }

  /** Forgets what is queued: its place is behind what was given last. */
  drop(): void {
    this.#queue = [];
    this.queuedBytes = 0;
    this.queuedEvents = 0;
    // Not behind `after`: what it was caught up with may be among what is dropped.
    this.after = Math.max(this.#start, this.#given);
  }

  end(): void {
    this.#given = this.deliveredRevision;
    this.state = "ended";
    this.#queue = [];
    this.queuedBytes = 0;
    this.queuedEvents = 0;
  }
}
