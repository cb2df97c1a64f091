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

  submit(write: DiskWrite): void {
    this.#unsynced.push(write);
  }

  /** An fsync that covers the oldest `count` writes. */
  sync(count: number): void {
    for (const write of this.#unsynced.splice(0, count)) this.#apply(write);
  }

  /**
   * The process or the power fails. Of the writes that were not fsynced the oldest `survivors` made
   * it to the disk all the same. `tornEntries` is what the checksums are there against, for tests
   * of tests: so many entries of the next write made it without the rest of it.
   */
  crash(survivors = 0, tornEntries = 0): void {
    this.sync(survivors);
    const torn = this.#unsynced[0];
    if (torn !== undefined && tornEntries > 0) {
      this.#apply({ ...torn, hardState: this.#hardState, entries: torn.entries.slice(0, tornEntries) });
    }
    this.#unsynced = [];
    this.epoch++;
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
