import { assert } from "../base/assert.ts";
import { CoracleError } from "../base/errors.ts";
import type { Entry, HardState, RaftWrite } from "../raft/types.ts";
import { EntryWindow } from "./entry-window.ts";
import type { LogStart } from "./log-create.ts";
import { type DiskWrite, MemoryLogDisk } from "./memory-disk.ts";
import type { LogHealth, LogStore } from "./types.ts";

export interface MemoryLogOptions {
  /**
   * Called for each write with an action that ends its fsync: durable when called without argument,
   * failed with one. Ending a write ends all before it. Must not call the action at once.
   */
  readonly schedule: (action: (error?: Error) => void) => unknown;
  /** How the disk does, as the owner makes it do; always well when absent. */
  readonly health?: () => LogHealth;
  /** The disk of an earlier life. */
  readonly disk?: MemoryLogDisk;
  /** Where the log of a new disk begins; at nothing when absent. */
  readonly initial?: LogStart;
}

interface Pending {
  /** How many disk writes are durable when it is: 0 or 1. */
  readonly writes: number;
  readonly stored: (error?: Error) => void;
}

const nothing: LogStart = { index: 0, term: 0, hardState: { term: 0, votedFor: 0, commit: 0 } };

/** A log in memory whose owner decides when a write is durable. For the simulator and for tests. */
export class MemoryLogStore implements LogStore {
  /** What a crash of the process leaves. */
  readonly disk: MemoryLogDisk;
  readonly #schedule: MemoryLogOptions["schedule"];
  readonly #health: MemoryLogOptions["health"];
  readonly #window: EntryWindow;
  readonly #epoch: number;
  #hardState: HardState;
  #cutIndex: number;
  #cutTerm: number;
  #lastTerm: number;
  #pending: Pending[] = [];
  #settled = 0;
  #failure: Error | undefined;
  #closing: (() => void) | undefined;

  /** @throws CoracleError `storage_damaged` when the disk holds something that was not written so. */
  constructor(options: MemoryLogOptions) {
    this.disk = options.disk ?? new MemoryLogDisk(options.initial ?? nothing);
    this.#schedule = options.schedule;
    this.#health = options.health;
    this.#epoch = this.disk.epoch;
    const { index, term, hardState, entries } = this.disk.read();
    this.#hardState = hardState;
    this.#cutIndex = index;
    this.#cutTerm = term;
    this.#window = new EntryWindow(index + 1);
    for (const entry of entries) this.#window.append(entry);
    this.#lastTerm = entries.at(-1)?.term ?? term;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  firstIndex(): number {
    return this.#cutIndex + 1;
  }

  lastIndex(): number {
    return this.#window.next - 1;
  }

  term(index: number): number | undefined {
    if (index === this.lastIndex()) return this.#lastTerm;
    return index === this.#cutIndex ? this.#cutTerm : this.#window.get(index)?.term;
  }

  entries(from: number, to: number, bytesMax: number): readonly Entry[] {
    assert(
      from > this.#cutIndex && from < to && to <= this.#window.next,
      `entries [${from}, ${to}) asked of a log with [${this.firstIndex()}, ${this.lastIndex()}]`,
    );
    return this.#window.slice(from, to, bytesMax);
  }

  write(write: RaftWrite, stored: (error?: Error) => void): void {
    const { entries, snapshot } = write;
    if (write.hardState !== undefined) this.#hardState = write.hardState;
    const hardState = this.#hardState;
    const restart = snapshot === undefined ? {} : this.#restartAfter(snapshot.index, snapshot.term);
    const first = entries[0]?.index;
    if (first !== undefined && first <= this.lastIndex()) {
      assert(first > this.#cutIndex, `entry ${first} is cut and cannot be replaced`);
      this.#window.truncateFrom(first);
    }
    for (const entry of entries) {
      this.#window.append(entry);
      this.#lastTerm = entry.term;
    }
    const needed = write.mustSync || entries.length > 0 || snapshot !== undefined;
    this.#submit(needed ? { hardState, entries, ...restart } : undefined, stored);
  }

  cut(index: number): void {
    const through = Math.min(index, this.lastIndex());
    if (through <= this.#cutIndex) return;
    const cut = this.#cutTo(through);
    this.#submit({ hardState: this.#hardState, cut, entries: [] }, () => {});
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#closing = resolve;
      if (this.#pending.length === 0) resolve();
    });
  }

  size(): { readonly entries: number; readonly bytes: number } {
    return { entries: this.lastIndex() - this.#cutIndex, bytes: this.#window.bytes };
  }

  /** Its owner decides when writes are durable, and whether a disk is full. */
  health(): LogHealth {
    return this.#health?.() ?? { full: undefined, writeMs: 0 };
  }

  #restartAfter(index: number, term: number): Pick<DiskWrite, "reset" | "cut"> {
    if (index <= this.#cutIndex) return {};
    if (this.term(index) === term) return { cut: this.#cutTo(index) };
    this.#window.reset(index + 1);
    this.#cutIndex = index;
    this.#cutTerm = term;
    this.#lastTerm = term;
    return { reset: { index, term } };
  }

  #cutTo(index: number): { readonly index: number; readonly term: number } {
    const term = this.term(index);
    assert(term !== undefined, `the term at ${index} is not known`);
    this.#window.dropThrough(index);
    this.#cutIndex = index;
    this.#cutTerm = term;
    return { index, term };
  }

  #submit(write: DiskWrite | undefined, stored: (error?: Error) => void): void {
    if (this.#failure !== undefined || this.#closing !== undefined) {
      const error = this.#failure ?? new CoracleError("shutting_down", "The log is closed.");
      this.#schedule(() => stored(error));
      return;
    }
    if (write !== undefined && this.#epoch === this.disk.epoch) this.disk.submit(write);
    this.#pending.push({ writes: write === undefined ? 0 : 1, stored });
    const number = this.#settled + this.#pending.length;
    this.#schedule((error) => this.#settle(number, error));
  }

  /** Ends the writes up to the one with this number. */
  #settle(number: number, error: Error | undefined): void {
    // After a crash the process that waited is gone.
    if (this.#epoch !== this.disk.epoch) return;
    if (error !== undefined) {
      this.#fail(error);
      return;
    }
    while (this.#settled < number && this.#pending.length > 0) {
      const next = this.#pending.shift() as Pending;
      this.#settled++;
      this.disk.sync(next.writes);
      next.stored();
    }
    if (this.#pending.length === 0) this.#closing?.();
  }

  #fail(reason: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    for (const { stored } of this.#pending.splice(0)) stored(reason);
    this.#closing?.();
  }
}
