import { getLogger } from "@logtape/logtape";
import { messageOf } from "../base/errors.ts";
import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import type { CheckpointResult } from "./state-protocol.ts";

const log = getLogger(["coracle", "storage"]);

/** Runs `work` while nobody writes to state.db. */
export type WhilePaused = <T>(work: () => Promise<T>) => Promise<T>;

export interface WalKeeperContext {
  readonly walBytesMax: number;
  /** The connection of the state machine, when there is one. */
  database(): SqliteDatabase | undefined;
  checkpoint(): Promise<CheckpointResult>;
  /** What the checkpoints left to be done, and nobody need wait for. */
  finish(): Promise<void>;
  readonly whilePaused: WhilePaused;
}

const frameBytes = 4096 + 24;
/** A pause begins when no more than this is left to move, so that it is over in some milliseconds. */
const pauseFramesMax = 1024;
const roundsMax = 8;

/**
 * Keeps the write-ahead log of state.db from growing. SQLite begins the file anew only when a
 * transaction finds all of it moved into the database, which under constant load never happens by
 * itself: while a checkpoint runs, the writer appends. So most of it is moved beside the writer, and
 * then the writer pauses for the little that came meanwhile.
 */
export class WalKeeper {
  readonly #context: WalKeeperContext;
  /** Replaced once there is a node that can pause. */
  whilePaused: WhilePaused;
  /** Ends the transaction that is open, if any. Replaced likewise. */
  settle: () => void = () => {};
  #look: { readonly database: SqliteDatabase; readonly statement: SqliteStatement } | undefined;
  #work: Promise<void> | undefined;
  #limitBytes: number;

  constructor(context: WalKeeperContext) {
    this.#context = context;
    this.whilePaused = context.whilePaused;
    this.#limitBytes = this.#drawLimit();
  }

  /** Bytes of the write-ahead log that count; its file may be larger. */
  walBytes(): number {
    const database = this.#context.database();
    if (database === undefined) return 0;
    // SQLite does not look at the write-ahead log for a connection that is in a transaction.
    this.settle();
    if (this.#look?.database !== database) {
      this.#look = { database, statement: database.prepare("PRAGMA wal_checkpoint(NOOP)") };
    }
    const [, frames] = this.#look.statement.get() ?? [];
    return Math.max(0, Number(frames)) * frameBytes;
  }

  /** Begins the work when it is time. Called often. */
  check(): void {
    if (this.#work !== undefined || this.walBytes() <= this.#limitBytes) return;
    this.#limitBytes = this.#drawLimit();
    this.#work = this.#empty()
      .catch((error: unknown) => log.warn("A checkpoint failed: {reason}", { reason: messageOf(error) }))
      .finally(() => {
        this.#work = undefined;
      });
  }

  /** Members write the same at the same pace: they shall not all make their checkpoints at once. */
  #drawLimit(): number {
    return this.#context.walBytesMax * (0.5 + Math.random() / 2);
  }

  /** The connection is about to close. */
  forget(): void {
    this.#look = undefined;
  }

  /** Resolves when no work is under way. */
  async idle(): Promise<void> {
    await this.#work;
  }

  async #empty(): Promise<void> {
    try {
      await this.#moveAll();
    } finally {
      await this.#context.finish();
    }
  }

  async #moveAll(): Promise<void> {
    for (let round = 0; round < roundsMax; round++) {
      const { moved } = await this.#context.checkpoint();
      // Negative when a transaction has begun the file anew already.
      const left = this.walBytes() / frameBytes - moved;
      if (left <= 0) return;
      if (left > pauseFramesMax && round < roundsMax - 1) continue;
      await this.whilePaused(() => this.#context.checkpoint());
      return;
    }
  }
}
