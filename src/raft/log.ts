import { assert, present } from "../base/assert.ts";
import type { Entry, HardState, LogReader, RaftWrite, SnapshotMeta } from "./types.ts";

const noEntries: readonly Entry[] = [];

/** A write that was handed out and is not known to be durable. */
interface WriteInFlight {
  readonly id: number;
  /**
   * When this write is durable, so is the log up to here. A later cut lowers it: an entry that
   * comes back with the same index and term (A, B, A) is then durable only by its own write.
   */
  last: number;
  readonly hardState: HardState | undefined;
  readonly snapshot: SnapshotMeta | undefined;
}

/**
 * The log as the core sees it: what `LogReader` holds durably, then the tail in memory.
 *
 *     firstIndex ... stable | tailStart ... lastIndex
 *
 * The tail keeps entries until their write is durable. `stable` is `tailStart - 1`, except while
 * a snapshot is on its way to disk: then the log begins after the snapshot, and `stable` is what
 * of it the old log held.
 */
export class RaftLog {
  readonly #reader: LogReader;
  readonly #tail: Entry[] = [];
  #tailStart: number;
  #stable: number;
  /** Entries up to here were handed out to be written. */
  #handed: number;
  /** Not durable yet. */
  #snapshot: SnapshotMeta | undefined;
  #snapshotHanded = false;
  readonly #inFlight: WriteInFlight[] = [];
  #lastWriteId = 0;
  #storedWriteId = 0;
  /** What is durable of term, vote and commit index. */
  #durable: HardState;
  #promisedCommit: number;

  constructor(reader: LogReader, hardState: HardState) {
    this.#reader = reader;
    this.#stable = reader.lastIndex();
    this.#tailStart = this.#stable + 1;
    this.#handed = this.#stable;
    this.#durable = hardState;
    this.#promisedCommit = hardState.commit;
  }

  get lastIndex(): number {
    return this.#tailStart + this.#tail.length - 1;
  }

  get lastTerm(): number {
    const term = this.term(this.lastIndex);
    if (term === undefined) assert(false, `the term of the last entry ${this.lastIndex} is not known`);
    return term;
  }

  /** The first index whose entry is still there. */
  get firstIndex(): number {
    return this.#snapshot ? this.#snapshot.index + 1 : this.#reader.firstIndex();
  }

  /** The last index that is durable here. */
  get stable(): number {
    return this.#stable;
  }

  /** The snapshot that is not durable yet. */
  get pendingSnapshot(): SnapshotMeta | undefined {
    return this.#snapshot;
  }

  /** The snapshot to be installed that nobody was told of yet. */
  get unwrittenSnapshot(): SnapshotMeta | undefined {
    return this.#snapshotHanded ? undefined : this.#snapshot;
  }

  /** Term, vote and commit index that survive a crash now. */
  get durable(): HardState {
    return this.#durable;
  }

  /** The commit index that a crash leaves once what was handed out to be synced is durable. */
  get promisedCommit(): number {
    return this.#promisedCommit;
  }

  /** Whether a write is under way that was not reported durable. */
  get writing(): boolean {
    return this.#inFlight.length > 0;
  }

  get hasUnwritten(): boolean {
    return this.#handed < this.lastIndex || this.unwrittenSnapshot !== undefined;
  }

