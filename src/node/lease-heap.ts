/** What stands in a heap: it knows its place there, so that it can be taken out of the middle. */
export interface HeapItem {
  /** What the heap is ordered by. Not to be changed while the item stands in a heap. */
  dueMs: number;
  /** Kept by the heap; -1 while the item stands in none. */
  heapIndex: number;
}

/** A binary heap whose first item is due first. Adding and removing cost O(log n), and leave nothing behind. */
export class DueHeap<Item extends HeapItem> {
  readonly #items: Item[] = [];

  get size(): number {
    return this.#items.length;
  }

  get first(): Item | undefined {
    return this.#items[0];
  }

  add(item: Item): void {
    this.#rise(this.#items.length, item);
  }

  /** Does nothing for an item that is not in the heap. */
  remove(item: Item): void {
    const at = item.heapIndex;
    if (at < 0) return;
    item.heapIndex = -1;
    const last = this.#items.pop();
    if (last === undefined || last === item) return;
    if (last.dueMs < item.dueMs) this.#rise(at, last);
    else this.#sink(at, last);
  }

  clear(): void {
    for (const item of this.#items) item.heapIndex = -1;
    this.#items.length = 0;
  }

  #put(at: number, item: Item): void {
    this.#items[at] = item;
    item.heapIndex = at;
  }

  /** Puts an item at a free place, or above it. */
  #rise(from: number, item: Item): void {
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = this.#items[above] as Item;
      if (parent.dueMs <= item.dueMs) break;
      this.#put(at, parent);
      at = above;
    }
    this.#put(at, item);
  }

  /** Puts an item at a free place, or below it. */
  #sink(from: number, item: Item): void {
    const { length } = this.#items;
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= length) break;
      const [left, right] = [this.#items[below] as Item, this.#items[below + 1]];
      if (right !== undefined && right.dueMs < left.dueMs) below++;
      const child = this.#items[below] as Item;
      if (child.dueMs >= item.dueMs) break;
      this.#put(at, child);
      at = below;
    }
    this.#put(at, item);
  }
}
