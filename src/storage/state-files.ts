import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { clearInterval, setInterval } from "node:timers";
import { getLogger } from "@logtape/logtape";
import { assert } from "../base/assert.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import { StateMachine } from "../kv/state-machine.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { type DiskSpace, diskSpace } from "./disk-space.ts";
import { fileNames, syncFolder, syncFolderSoon } from "./files.ts";
import { changedPages, forgetSums } from "./page-sums.ts";
import { SnapshotInbox } from "./snapshot-inbox.ts";
import { StateCalls } from "./state-calls.ts";
import { checkStateMark } from "./state-mark.ts";
import type { CheckpointResult } from "./state-protocol.ts";
import { closeState, pageBytes, prepareState } from "./state-sql.ts";
import type { SnapshotFile } from "./types.ts";
import { WalKeeper, type WhilePaused } from "./wal-keeper.ts";

const log = getLogger(["coracle", "storage"]);

export interface StateFilesOptions {
  /** Holds back every transaction on state.db until the promise settles; reads may go on. */
  readonly whilePaused?: WhilePaused;
  /** The write-ahead log of state.db is emptied when it holds about so much. */
  readonly walBytesMax?: number;
  /** How often its size is looked at. */
  readonly walCheckMs?: number;
}

const walBytesMaxDefault = 32 * 1024 * 1024;
const walCheckMsDefault = 250;
/** Page cache of the connection that the state machine uses. */
const cacheBytes = 16 * 1024 * 1024;

/**
 * The files of one member's state: state.db, its snapshots on their way to others, and a snapshot
 * on its way here. Everything slow happens in a worker. The data folder is locked by the log.
 */
export class StateFiles {
  /** Snapshots that other members send. */
  readonly inbox: SnapshotInbox;
  readonly #dir: string;
  readonly #snapshots: string;
  readonly #calls = new StateCalls();
  readonly #wal: WalKeeper;
  readonly #timer: ReturnType<typeof setInterval>;
  #database: SqliteDatabase | undefined;
  /** The install under way, or one that failed: until the next start nobody opens state.db then. */
  #installing: Promise<unknown> | undefined;
  #copies = 0;
  #usedBytes = 0;
  /** Pages of state.db that are not as they were left; found at start. */
  #changedPages: readonly number[] = [];
  #pages:
    | { readonly database: SqliteDatabase; readonly all: SqliteStatement; readonly free: SqliteStatement }
    | undefined;

  /** Whether the data folder holds a state. */
  static exists(dir: string): boolean {
    return existsSync(join(dir, fileNames.state)) || existsSync(join(dir, fileNames.stateInstall));
  }

