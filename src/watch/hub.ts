import { getLogger } from "@logtape/logtape";
import type { Clock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Random } from "../base/prng.ts";
import type { Watch, WatchReceiver, WatchRequest, WatchService } from "../service/service.ts";
import { collect } from "./collect.ts";
import { compacted, shuttingDown } from "./errors.ts";
import { Giving } from "./giving.ts";
import { after, type QueuedBatch, type Topic } from "./topic.ts";
import { TopicIndex } from "./topic-index.ts";
import type { WatchFigures, WatchLimits, WatchSource } from "./types.ts";
import { checkRange } from "./validate.ts";
import { Watcher, type WatcherHost } from "./watcher.ts";

const log = getLogger(["coracle", "watch"]);

/** When a state that stepped back is looked at again. */
const stalledRetryMs = 20;
/**
 * A fan-out to at least so many watches is followed by a rest, so much for each: what is written
 * meanwhile is then given together. A write to a socket costs about as much as the rest.
 */
const restWatches = 256;
const restMsEach = 0.01;
const restMsMax = 50;

export interface WatchHubOptions {
  /** Asked each time: a snapshot replaces it. */
  readonly source: () => WatchSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits?: WatchLimits;
  /** Reading failed in a way that the member cannot go on from. */
  readonly onFatal: (error: unknown) => void;
}

/** Feeds every watch of this member. See DESIGN.md beside this file. */
export class WatchHub implements WatchService, WatcherHost {
  readonly #source: () => WatchSource;
  readonly #clock: Clock;
  readonly #limits: WatchLimits;
  readonly #onFatal: (error: unknown) => void;
  readonly #index: TopicIndex;
  readonly #watchers = new Set<Watcher>();
  /** Those that are behind, neither paused nor with something queued; the longest waiting first. */
  readonly #catchingUp = new Set<Watcher>();
  readonly #giving: Giving;
  #head: number;
  #synced = 0;
  #pass = 0;
  #scheduled = false;
  #stalled = false;
  /** No fan-out before this moment. */
  #restUntilMs = Number.NEGATIVE_INFINITY;
  #resting = false;
  #closed = false;
  #slowWatches = 0;
  #catchUps = 0;
  #compacted = 0;

  constructor(options: WatchHubOptions) {
    this.#source = options.source;
    this.#clock = options.clock;
    this.#limits = options.limits ?? limits;
    this.#onFatal = options.onFatal;
    this.#index = new TopicIndex(options.random);
    this.#giving = new Giving(
      { settle: (watcher) => this.#settle(watcher), end: (watcher, error) => this.#end(watcher, error) },
      this.#limits.watchGivenPerTurn,
    );
    this.#head = this.#source().revision;
  }

  get head(): number {
    return this.#head;
  }

  get compactRevision(): number {
    return this.#source().compactRevision;
  }

