import type { Random } from "../../../src/base/prng.ts";
import type { MemoryLogDisk } from "../../../src/storage/memory-disk.ts";
import type { Identity } from "../../../src/storage/types.ts";
import { between, chance, latency } from "../engine/streams.ts";
import type { SqliteFile } from "./sim-sqlite.ts";

/** A snapshot that arrived completely. */
export interface ReceivedSnapshot {
  readonly index: number;
  readonly term: number;
  readonly image: Uint8Array;
}

/** A snapshot on its way in: it goes on where it ended when it is sent again. */
export interface PartialSnapshot {
  readonly sha256: string;
  bytes: Uint8Array;
  received: number;
}

/** What the faults of a run do to a disk just now. */
export interface DiskTrouble {
  /** Factor on the time of an fsync. */
  slow: number;
  /** Fixed time of an fsync in milliseconds, 0 for none. */
  fsyncMs: number;
  /** The next fsync of the log fails. */
  failing: boolean;
  /** state.db cannot be written. */
  full: boolean;
  /** The log cannot be written. */
  logFull: boolean;
  /** Commits of state.db until the process is killed right after one; 0 for never. */
  crashAfterCommits: number;
  /** The process is killed when a snapshot is in place of the state, and the log not yet begun anew. */
  crashInInstall: boolean;
}

/** Everything of one machine that survives the end of a process. */
export class Disk {
  identity: Identity | undefined;
  log: MemoryLogDisk | undefined;
  state: SqliteFile | undefined;
  received: ReceivedSnapshot | undefined;
  partial: PartialSnapshot | undefined;
  readonly trouble: DiskTrouble = {
    slow: 1,
    fsyncMs: 0,
    failing: false,
    full: false,
    logFull: false,
    crashAfterCommits: 0,
    crashInInstall: false,
  };
  /** Told when the end of a process tore a write of the log. */
  onTorn: () => void = () => {};
  readonly #random: Random;
  readonly #typicalFsyncMs: number;

  constructor(random: Random, typicalFsyncMs: number) {
    this.#random = random;
    this.#typicalFsyncMs = typicalFsyncMs;
  }

  fsyncMs(): number {
    return latency(this.#random, this.#typicalFsyncMs) * this.trouble.slow + this.trouble.fsyncMs;
  }

  /** The time of work on a whole file of a few hundred KiB. */
  copyMs(): number {
    return between(this.#random, 2, 40) * this.trouble.slow;
  }

  /** The process was killed; the operating system goes on and keeps what it was given. */
  processKilled(): void {
    this.received = undefined;
    this.#crashLog();
    this.state?.processEnded();
  }

  /** Power was lost: what was not fsynced may be gone, on the log as in the state. Gives lost state commits. */
  powerLost(): number {
    this.received = undefined;
    this.#crashLog();
    const atRisk = this.state?.atRisk ?? 0;
    const lost = chance(this.#random, 0.3) ? atRisk : this.#random.below(atRisk + 1);
    this.state?.powerLost(lost);
    if (chance(this.#random, 0.5)) this.partial = undefined;
    return lost;
  }

  /** Of what was not fsynced a first part is kept, and perhaps half of the next write. */
  #crashLog(): void {
    const unsynced = this.log?.unsynced ?? 0;
    this.log?.crash(this.#random.below(unsynced + 1), chance(this.#random, 0.5));
    if (this.log?.torn === true) this.onTorn();
  }

  wipe(): void {
    this.identity = undefined;
    this.log?.crash();
    this.log = undefined;
    this.state?.discard();
    this.state = undefined;
    this.received = undefined;
    this.partial = undefined;
  }
}
