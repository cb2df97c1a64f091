import { existsSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import type { Entry, EntryKind, HardState, RaftWrite } from "../raft/types.ts";
import { entryChecksum } from "./checksum.ts";
import { type DataLock, lockDataFolder } from "./data-lock.ts";
import { EntryWindow } from "./entry-window.ts";
import { fileNames } from "./files.ts";
import { type LogStart, makeFolder, writeNewLog } from "./log-create.ts";
import { LogQueue } from "./log-queue.ts";
import { logSql } from "./log-schema.ts";
import { damaged, type VerifiedLog, verifyLog } from "./log-verify.ts";
import type { Identity, LogHealth, LogStore } from "./types.ts";

export interface SqliteLogOptions {
  /** Told how long each fsync took. */
  readonly observeFsyncMs?: (ms: number) => void;
  /** Bytes of recent entries kept in memory; `limits.logCacheBytesMax` when absent. */
  readonly cacheBytesMax?: number;
  /** The write-ahead log of raft.db begins anew at about this size. */
  readonly walBytesMax?: number;
  /** The lock of the folder, when `create` finds it taken by its caller. It passes to the log. */
  readonly lock?: DataLock;
}

const walBytesMaxDefault = 8 * 1024 * 1024;

/**
 * The log in raft.db. Writes go to a worker thread, one transaction and one fsync for all that came
 * while the last one was under way. Reads come from the newest entries in memory, and for older
 * ones from a read-only connection.
 */
export class SqliteLogStore implements LogStore {
  readonly #path: string;
  readonly #lock: DataLock;
  readonly #database: SqliteDatabase;
  readonly #entriesFrom: SqliteStatement;
  readonly #termAt: SqliteStatement;
  readonly #queue: LogQueue;
  readonly #window: EntryWindow;
  readonly #cacheBytesMax: number;
  #hardState: HardState;
  #cutIndex: number;
  #cutTerm: number;
  /** The last term, which is asked for all the time. */
  #lastTerm: number;
  /** Rises when entries at the end are replaced. */
  #ending = 0;

  /** Whether the data folder holds a log. */
  static exists(dir: string): boolean {
    return existsSync(join(dir, fileNames.log));
  }

  /**
   * Makes the log of a new member and opens it. A crash before the end leaves no log.
   *
   * @throws CoracleError `config_invalid` when the folder is in use, cannot be written or holds a log.
   */
  static async create(
    dir: string,
    identity: Identity,
    initial: LogStart,
    options: SqliteLogOptions = {},
  ): Promise<SqliteLogStore> {
    makeFolder(dir);
    const lock = options.lock ?? lockDataFolder(dir);
    try {
      if (SqliteLogStore.exists(dir)) {
        throw new CoracleError("config_invalid", `The data folder ${dir} already holds the log of a member.`);
      }
      writeNewLog(dir, identity, initial);
      return new SqliteLogStore(dir, lock, verifyLog(dir), options);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /**
   * Opens the log of a data folder after reading all of it.
   *
   * @throws CoracleError `config_invalid` when the folder is in use; `storage_damaged` when anything
   * in the files is not as it was written, in which case they are left as they are.
   */
  static async open(
    dir: string,
    options: SqliteLogOptions = {},
  ): Promise<{ readonly log: SqliteLogStore; readonly identity: Identity }> {
    if (!SqliteLogStore.exists(dir)) {
      throw new CoracleError("config_invalid", `The data folder ${dir} holds no log of a member.`);
    }
    const lock = lockDataFolder(dir);
    try {
      const verified = verifyLog(dir);
      return { log: new SqliteLogStore(dir, lock, verified, options), identity: verified.identity };
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(dir: string, lock: DataLock, verified: VerifiedLog, options: SqliteLogOptions) {
    const { header, database, bytes } = verified;
    this.#path = join(dir, fileNames.log);
    this.#lock = lock;
    this.#database = database;
    this.#entriesFrom = database.prepare(logSql.entriesFrom);
    this.#termAt = database.prepare(logSql.termAt);
    this.#window = new EntryWindow(header.lastIndex + 1);
    this.#cacheBytesMax = options.cacheBytesMax ?? limits.logCacheBytesMax;
    this.#hardState = header.hardState;
    this.#cutIndex = header.cutIndex;
    this.#cutTerm = header.cutTerm;
    this.#lastTerm = header.lastTerm;
    this.#queue = new LogQueue({
      path: this.#path,
      markPath: join(dir, fileNames.logMark),
      walBytesMax: options.walBytesMax ?? walBytesMaxDefault,
      bytes,
      observeFsyncMs: options.observeFsyncMs ?? (() => {}),
    });
  }

  /** The newest that was given to `write`; at start what was found on disk. */
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
    if (index === this.#cutIndex) return this.#cutTerm;
    if (index < this.#cutIndex || index > this.lastIndex()) return undefined;
    const held = this.#window.get(index);
    if (held !== undefined) return held.term;
    const term = this.#termAt.get(index)?.[0];
    if (typeof term !== "number") throw damaged(this.#path, `entry ${index} is missing`);
    return term;
  }

  entries(from: number, to: number, bytesMax: number): readonly Entry[] {
    assert(
      from > this.#cutIndex && from < to && to <= this.#window.next,
      `entries [${from}, ${to}) asked of a log with [${this.firstIndex()}, ${this.lastIndex()}]`,
    );
    if (from >= this.#window.first) return this.#window.slice(from, to, bytesMax);
    return this.#read(from, Math.min(to, this.#window.first), bytesMax);
  }

  write(write: RaftWrite, stored: (error?: Error) => void): void {
    const { hardState, entries, snapshot } = write;
    if (hardState !== undefined) this.#hardState = hardState;
    const urgent = write.mustSync || entries.length > 0 || snapshot !== undefined;
    if (snapshot !== undefined) this.#restartAfter(snapshot.index, snapshot.term);
    const first = entries[0]?.index;
    if (first !== undefined && first <= this.lastIndex()) {
      assert(first > this.#cutIndex, `entry ${first} is cut and cannot be replaced`);
      this.#queue.group.truncate(first);
      this.#window.truncateFrom(first);
      this.#ending++;
    }
    for (const entry of entries) {
      this.#window.append(entry);
      this.#queue.group.append(entry);
      this.#lastTerm = entry.term;
    }
    const last = this.lastIndex();
    const ending = this.#ending;
    const done = (error?: Error) => {
      if (error === undefined) this.#stored(last, ending);
      stored(error);
    };
    this.#queue.add(this.#hardState, urgent, done);
  }

  cut(index: number): void {
    const through = Math.min(index, this.lastIndex());
    if (through <= this.#cutIndex) return;
    const term = this.term(through);
    assert(term !== undefined, `the term at ${through} is not known`);
    this.#cutTo(through, term);
    this.#queue.add(this.#hardState, true, () => {});
  }

  async close(): Promise<void> {
    this.#database.close();
    try {
      await this.#queue.close();
    } finally {
      this.#lock.release();
    }
  }

  size(): { readonly entries: number; readonly bytes: number } {
    return { entries: this.lastIndex() - this.#cutIndex, bytes: this.#queue.bytes };
  }

  health(): LogHealth {
    return this.#queue.health();
  }

  #stored(last: number, ending: number): void {
    // A later write replaced the end: what is in the file is told by that write's own report.
    if (ending !== this.#ending) return;
    this.#window.shrink(this.#cacheBytesMax, last);
  }

  #restartAfter(index: number, term: number): void {
    if (index <= this.#cutIndex) return;
    if (this.term(index) === term) {
      this.#cutTo(index, term);
      return;
    }
    this.#queue.group.reset(index, term);
    this.#window.reset(index + 1);
    this.#cutIndex = index;
    this.#cutTerm = term;
    this.#lastTerm = term;
    this.#ending++;
  }

  #cutTo(index: number, term: number): void {
    this.#queue.group.cut(index, term);
    this.#window.dropThrough(index);
    this.#cutIndex = index;
    this.#cutTerm = term;
  }

  #read(from: number, to: number, bytesMax: number): Entry[] {
    const found: Entry[] = [];
    let bytes = 0;
    let next = from;
    for (const [index, term, kind, data, checksum] of this.#entriesFrom.iterate(from, to)) {
      if (index !== next || typeof term !== "number" || typeof kind !== "number") break;
      if (!(data instanceof Uint8Array) || entryChecksum(next, term, kind, data) !== checksum) {
        throw damaged(this.#path, `entry ${next} does not match its checksum`);
      }
      bytes += data.length;
      if (bytes > bytesMax && found.length > 0) return found;
      found.push({ index: next, term, kind: kind as EntryKind, data });
      next++;
    }
    if (next !== to) throw damaged(this.#path, `entry ${next} is missing`);
    return found;
  }
}
