import { assert } from "../base/assert.ts";
import type { Entry, LogReader, RaftWrite } from "./types.ts";

/** A log in memory, for tests of the core. It holds a write as soon as it gets it. */
export class MemoryLog implements LogReader {
  #entries: Entry[] = [];
  /** The last entry that was cut: its term stays known. */
  #cut: { index: number; term: number };

  constructor(cut: { index: number; term: number } = { index: 0, term: 0 }) {
    this.#cut = cut;
  }

  firstIndex(): number {
    return this.#cut.index + 1;
  }

  lastIndex(): number {
    return this.#cut.index + this.#entries.length;
  }

  term(index: number): number | undefined {
    return index === this.#cut.index ? this.#cut.term : this.#entries[index - this.#cut.index - 1]?.term;
  }

  entries(from: number, to: number, bytesMax: number): readonly Entry[] {
    assert(from > this.#cut.index && to <= this.lastIndex() + 1, `entries [${from}, ${to}) are not there`);
    const result: Entry[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.#entries[index - this.#cut.index - 1] as Entry;
      bytes += entry.data.length;
      if (result.length > 0 && bytes > bytesMax) break;
      result.push(entry);
    }
    return result;
  }

  write({ entries, snapshot }: RaftWrite): void {
    if (snapshot) {
      this.#cut = { index: snapshot.index, term: snapshot.term };
      this.#entries = [];
    }
    const first = entries[0];
    if (!first) return;
    assert(first.index > this.#cut.index && first.index <= this.lastIndex() + 1, "the write leaves a gap");
    this.#entries.length = first.index - this.#cut.index - 1;
    this.#entries.push(...entries);
  }

  clone(): MemoryLog {
    const copy = new MemoryLog(this.#cut);
    copy.#entries = this.#entries.slice();
    return copy;
  }

  /** Drops entries up to and including `index`. */
  cut(index: number): void {
    if (index <= this.#cut.index) return;
    const term = this.term(index);
    assert(term !== undefined, `cannot cut at ${index}`);
    this.#entries = this.#entries.slice(index - this.#cut.index);
    this.#cut = { index, term };
  }
}
