/** A hash is remembered of the state at every index that is a multiple of this. */
export const hashEveryEntries = 64;
/** So many of the newest are remembered. */
const hashesMax = 128;

/** Hashes of the state, each behind the version of its making, at agreed indexes, by which members compare what the same log made of it. */
export class HashHistory {
  readonly #hashes = new Map<number, string>();

  /** The state is as after the entry at `index`, and about to change. */
  note(index: number, hash: () => string): void {
    if (index % hashEveryEntries !== 0) return;
    // After a rollback the same entries are applied again: the order stays that of the indexes.
    this.#hashes.delete(index);
    this.#hashes.set(index, hash());
    for (const oldest of this.#hashes.keys()) {
      if (this.#hashes.size <= hashesMax) break;
      this.#hashes.delete(oldest);
    }
  }

  at(index: number): string | undefined {
    return this.#hashes.get(index);
  }

  /** All that is remembered, as [index, hash]. */
  all(): [number, string][] {
    return [...this.#hashes];
  }
}