  /**
   * Ends an install that was under way, and removes what no one will need of snapshots.
   *
   * @throws CoracleError `storage_damaged` when state.db lost what was stored; nothing is changed.
   */
  constructor(dir: string, options: StateFilesOptions = {}) {
    checkCondemned(dir);
    this.#dir = dir;
    this.#snapshots = join(dir, fileNames.snapshots);
    mkdirSync(this.#snapshots, { recursive: true, mode: 0o700 });
    if (existsSync(this.#installPath)) {
      for (const suffix of ["-wal", "-shm"]) rmSync(`${this.#statePath}${suffix}`, { force: true });
      forgetSums(this.#sumsPath);
      renameSync(this.#installPath, this.#statePath);
      syncFolder(dir);
      log.info("Ended the install of a snapshot that was interrupted.");
    }
    checkStateMark(join(dir, fileNames.stateMark), `${this.#statePath}-wal`);
    if (existsSync(this.#statePath)) this.#changedPages = changedPages(this.#statePath, this.#sumsPath);
    for (const name of readdirSync(this.#snapshots)) {
      if (!SnapshotInbox.keeps(name)) rmSync(join(this.#snapshots, name), { recursive: true, force: true });
    }
    this.inbox = new SnapshotInbox(this.#snapshots, this.#calls);
    this.#wal = new WalKeeper({
      walBytesMax: options.walBytesMax ?? walBytesMaxDefault,
      database: () => this.#database,
      checkpoint: () => this.#checkpointInTurn(),
      finish: () => this.#writeSums(),
      whilePaused: options.whilePaused ?? ((work) => work()),
    });
    this.#timer = setInterval(() => this.#wal.check(), options.walCheckMs ?? walCheckMsDefault);
    this.#timer.unref();
  }

  get #statePath(): string {
    return join(this.#dir, fileNames.state);
  }

  get #sumsPath(): string {
    return join(this.#dir, fileNames.stateSums);
  }

  get #installPath(): string {
    return join(this.#dir, fileNames.stateInstall);
  }

  /** Sets what holds transactions back and ends them, once there is somebody to make them. */
  pauseBy(owner: { readonly whilePaused: WhilePaused; readonly settle: () => void }): void {
    this.#wal.whilePaused = owner.whilePaused;
    this.#wal.settle = owner.settle;
  }

  /** Opens (or creates, empty) state.db. Its user closes it before `install` and `close`. */
  open(): SqliteDatabase {
    const database = openSqlite(this.#statePath);
    try {
      prepareState(database, cacheBytes);
    } catch (error) {
      database.close();
      throw error;
    }
    // This connection would fsync only when the write-ahead log begins anew, on the main thread. What
    // makes it safe not to: every checkpoint is the worker's, which syncs the whole file first.
    database.exec("PRAGMA synchronous = OFF");
    this.#database = database;
    return {
      prepare: (sql) => database.prepare(sql),
      exec: (sql) => database.exec(sql),
      get inTransaction() {
        return database.inTransaction;
      },
      close: () => {
        if (this.#database === database) this.#database = undefined;
        this.#wal.forget();
        closeState(this.#statePath, database);
      },
    };
  }

  /**
   * Reads everything that the state holds if pages of state.db changed since they were written: that
   * may be damage that no row tells, or a tool of an operator that looked at the file.
   *
   * @throws CoracleError `storage_damaged` when anything is not as it should be.
   */
  prove(state: StateMachine): void {
    const [page] = this.#changedPages;
    const database = this.#database;
    if (page === undefined || database === undefined) return;
    const verdict = database.prepare("PRAGMA quick_check(1)").get()?.[0];
    if (verdict !== "ok") {
      throw new CoracleError("storage_damaged", `page ${page} is damaged (${verdict})`);
    }
    state.verify();
    this.#changedPages = [];
    forgetSums(this.#sumsPath);
    log.warn(
      "Pages of {path} changed since they were written (page {page} first); all it holds was found sound.",
      {
        path: this.#statePath,
        page,
      },
    );
  }

  /** The state must not be used again, not after a restart either. Gives the error with which to end. */
  condemn(reason: string): CoracleError {
    const path = join(this.#dir, fileNames.stateCondemned);
    try {
      writeFileSync(path, `${reason}\n`, { mode: 0o600 });
      syncFolder(this.#dir);
    } catch (error) {
      // On a full disk, say. It ends all the same, and after a restart the comparison finds it again.
      log.error("{path} cannot be written: {reason}", { path, reason: messageOf(error) });
    }
    return condemned(this.#dir, reason);
  }

  /** The room on the disk that the state lies on. */
  diskSpace(): Promise<DiskSpace> {
    return diskSpace(this.#dir);
  }

  /**
   * Makes what is applied now durable, without holding anybody up.
   *
   * @returns the index up to which it is: the log may be cut there.
   */
  async checkpoint(): Promise<number> {
    const { applied } = await this.#checkpointInTurn();
    await this.#writeSums();
    return applied;
  }

  /** Writes a consistent copy of the state as it is now, while it goes on changing. */
  async createSnapshot(): Promise<SnapshotFile> {
    await this.#installing;
    const path = join(this.#snapshots, `outgoing-${++this.#copies}.db`);
    const release = (): void => rmSync(path, { force: true });
    try {
      const copy = await this.#calls.call({ type: "copy", path: this.#statePath, target: path });
      return { path, ...copy, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /**
   * Puts the received snapshot in place of the state and opens it. `old` is closed.
   *
   * A crash leaves the old state or the new one whole: the received file first gets the name
   * state.install, which marks the decision; then the old files go, and it becomes state.db. The
   * constructor does the rest again when it finds the mark.
   */
  async install(snapshot: SnapshotMeta, old: StateMachine): Promise<StateMachine> {
    // At once: the inbox is free for the next one from here on.
    renameSync(this.inbox.take(snapshot), this.#installPath);
    const work = this.#install(snapshot, old);
    // Calls that name state.db wait: one would let the worker open the old file and keep it.
    this.#installing = work;
    const state = await work;
    this.#installing = undefined;
    return state;
  }

  async #install(snapshot: SnapshotMeta, old: StateMachine): Promise<StateMachine> {
    // With the worker's connection still open, closing this one causes no checkpoint on this thread.
    await this.#checkpoint();
    old.close();
    await this.#calls.call({ type: "close" });
    await syncFolderSoon(this.#dir);
    for (const suffix of ["-wal", "-shm"]) await rm(`${this.#statePath}${suffix}`, { force: true });
    forgetSums(this.#sumsPath);
    await rename(this.#installPath, this.#statePath);
    await syncFolderSoon(this.#dir);
    const state = StateMachine.open(this.open());
    assert(
      state.appliedIndex === snapshot.index && state.appliedTerm === snapshot.term,
      `the snapshot at ${snapshot.index} holds the state at ${state.appliedIndex}`,
    );
    return state;
  }

  async #checkpointInTurn(): Promise<CheckpointResult> {
    await this.#installing;
    return this.#checkpoint();
  }

  #checkpoint(): Promise<CheckpointResult> {
    const markPath = join(this.#dir, fileNames.stateMark);
    const sumsPath = this.#sumsPath;
    return this.#calls.call({ type: "checkpoint", path: this.#statePath, markPath, sumsPath });
  }

  async #writeSums(): Promise<void> {
    await this.#calls.call({ type: "sums" });
  }

  /** Bytes of the state on disk, what is not yet checkpointed included. */
  bytes(): number {
    const sizes = ["", "-wal"].map((suffix) => {
      return statSync(`${this.#statePath}${suffix}`, { throwIfNoEntry: false })?.size ?? 0;
    });
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Bytes of the pages of state.db that hold something, as the state machine sees it now. */
  usedBytes(): number {
    const database = this.#database;
    // While a snapshot takes its place.
    if (database === undefined) return this.#usedBytes;
    if (this.#pages?.database !== database) {
      const figure = (name: string) => database.prepare(`PRAGMA ${name}`);
      this.#pages = { database, all: figure("page_count"), free: figure("freelist_count") };
    }
    const pages = Number(this.#pages.all.get()?.[0]) - Number(this.#pages.free.get()?.[0]);
    this.#usedBytes = pages * pageBytes;
    return this.#usedBytes;
  }

  /** To be called after the state machine is closed. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#wal.idle();
    try {
      // A state machine that could not be opened has not closed its connection: left to the end of the
      // process, that would be a checkpoint into a file that is being refused.
      if (this.#database !== undefined) closeState(this.#statePath, this.#database);
      this.#database = undefined;
      await this.inbox.close();
      await this.#calls.close();
    } catch (error) {
      log.warn("Closing the state worker failed: {reason}", { reason: messageOf(error) });
    }
  }
}

/** @throws CoracleError `storage_damaged` when an earlier run found that this state is not the cluster's. */
function checkCondemned(dir: string): void {
  const path = join(dir, fileNames.stateCondemned);
  if (!existsSync(path)) return;
  throw condemned(dir, readFileSync(path, "utf8").trim());
}

function condemned(dir: string, reason: string): CoracleError {
  const path = join(dir, fileNames.state);
  return new CoracleError(
    "storage_damaged",
    `${path} must not be used any more: ${reason} Delete the folder ${dir} and start this member with --join, so that it gets the data from the others.`,
    { file: path },
  );
}