  /** The term at an index, or `undefined` when that was cut or is not there. */
  term(index: number): number | undefined {
    if (index >= this.#tailStart) return this.#tail[index - this.#tailStart]?.term;
    if (this.#snapshot) return index === this.#snapshot.index ? this.#snapshot.term : undefined;
    if (index === 0) return this.#reader.firstIndex() === 1 ? 0 : undefined;
    return this.#reader.term(index);
  }

  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Election restriction (thesis §3.6.1): is a log that ends so at least as complete as this one? */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    const ownTerm = this.lastTerm;
    return lastTerm > ownTerm || (lastTerm === ownTerm && lastIndex >= this.lastIndex);
  }

  /**
   * The largest index up to `index` whose term is at most `term`, with that term (0 when it was cut):
   * every index between cannot match the other log (thesis §3.5, fast back-off).
   */
  findConflictByTerm(index: number, term: number): { index: number; term: number } {
    for (let at = index; at > 0; at--) {
      const own = this.term(at);
      if (own === undefined) return { index: at, term: 0 };
      if (own <= term) return { index: at, term: own };
    }
    return { index: 0, term: 0 };
  }

  /** Entries in [from, to), at least one when there is one, not many more than `bytesMax`. */
  entries(from: number, to: number, bytesMax: number): readonly Entry[] {
    const end = Math.min(to, this.lastIndex + 1);
    if (from >= end) return noEntries;
    if (from >= this.#tailStart) return this.#fromTail(from, end, bytesMax);
    const storedEnd = Math.min(end, this.#tailStart);
    const stored = this.#reader.entries(from, storedEnd, bytesMax);
    const first = stored[0]?.index;
    if (first !== from) assert(false, `the log gave entry ${first} where ${from} was asked for`);
    if (end === storedEnd || stored.length < storedEnd - from) return stored;
    const left = bytesMax - bytesOf(stored);
    return left > 0 ? stored.concat(this.#fromTail(this.#tailStart, end, left)) : stored;
  }

  #fromTail(from: number, end: number, bytesMax: number): readonly Entry[] {
    const start = from - this.#tailStart;
    let stop = start;
    let bytes = 0;
    for (; stop < end - this.#tailStart; stop++) {
      bytes += this.#tail[stop]?.data.length ?? 0;
      if (bytes > bytesMax && stop > start) break;
    }
    return this.#tail.slice(start, stop);
  }

  /** Adds one entry at the end (leader append-only, thesis figure 3.2). */
  push(entry: Entry): void {
    const last = this.lastIndex;
    if (entry.index !== last + 1) assert(false, `entry ${entry.index} does not follow ${last}`);
    this.#tail.push(entry);
  }

  /**
   * Replaces everything from `entries[0].index` on. The caller has made sure that no committed
   * entry is cut.
   */
  replaceFrom(entries: readonly Entry[]): void {
    const from = present(entries[0], "the first entry").index;
    if (from < 1 || from > this.lastIndex + 1) {
      assert(false, `entries from ${from} leave a gap after ${this.lastIndex}`);
    }
    if (from <= this.lastIndex) this.#cutFrom(from);
    for (const entry of entries) this.#tail.push(entry);
  }

  #cutFrom(from: number): void {
    if (from >= this.#tailStart) {
      this.#tail.length = from - this.#tailStart;
    } else {
      assert(this.#snapshot === undefined, `entries from ${from} would cut into a snapshot`);
      this.#tail.length = 0;
      this.#tailStart = from;
    }
    this.#stable = Math.min(this.#stable, from - 1);
    this.#handed = Math.min(this.#handed, from - 1);
    for (const write of this.#inFlight) write.last = Math.min(write.last, from - 1);
  }

  /** The log begins anew after this snapshot. `committed` is the commit index until now. */
  restore(snapshot: SnapshotMeta, committed: number): void {
    this.#tail.length = 0;
    this.#tailStart = snapshot.index + 1;
    this.#stable = Math.min(this.#stable, committed);
    this.#handed = snapshot.index;
    this.#snapshot = snapshot;
    this.#snapshotHanded = false;
    for (const write of this.#inFlight) write.last = Math.min(write.last, committed);
  }

  /** Hands out what is not written yet, together with the hard state when that changed. */
  takeWrite(hardState: HardState | undefined, mustSync: boolean): RaftWrite {
    const entries =
      this.#handed < this.lastIndex ? this.#tail.slice(this.#handed + 1 - this.#tailStart) : noEntries;
    const snapshot = this.unwrittenSnapshot;
    this.#handed = this.lastIndex;
    this.#snapshotHanded = snapshot !== undefined || this.#snapshotHanded;
    const id = ++this.#lastWriteId;
    // A write of the commit index alone promises nothing: nobody waits for it.
    if (mustSync) {
      this.#inFlight.push({ id, last: this.lastIndex, hardState, snapshot });
      this.#promisedCommit = hardState?.commit ?? this.#promisedCommit;
    }
    return {
      id,
      entries,
      mustSync,
      ...(hardState && { hardState }),
      ...(snapshot && { snapshot }),
    };
  }

  /** The write with this id and all before it are durable. */
  stored(writeId: number): void {
    const before = this.#storedWriteId;
    if (writeId > this.#lastWriteId) assert(false, `write ${writeId} was stored but never handed out`);
    if (writeId <= before) assert(false, `write ${writeId} was reported stored after ${before}`);
    this.#storedWriteId = writeId;
    for (;;) {
      const write = this.#inFlight[0];
      if (!write || write.id > writeId) break;
      this.#inFlight.shift();
      if (write.hardState) this.#durable = write.hardState;
      if (write.snapshot && write.snapshot === this.#snapshot) this.#snapshot = undefined;
      this.#stable = Math.max(this.#stable, write.last);
    }
    const durable = this.#stable + 1 - this.#tailStart;
    if (durable <= 0 || this.#snapshot) return;
    this.#tail.splice(0, durable);
    this.#tailStart += durable;
  }
}

/** Bytes of data in these entries. */
export function bytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.data.length;
  return bytes;
}
