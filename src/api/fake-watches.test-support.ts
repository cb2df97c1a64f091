import { compareBytes, equalBytes } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import type { KeyRange, KeyValue } from "../kv/types.ts";
import type { Watch, WatchEvent, WatchReceiver, WatchRequest, WatchService } from "../service/service.ts";
import type { FakeService } from "./fake-service.test-support.ts";

interface Written {
  readonly revision: number;
  readonly event: WatchEvent;
}

interface Open {
  readonly request: WatchRequest;
  readonly receiver: WatchReceiver;
  next: number;
  paused: boolean;
  scheduled: boolean;
}

function within({ key: from, end }: KeyRange, key: Uint8Array): boolean {
  if (end === undefined) return equalBytes(from, key);
  return compareBytes(key, from) >= 0 && (end === null || compareBytes(key, end) < 0);
}

/** For tests: watches over the fake's own writes, one batch a revision. */
export class FakeWatches implements WatchService {
  compactRevision = 0;
  readonly active = new Set<Open>();
  /** Makes the next call of `open` fail. */
  failWith: CoracleError | undefined;
  /** How often one was opened. */
  opened = 0;
  readonly #service: FakeService;
  readonly #log: Written[] = [];

  constructor(service: FakeService) {
    this.#service = service;
  }

  written(key: Uint8Array, revision: number, keyValue: KeyValue | undefined): void {
    const gone: KeyValue = {
      key,
      value: new Uint8Array(0),
      createRevision: 0,
      modRevision: revision,
      version: 0,
      lease: 0,
    };
    const event: WatchEvent =
      keyValue === undefined ? { type: "delete", keyValue: gone } : { type: "put", keyValue };
    this.#log.push({ revision, event });
    for (const watch of this.active) this.#schedule(watch);
  }

  compact(revision: number): void {
    this.compactRevision = revision;
  }

  /** Ends every watch that is open. */
  endAll(error: CoracleError): void {
    for (const watch of this.active) {
      this.active.delete(watch);
      watch.receiver.ended(error);
    }
  }

  open(request: WatchRequest, receiver: WatchReceiver): Watch {
    const failure = this.failWith;
    this.failWith = undefined;
    if (failure !== undefined) throw failure;
    this.opened++;
    const storeRevision = this.#service.revision;
    const next = request.startRevision === 0 ? storeRevision + 1 : request.startRevision;
    const watch: Open = { request, receiver, next, paused: false, scheduled: false };
    this.active.add(watch);
    this.#schedule(watch);
    return {
      storeRevision,
      openedRevision: Math.min(storeRevision, next - 1),
      get deliveredRevision() {
        return watch.next - 1;
      },
      cancel: () => void this.active.delete(watch),
      resume: () => {
        watch.paused = false;
        this.#schedule(watch);
      },
    };
  }

  #schedule(watch: Open): void {
    if (watch.scheduled) return;
    watch.scheduled = true;
    setImmediate(() => {
      watch.scheduled = false;
      this.#deliver(watch);
    });
  }

  #deliver(watch: Open): void {
    const { request, receiver } = watch;
    if (this.active.has(watch) && watch.next < this.compactRevision) {
      this.active.delete(watch);
      receiver.ended(
        new CoracleError("revision_compacted", "Compacted.", { compact_revision: this.compactRevision }),
      );
    }
    while (this.active.has(watch) && !watch.paused && watch.next <= this.#service.revision) {
      const revision = watch.next++;
      const events = this.#log
        .filter((item) => item.revision === revision && within(request, item.event.keyValue.key))
        .map(({ event }) => event)
        .filter(({ type }) => !(type === "put" ? request.withoutPuts : request.withoutDeletes));
      if (events.length > 0) watch.paused = !receiver.receive({ events, revision });
    }
  }
}
