import { compareBytes } from "../base/bytes.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import type { Service, Watch, WatchBatch, WatchRequest } from "../service/service.ts";
import {
  WatchCreateRequest_FilterType as FilterType,
  type WatchCreateRequest,
  type WatchRequest as WatchMessage,
  type WatchResponse,
} from "./gen/watch_pb.ts";
import { headerOf, safeNumber } from "./messages.ts";
import { etcdErrorOf, refusal } from "./refusals.ts";
import { eventBytes, eventsOf, fragmentsOf } from "./watch-events.ts";

/** Of answers that wait to be taken: above it watches are paused and no requests are read. */
const waitingBytesMax = 1024 * 1024;
const answerOverheadBytes = 64;
/** A message is fragmented above this, when the watch asked for it: etcd's limit of a message. */
const fragmentBytesMax = 2 * 1024 * 1024;
/** How often a stream with `hasleader` looks for a leader, and how often it may miss one. */
const leaderLookMs = 1000;
const leaderMissesMax = 3;

export interface WatchStreamOptions {
  readonly service: Pick<Service, "watches" | "cluster">;
  readonly clock: Clock;
  /** How often a watch that asked for it is told its progress while nothing happens. */
  readonly progressMs: number;
  readonly requireLeader: boolean;
}

interface Entry {
  /** Absent when it has ended; the id is in use until the client cancels it, as in etcd. */
  watch: Watch | undefined;
  readonly fragment: boolean;
  readonly progress: boolean;
  /** Events were told since progress was last due. */
  toldEvents: boolean;
}

/** The watches of one stream, and the answers that wait to be sent, in their order. */
export class WatchStream {
  readonly #options: WatchStreamOptions;
  readonly #entries = new Map<bigint, Entry>();
  /** Watches that wait until there is room for answers. */
  readonly #paused = new Set<Entry>();
  #nextId = 0n;
  readonly #answers: { readonly message: WatchResponse; readonly bytes: number }[] = [];
  #waitingBytes = 0;
  #failure: unknown;
  #closed = false;
  /** Wakes the sender, and the reader of requests. */
  #wakeSender = (): void => {};
  #wakeReader = (): void => {};
  #progressTimer: Timer | undefined;
  #leaderTimer: Timer | undefined;

  constructor(options: WatchStreamOptions) {
    this.#options = options;
    if (options.requireLeader) this.#watchLeader(0);
  }

