import type { Lease } from "../kv/lease-table.ts";
import type { LeaseId } from "../kv/types.ts";
import { DueHeap, type HeapItem } from "./lease-heap.ts";

/** A lease as its leader keeps it. */
export interface LeaseEntry extends HeapItem {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  /** On the leader's clock. Moved by renewals at once, and in the heap only when it comes up there. */
  deadlineMs: number;
  /** The least that the log may make the next leader give this lease. */
  recordedSeconds: number;
  /** A revocation is in the log, or on its way there: no renewal helps any more. */
  revoking: boolean;
  /** Renewals that record the whole TTL again, on their way through the log. */
  restoring: number;
}

/** Entries that `takeDue` looks at. */
const looksMax = 5000;

/**
 * The deadlines of all leases, on the leader. A renewal costs O(1): the entry stays where it is in the
 * heap, and is put back to its new place when its old time comes. Each lease stands there once.
 */
export class LeaseDeadlines {
  readonly #entries = new Map<LeaseId, LeaseEntry>();
  readonly #heap = new DueHeap<LeaseEntry>();
  /** Where the round over all leases stands. A map's iterator lives through changes of the map. */
  #round: Iterator<LeaseEntry> | undefined;

  get size(): number {
    return this.#entries.size;
  }

  get(id: LeaseId): LeaseEntry | undefined {
    return this.#entries.get(id);
  }

  /** Begins to keep a lease; `untilMs` is when it ends unless it is renewed. One that is kept stays as it is. */
  add({ id, ttlSeconds, remainingSeconds }: Lease, untilMs: number): LeaseEntry {
    const known = this.#entries.get(id);
    if (known !== undefined) return known;
    const entry: LeaseEntry = {
      id,
      ttlSeconds,
      deadlineMs: untilMs,
      recordedSeconds: remainingSeconds,
      revoking: false,
      restoring: 0,
      dueMs: untilMs,
      heapIndex: -1,
    };
    this.#entries.set(id, entry);
    this.#heap.add(entry);
    return entry;
  }

  remove(id: LeaseId): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#heap.remove(entry);
  }

  clear(): void {
    this.#entries.clear();
    this.#heap.clear();
    this.#round = undefined;
  }

  /** When `takeDue` should be asked next. */
  get nextMs(): number | undefined {
    return this.#heap.first?.dueMs;
  }

  /**
   * Takes out, at most `count`, leases whose time is over; each is given once, until `putBack`. Many that
   * were renewed may come up together: not all are put to their new places in one call.
   */
  takeDue(nowMs: number, count: number): LeaseEntry[] {
    const due: LeaseEntry[] = [];
    for (let looks = 0; looks < looksMax && due.length < count; looks++) {
      const { first } = this.#heap;
      if (first === undefined || first.dueMs > nowMs) break;
      this.#heap.remove(first);
      if (first.deadlineMs <= nowMs) due.push(first);
      else this.#place(first, first.deadlineMs);
    }
    return due;
  }

  /** The lease is not ended now: it comes up again at its deadline, or at `notBeforeMs` if that is later. */
  putBack(entry: LeaseEntry, notBeforeMs: number): void {
    entry.revoking = false;
    if (this.#entries.get(entry.id) === entry && entry.heapIndex < 0)
      this.#place(entry, Math.max(entry.deadlineMs, notBeforeMs));
  }

  #place(entry: LeaseEntry, dueMs: number): void {
    entry.dueMs = dueMs;
    this.#heap.add(entry);
  }

  /** The next `count` leases of a round over all of them. */
  *nextOfRound(count: number): Generator<LeaseEntry> {
    for (let left = Math.min(count, this.#entries.size); left > 0; left--) {
      this.#round ??= this.#entries.values();
      const { done, value } = this.#round.next();
      if (done === true) this.#round = undefined;
      else yield value;
    }
  }
}
