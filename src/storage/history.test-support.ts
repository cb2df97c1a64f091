import type { Random } from "../base/prng.ts";
import { seededRandom } from "../base/prng.ts";
import type { Entry, RaftWrite } from "../raft/types.ts";

/*
 * A history of writes that is known in advance: write number n is the same in every process with the
 * same seed, and its number stands in the hard state. So whoever finds a log knows what must be in it.
 */

export const historyStart = { index: 1, term: 1, hardState: { term: 1, votedFor: 0, commit: 0 } };
export const historyIdentity = { clusterId: 11, memberId: 22, name: "n1" };

export interface HistoryStep {
  readonly write: RaftWrite;
  /** Cut the log up to here after the write. */
  readonly cut?: number;
}

/** The history, with the log as it must be after the steps taken. */
export class History {
  readonly #seed: number;
  taken = 0;
  cut: number = historyStart.index;
  entries: Entry[] = [];

  constructor(seed: number) {
    this.#seed = seed;
  }

  get last(): number {
    return this.cut + this.entries.length;
  }

  next(): HistoryStep {
    const number = this.taken + 1;
    const random = seededRandom(this.#seed * 1_000_003 + number);
    const term = 1 + number;
    const restart = random.below(200) === 0;
    const back = restart || random.below(10) > 0 ? 0 : random.below(Math.min(20, this.entries.length) + 1);
    const index = this.last + 1 - back + (restart ? 10 : 0);
    const count = restart ? 0 : 1 + random.below(4);
    const entries = Array.from({ length: count }, (_, at) => entryOf(index + at, term, random));
    if (restart) {
      this.cut = index - 1;
      this.entries = [];
    }
    this.entries.length = index - 1 - this.cut;
    this.entries.push(...entries);
    this.taken = number;
    const snapshot = restart && { snapshot: { index: index - 1, term, conf: { voters: [1], learners: [] } } };
    const hardState = { term, votedFor: number % 7, commit: number };
    const write = { id: number, hardState, entries, mustSync: true, ...snapshot };
    if (number % 50 !== 0 || this.entries.length < 100) return { write };
    const cut = this.last - 50;
    this.entries = this.entries.slice(cut - this.cut);
    this.cut = cut;
    return { write, cut };
  }

  skipTo(number: number): void {
    while (this.taken < number) this.next();
  }
}

function entryOf(index: number, term: number, random: Random): Entry {
  const size = random.below(20) === 0 ? random.below(60_000) : random.below(400);
  return { index, term, kind: 0, data: new Uint8Array(size).fill((index * 31 + term) & 255) };
}
