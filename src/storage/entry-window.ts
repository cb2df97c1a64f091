import { assert, present } from "../base/assert.ts";
import { emptyBytes } from "../base/bytes.ts";
import { type Entry, entryKind } from "../raft/types.ts";

/** The places of dropped entries are given up in steps of at least this many, to move the rest rarely. */
const compactEntriesMin = 1024;
/** Stands in such a place meanwhile: a thousand entries may be a gigabyte. */
const dropped: Entry = { index: 0, term: 0, kind: entryKind.noop, data: emptyBytes };

/** The newest entries of a log, without gaps, in memory. What was dropped must be read elsewhere. */
export class EntryWindow {
  #entries: Entry[] = [];
  /** Position in `#entries` of the first entry that counts. */
  #head = 0;
  #bytes = 0;
  #next: number;

  /** @param next index of the entry that will be appended first. */
  constructor(next: number) {
    this.#next = next;
  }

  /** Index of the first entry held; equal to `next` when there is none. */
  get first(): number {
    return this.#next - (this.#entries.length - this.#head);
  }

  /** One above the index of the last entry. */
  get next(): number {
    return this.#next;
  }

  get bytes(): number {
    return this.#bytes;
  }

  append(entry: Entry): void {
    assert(
      entry.index === this.#next,
      `entry ${entry.index} appended to a log that ends at ${this.#next - 1}`,
    );
    this.#entries.push(entry);
    this.#bytes += entry.data.length;
    this.#next++;
  }

  get(index: number): Entry | undefined {
    const first = this.first;
    return index < first || index >= this.#next ? undefined : this.#entries[this.#head + index - first];
  }

  /** Drops the entries from `index` on; the next one appended has this index. */
  truncateFrom(index: number): void {
    if (index <= this.first) {
      this.reset(index);
      return;
    }
    while (this.#next > index) {
      this.#bytes -= present(this.#entries.pop(), "the last entry").data.length;
      this.#next--;
    }
  }

  /** Drops the entries up to and including `index`. */
  dropThrough(index: number): void {
    while (this.first <= index && this.first < this.#next) this.#dropFirst();
  }

  /** Drops old entries until no more than `bytesMax` are held, but none above `index`. */
  shrink(bytesMax: number, index: number): void {
    while (this.#bytes > bytesMax && this.first <= index && this.first < this.#next) this.#dropFirst();
  }

  /** Forgets everything; the next entry appended has this index. */
  reset(next: number): void {
    this.#entries = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#next = next;
  }

  /** Entries in [from, to), which must be held: at least one, no more than `bytesMax` beyond the first. */
  slice(from: number, to: number, bytesMax: number): Entry[] {
    const start = this.#head + from - this.first;
    const end = this.#head + to - this.first;
    let bytes = 0;
    let stop = start;
    while (stop < end) {
      bytes += present(this.#entries[stop], "an entry of the window").data.length;
      if (bytes > bytesMax && stop > start) break;
      stop++;
    }
    return this.#entries.slice(start, stop);
  }

  #dropFirst(): void {
    this.#bytes -= present(this.#entries[this.#head], "the first entry").data.length;
    this.#entries[this.#head] = dropped;
    this.#head++;
    if (this.#head >= compactEntriesMin && this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }
}