  /** Handles requests as they come, as long as there is room for answers. */
  async read(requests: AsyncIterable<WatchMessage>): Promise<void> {
    try {
      for await (const request of requests) {
        if (this.#closed) return;
        this.#handle(request);
        while (this.#waitingBytes > waitingBytesMax && !this.#closed) {
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve;
          });
        }
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The answers, until the stream is closed or fails. */
  async *send(): AsyncGenerator<WatchResponse, void> {
    while (!this.#closed) {
      const next = this.#answers.shift();
      if (next !== undefined) {
        this.#waitingBytes -= next.bytes;
        if (this.#waitingBytes <= waitingBytesMax / 2) this.#goOn();
        yield next.message;
      } else if (this.#failure !== undefined) {
        throw this.#failure;
      } else {
        await new Promise<void>((resolve) => {
          this.#wakeSender = resolve;
        });
      }
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#progressTimer?.cancel();
    this.#leaderTimer?.cancel();
    for (const { watch } of this.#entries.values()) watch?.cancel();
    this.#entries.clear();
    this.#paused.clear();
    this.#wakeSender();
    this.#wakeReader();
  }

  #goOn(): void {
    this.#wakeReader();
    if (this.#paused.size === 0) return;
    const paused = [...this.#paused];
    this.#paused.clear();
    for (const { watch } of paused) watch?.resume();
  }

  #fail(error: unknown): void {
    this.#failure ??= etcdErrorOf(error);
    this.#wakeSender();
  }

  #handle({ requestUnion }: WatchMessage): void {
    switch (requestUnion.case) {
      case "createRequest":
        this.#create(requestUnion.value);
        return;
      case "cancelRequest":
        this.#cancel(requestUnion.value.watchId);
        return;
      case "progressRequest":
        this.#answer({ watchId: -1n }, this.#progress());
        return;
      case undefined:
    }
  }

  #create(request: WatchCreateRequest): void {
    const range = rangeOf(request);
    if (range.end instanceof Uint8Array && compareBytes(range.key, range.end) >= 0) {
      this.#refuse("mvcc: watcher range is empty");
      return;
    }
    const id = this.#idOf(request.watchId);
    if (id === undefined) {
      this.#refuse("mvcc: duplicate watch ID provided on the WatchStream");
      return;
    }
    const entry: Entry = {
      watch: undefined,
      fragment: request.fragment,
      progress: request.progressNotify,
      toldEvents: false,
    };
    let watch: Watch;
    try {
      watch = this.#options.service.watches.open(
        {
          ...range,
          startRevision: safeNumber(request.startRevision),
          ...(request.prevKv && { previous: true }),
          ...(request.filters.includes(FilterType.NOPUT) && { withoutPuts: true }),
          ...(request.filters.includes(FilterType.NODELETE) && { withoutDeletes: true }),
        },
        {
          receive: (batch) => this.#receive(id, entry, batch),
          ended: (error) => this.#ended(id, entry, error),
        },
      );
    } catch (error) {
      if (!(error instanceof CoracleError) || error.code === "shutting_down") throw error;
      this.#refuse(messageOf(etcdErrorOf(error)));
      return;
    }
    entry.watch = watch;
    this.#entries.set(id, entry);
    this.#answer({ watchId: id, created: true }, watch.storeRevision);
    if (entry.progress && this.#progressTimer === undefined) this.#scheduleProgress();
  }

  /** The id asked for, or the next free one; nothing when it is in use. */
  #idOf(wanted: bigint): bigint | undefined {
    if (wanted !== 0n) return this.#entries.has(wanted) ? undefined : wanted;
    while (this.#entries.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  #refuse(cancelReason: string): void {
    const { revision } = this.#options.service.cluster.head();
    this.#answer({ watchId: -1n, created: true, canceled: true, cancelReason }, revision);
  }

  #cancel(id: bigint): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.watch?.cancel();
    this.#entries.delete(id);
    this.#paused.delete(entry);
    this.#answer({ watchId: id, canceled: true }, this.#options.service.cluster.head().revision);
  }

  #receive(id: bigint, entry: Entry, batch: WatchBatch): boolean {
    const events = eventsOf(batch);
    entry.toldEvents = true;
    const bytes = events.reduce((sum, event) => sum + eventBytes(event), 0);
    const message = this.#message({ watchId: id, events }, batch.revision);
    if (entry.fragment && bytes > fragmentBytesMax && events.length > 1) {
      for (const piece of fragmentsOf(message, fragmentBytesMax)) {
        this.#enqueue(
          piece,
          piece.events.reduce((sum, event) => sum + eventBytes(event), 0),
        );
      }
    } else this.#enqueue(message, bytes);
    if (this.#waitingBytes <= waitingBytesMax) return true;
    this.#paused.add(entry);
    return false;
  }

  #ended(id: bigint, entry: Entry, error: CoracleError): void {
    entry.watch = undefined;
    const compacted = error.details.compact_revision;
    if (error.code === "revision_compacted" && typeof compacted === "number") {
      this.#answer({ watchId: id, canceled: true, compactRevision: BigInt(compacted) }, 0);
    } else this.#fail(error);
  }

  /** What every watch of the stream has been told of. */
  #progress(): number {
    let least: number | undefined;
    for (const { watch } of this.#entries.values()) {
      if (watch !== undefined) least = Math.min(least ?? watch.deliveredRevision, watch.deliveredRevision);
    }
    return least ?? this.#options.service.cluster.head().revision;
  }

  #scheduleProgress(): void {
    const { clock, progressMs } = this.#options;
    this.#progressTimer = clock.after(progressMs, () => {
      for (const [id, entry] of this.#entries) {
        if (entry.watch === undefined || !entry.progress) continue;
        if (!entry.toldEvents) this.#answer({ watchId: id }, entry.watch.deliveredRevision);
        entry.toldEvents = false;
      }
      this.#scheduleProgress();
    });
  }

  #watchLeader(misses: number): void {
    const { clock, service } = this.#options;
    this.#leaderTimer = clock.after(leaderLookMs, () => {
      const missed = service.cluster.head().leaderId === 0 ? misses + 1 : 0;
      if (missed >= leaderMissesMax) this.#fail(refusal("noLeader"));
      else this.#watchLeader(missed);
    });
  }

  #answer(fields: Partial<WatchResponse>, revision: number): void {
    this.#enqueue(this.#message(fields, revision), answerOverheadBytes);
  }

  #message(fields: Partial<WatchResponse>, revision: number): WatchResponse {
    return {
      $typeName: "etcdserverpb.WatchResponse",
      header: headerOf(this.#options.service.cluster.head(), revision),
      watchId: 0n,
      created: false,
      canceled: false,
      compactRevision: 0n,
      cancelReason: "",
      fragment: false,
      events: [],
      ...fields,
    };
  }

  #enqueue(message: WatchResponse, bytes: number): void {
    if (this.#closed) return;
    this.#answers.push({ message, bytes });
    this.#waitingBytes += bytes;
    this.#wakeSender();
  }
}

/** The empty key stands for the first one there can be. */
function rangeOf({ key, rangeEnd }: WatchCreateRequest): Pick<WatchRequest, "key" | "end"> {
  const start = key.length === 0 ? Uint8Array.of(0) : key;
  if (rangeEnd.length === 0) return { key: start };
  return { key: start, end: rangeEnd.length === 1 && rangeEnd[0] === 0 ? null : rangeEnd };
}