  open(request: WatchRequest, receiver: WatchReceiver): Watch {
    checkRange(request);
    if (this.#closed) throw shuttingDown();
    if (this.#watchers.size >= this.#limits.watchesMax) {
      throw new CoracleError(
        "overloaded",
        `This member has ${this.#watchers.size} watches, the most it serves: close some, or ask another member.`,
      );
    }
    const storeRevision = Math.max(this.#head, this.#source().revision);
    if (this.#synced === 0) this.#head = storeRevision;
    const after = request.startRevision === 0 ? storeRevision : request.startRevision - 1;
    const topic = this.#index.topicOf(request);
    topic.watches++;
    const watcher = new Watcher(this, topic, receiver, { storeRevision, after });
    this.#watchers.add(watcher);
    if (after >= this.#head) this.#join(watcher);
    else {
      this.#catchUps++;
      this.#catchingUp.add(watcher);
      this.#wake();
    }
    return watcher;
  }

  // What the member tells.

  /** Entries were applied. */
  applied(): void {
    const source = this.#source();
    if (source.revision <= this.#head || source.closed) return;
    if (this.#synced === 0) {
      this.#head = source.revision;
      if (this.#catchingUp.size > 0) this.#wake();
      return;
    }
    if (source.compactRevision > this.#head + 1) this.#fanOutOvertaken(source);
    this.#wake();
  }

  /** Entries that were undone are told once only: what was not fanned out by then is noticed here. */
  duty(): void {
    this.applied();
  }

  /** A snapshot took the place of the state. */
  installed(): void {
    const source = this.#source();
    if (source.compactRevision > this.#head + 1) this.#leaveAllBehind();
    if (this.#synced === 0) this.#head = Math.max(this.#head, source.revision);
    this.#wake();
  }

  /** The member stops. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const error = shuttingDown();
    for (const watcher of [...this.#watchers]) this.#end(watcher, error);
  }

  // What a watch tells.

  resumed(watcher: Watcher): void {
    this.#settle(watcher);
  }

  cancelled(watcher: Watcher): void {
    this.#remove(watcher);
  }

  figures(): WatchFigures {
    let paused = 0;
    for (const watcher of this.#watchers) if (watcher.paused) paused++;
    return {
      watches: this.#watchers.size,
      behind: this.#watchers.size - this.#synced,
      paused,
      topics: this.#index.size,
      queuedBytes: this.#giving.queuedBytes,
      events: this.#giving.events,
      slowWatches: this.#slowWatches,
      catchUps: this.#catchUps,
      compacted: this.#compacted,
    };
  }

  #wake(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    this.#clock.endOfTurn(() => {
      this.#scheduled = false;
      if (this.#closed) return;
      try {
        this.#turn();
      } catch (error) {
        this.#onFatal(error);
      }
    });
  }

  #turn(): void {
    const source = this.#source();
    if (!source.closed) {
      if (this.#synced > 0 && this.#rested(source)) this.#fanOut(source, false);
      this.#catchUp(source);
    }
    this.#giving.turn();
    // A state that is being replaced is heard of by `installed`, one that stepped back after a while.
    const reads =
      !source.closed &&
      ((this.#synced > 0 && this.#head < source.revision && !this.#resting) ||
        (this.#catchingUp.size > 0 && !this.#stalled));
    if (reads || this.#giving.pending) this.#wake();
  }

  /** Whether a fan-out may be made; if one is wanted and may not, it is made after the rest. */
  #rested(source: WatchSource): boolean {
    if (this.#resting) return false;
    const restMs = this.#restUntilMs - this.#clock.nowMs();
    if (restMs <= 0 || source.revision <= this.#head) return true;
    this.#resting = true;
    this.#clock.after(restMs, () => {
      this.#resting = false;
      this.#wake();
    });
    return false;
  }

  /** Reads what follows the head, for all synced watches. */
  #fanOut(source: WatchSource, standing: boolean): void {
    if (source.revision <= this.#head) return;
    const changes = source.changes(this.#head + 1, this.#limits.watchFanOutRows, {
      bytesMax: this.#limits.watchSliceBytes,
      standing,
    });
    const to = changes.at(-1)?.revision ?? source.revision;
    const touched = collect(this.#index, source, changes, (topic) => topic.synced.size > 0);
    let told = 0;
    for (const topic of touched) {
      const queued = topic.take(to);
      if (queued === undefined) continue;
      const first = queued.batch.events[0]?.keyValue.modRevision ?? 0;
      told += topic.synced.size;
      for (const watcher of topic.synced) {
        // Watches that begin in the future, or began while the head was behind the state.
        const wanted = watcher.after < first ? queued : after(queued, watcher.after);
        if (wanted !== undefined) this.#enqueueSynced(watcher, wanted);
      }
    }
    this.#head = to;
    if (told >= restWatches) {
      this.#restUntilMs = this.#clock.nowMs() + Math.min(told * restMsEach, restMsMax);
    }
  }

  #enqueueSynced(watcher: Watcher, queued: QueuedBatch): void {
    const { watchQueueBytesMax, watchQueueEventsMax, watchQueuesBytesMax } = this.#limits;
    const full =
      watcher.queuedBytes + queued.bytes > watchQueueBytesMax ||
      watcher.queuedEvents + queued.batch.events.length > watchQueueEventsMax ||
      this.#giving.queuedBytes + queued.bytes > watchQueuesBytesMax;
    // A batch always fits an empty queue: else a large one would never come through.
    if (full && !watcher.idle) {
      this.#slowWatches++;
      this.#giving.queuedBytes -= watcher.queuedBytes;
      watcher.drop();
      this.#leaveBehind(watcher);
      this.#settle(watcher);
      return;
    }
    this.#giving.enqueue(watcher, queued);
    this.#settle(watcher);
  }

  /**
   * A compaction was applied together with writes that were not fanned out yet. No slice of it has
   * run, so their rows stand: they are read now, or never.
   */
  #fanOutOvertaken(source: WatchSource): void {
    let rowsLeft = this.#limits.watchOvertakenRowsMax;
    while (this.#head < source.revision && rowsLeft > 0) {
      this.#fanOut(source, true);
      rowsLeft -= this.#limits.watchFanOutRows;
      if (source.compactRevision <= this.#head + 1) return;
    }
    if (source.compactRevision > this.#head + 1) this.#leaveAllBehind();
  }

  /** One slice of history, for the watch that has waited longest and all whose place lies in it. */
  #catchUp(source: WatchSource): void {
    const first = this.#firstToCatchUp(source);
    if (first === undefined) return;
    const from = first.after + 1;
    if (source.revision < from) {
      this.#stall();
      return;
    }
    const changes = source.changes(from, this.#limits.watchSliceRows, {
      bytesMax: this.#limits.watchSliceBytes,
      standing: false,
    });
    const to = Math.min(changes.at(-1)?.revision ?? source.revision, this.#head);
    const pass = ++this.#pass;
    const taking = [...this.#catchingUp].filter(({ after }) => after >= from - 1 && after < to);
    for (const { topic } of taking) topic.pass = pass;
    const below = changes.filter(({ revision }) => revision <= to);
    collect(this.#index, source, below, (topic) => topic.pass === pass);
    const batches = new Map<Topic, QueuedBatch | undefined>();
    for (const watcher of taking) {
      const { topic } = watcher;
      if (!batches.has(topic)) batches.set(topic, topic.take(to));
      const whole = batches.get(topic);
      const queued = whole !== undefined && watcher.after >= from ? after(whole, watcher.after) : whole;
      this.#catchingUp.delete(watcher);
      if (queued !== undefined) this.#giving.enqueue(watcher, queued);
      watcher.after = to;
      if (to >= this.#head) this.#join(watcher);
      this.#settle(watcher);
    }
  }

  /** The next one to be served. Those whose history is gone end; those that need none join. */
  #firstToCatchUp(source: WatchSource): Watcher | undefined {
    const oldest = Math.max(source.compactRevision, 0);
    for (const watcher of this.#catchingUp) {
      if (watcher.after + 1 < oldest || watcher.after < -1) {
        this.#catchingUp.delete(watcher);
        this.#compacted++;
        watcher.ending = compacted(watcher.after + 1, source.compactRevision);
        this.#settle(watcher);
      } else if (watcher.after >= this.#head) {
        this.#catchingUp.delete(watcher);
        this.#join(watcher);
      } else return watcher;
    }
    return undefined;
  }

  #stall(): void {
    if (this.#stalled) return;
    this.#stalled = true;
    this.#clock.after(stalledRetryMs, () => {
      this.#stalled = false;
      this.#wake();
    });
  }

  /** Puts a watch where it is worked on next, if it is. */
  #settle(watcher: Watcher): void {
    if (watcher.state === "ended" || watcher.paused) return;
    if (!watcher.idle || watcher.ending !== undefined) {
      this.#giving.list(watcher);
    } else if (watcher.state === "behind") this.#catchingUp.add(watcher);
    else return;
    this.#wake();
  }

  #join(watcher: Watcher): void {
    watcher.state = "synced";
    watcher.topic.synced.add(watcher);
    this.#synced++;
  }

  #leaveBehind(watcher: Watcher): void {
    watcher.state = "behind";
    watcher.topic.synced.delete(watcher);
    this.#synced--;
    this.#catchUps++;
  }

  /** History jumped over the head: what follows is for each watch to find out. */
  #leaveAllBehind(): void {
    for (const watcher of this.#watchers) {
      if (watcher.state !== "synced") continue;
      watcher.after = Math.max(watcher.after, this.#head);
      this.#leaveBehind(watcher);
      this.#settle(watcher);
    }
    this.#head = Math.max(this.#head, this.#source().revision);
  }

  #end(watcher: Watcher, error: CoracleError): void {
    this.#remove(watcher);
    try {
      watcher.receiver.ended(error);
    } catch (failure) {
      log.error("The receiver of a watch failed at its end: {error}.", { error: failure });
    }
  }

  #remove(watcher: Watcher): void {
    if (watcher.state === "ended") return;
    const { topic } = watcher;
    this.#giving.queuedBytes -= watcher.queuedBytes;
    if (watcher.state === "synced") this.#synced--;
    watcher.end();
    topic.synced.delete(watcher);
    this.#watchers.delete(watcher);
    this.#catchingUp.delete(watcher);
    if (--topic.watches === 0) this.#index.remove(topic);
  }
}
