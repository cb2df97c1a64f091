import { CoracleError } from "../base/errors.ts";
import type { Entry, HardState } from "../raft/types.ts";
import { entryChecksum } from "./checksum.ts";
import type { LogStart } from "./log-create.ts";

/** One atomic write on its way to a `MemoryLogDisk`. */
export interface DiskWrite {
  readonly hardState: HardState;
  /** The log begins anew after this. */
  readonly reset?: { readonly index: number; readonly term: number };
  readonly cut?: { readonly index: number; readonly term: number };
  readonly entries: readonly Entry[];
}

interface StoredEntry {
  readonly entry: Entry;
  readonly checksum: number;
}

/**
 * What a `MemoryLogStore` has on its imagined disk: the durable part, and the writes that are not
 * fsynced yet. It outlives the store, as a disk outlives a process.
 */
export class MemoryLogDisk {
  #hardState: HardState;
  #cutIndex: number;
  #cutTerm: number;
  #entries: StoredEntry[] = [];
  #unsynced: DiskWrite[] = [];
  /** The first part of a write that a crash tore, as it lies behind the last whole one. */
  #torn: DiskWrite | undefined;
  /** Rises with each crash: a store of an earlier life must not write any more. */
  epoch = 0;

  constructor(start: LogStart) {
    this.#hardState = start.hardState;
    this.#cutIndex = start.index;
    this.#cutTerm = start.term;
  }

  /** Writes that a crash now would put at risk. */
  get unsynced(): number {
    return this.#unsynced.length;
  }

  /** The last index that is durable. */
  get lastIndex(): number {
    return this.#cutIndex + this.#entries.length;
  }

  /** Whether a crash left a part of a write behind. */
  get torn(): boolean {
    return this.#torn !== undefined;
  }

  submit(write: DiskWrite): void {
    this.#unsynced.push(write);
  }

  /** An fsync that covers the oldest `count` writes. */
  sync(count: number): void {
    for (const write of this.#unsynced.splice(0, count)) this.#apply(write);
  }

  /**
   * The process or the power fails. Of the writes that were not fsynced the oldest `survivors` made
   * it to the disk all the same, and with `torn` a part of the next one, whose last entry is cut off
   * in the middle.
   */
  crash(survivors = 0, torn = false): void {
    this.sync(survivors);
    const [next] = this.#unsynced;
    const entries = next?.entries.slice(0, Math.ceil(next.entries.length / 2)) ?? [];
    const last = entries.pop();
    this.#unsynced = [];
    this.epoch++;
    if (!torn || next === undefined || last === undefined) return;
    entries.push({ ...last, data: last.data.subarray(0, last.data.length >> 1) });
    this.#torn = { ...next, entries };
  }

  /** Changes one bit of a stored entry; false when there is no such entry or it has no data. */
  flipBit(index: number, bit: number): boolean {
    const stored = this.#entries[index - this.#cutIndex - 1];
    if (stored === undefined || stored.entry.data.length === 0) return false;
    const data = stored.entry.data.slice();
    const at = (bit >>> 3) % data.length;
    data[at] = (data[at] as number) ^ (1 << (bit & 7));
    this.#entries[index - this.#cutIndex - 1] = { ...stored, entry: { ...stored.entry, data } };
    return true;
  }

  /**
   * Reads it as a starting member does.
   *
   * @throws CoracleError `storage_damaged` when an entry does not match its checksum.
   */
  read(): LogStart & { readonly entries: readonly Entry[] } {
    // It lacks the end of its transaction: recovery leaves it out.
    this.#torn = undefined;
    for (const { entry, checksum } of this.#entries) {
      if (entryChecksum(entry.index, entry.term, entry.kind, entry.data) !== checksum) {
        throw new CoracleError("storage_damaged", `Entry ${entry.index} does not match its checksum.`);
      }
    }
    return {
      index: this.#cutIndex,
      term: this.#cutTerm,
      hardState: this.#hardState,
      entries: this.#entries.map(({ entry }) => entry),
    };
  }

  #apply({ hardState, reset, cut, entries }: DiskWrite): void {
    if (reset !== undefined) {
      this.#entries = [];
      this.#cutIndex = reset.index;
      this.#cutTerm = reset.term;
    }
    if (cut !== undefined) {
      this.#entries = this.#entries.slice(Math.max(0, cut.index - this.#cutIndex));
      this.#cutIndex = cut.index;
      this.#cutTerm = cut.term;
    }
    const first = entries[0];
    if (first !== undefined) this.#entries.length = first.index - this.#cutIndex - 1;
    for (const entry of entries) {
      const { index, term, kind, data } = entry;
      this.#entries.push({ entry, checksum: entryChecksum(index, term, kind, data) });
    }
    this.#hardState = hardState;
  }
}
