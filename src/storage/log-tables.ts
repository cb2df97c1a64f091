import { assert, present } from "../base/assert.ts";
import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import type { EntryKind } from "../raft/types.ts";
import { entryChecksum } from "./checksum.ts";
import { type OperationVisitor, visitOperations, type WriterRequest } from "./log-protocol.ts";
import { headerRow, type LogHeader, logSql, parseHeader } from "./log-schema.ts";

/** Rows and bytes of cut entries that one transaction deletes, besides twice what it appended. */
const sliceRows = 64;
const sliceBytes = 1024 * 1024;

type Write = Extract<WriterRequest, { type: "write" }>;

/** The tables of raft.db as the log writer changes them. */
export class LogTables implements OperationVisitor {
  readonly #insert: SqliteStatement;
  readonly #bytesBetween: SqliteStatement;
  readonly #deleteBetween: SqliteStatement;
  readonly #sizes: SqliteStatement;
  readonly #updateHeader: SqliteStatement;
  readonly #begin: SqliteStatement;
  readonly #commit: SqliteStatement;
  readonly #rollback: () => void;
  #header: LogHeader;
  #bytes: number;
  /** Rows below this one do not exist. */
  #firstRow: number;
  #appendedRows = 0;
  #appendedBytes = 0;
  /** How long the last COMMIT took, which is about one fsync. */
  commitMs = 0;

  constructor(database: SqliteDatabase, bytes: number) {
    this.#bytes = bytes;
    this.#insert = database.prepare(logSql.insertEntry);
    this.#bytesBetween = database.prepare(logSql.bytesBetween);
    this.#deleteBetween = database.prepare(logSql.deleteBetween);
    this.#sizes = database.prepare(logSql.sizes);
    this.#updateHeader = database.prepare(logSql.updateHeader);
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#rollback = () => database.exec("ROLLBACK");
    this.#header = present(parseHeader(database.prepare(logSql.header).all()), "the header of raft.db");
    const first = database.prepare(logSql.firstIndex).get()?.[0];
    this.#firstRow = typeof first === "number" ? first : this.#header.lastIndex + 1;
  }

  get sequence(): number {
    return this.#header.sequence;
  }

  /** Bytes of entry data in the table. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether entries that were cut are still in the table. */
  get hasLeftovers(): boolean {
    return this.#firstRow <= this.#header.cutIndex && this.#firstRow <= this.#header.lastIndex;
  }

  /** Runs one group of writes as a transaction; when it returns they are durable. */
  write(write: Write): void {
    this.#transaction(() => {
      visitOperations(write.operations, write.data, this);
      this.#header = { ...this.#header, hardState: write.hardState };
      this.#deleteSlice();
    });
  }

  /** Deletes some of the entries that were cut, in a transaction of its own. */
  tidy(): void {
    this.#transaction(() => this.#deleteSlice());
  }

  append(index: number, term: number, kind: EntryKind, data: Uint8Array): void {
    assert(index === this.#header.lastIndex + 1, `entry ${index} does not follow ${this.#header.lastIndex}`);
    this.#insert.run(index, term, kind, data, entryChecksum(index, term, kind, data));
    this.#header = { ...this.#header, lastIndex: index, lastTerm: term };
    this.#bytes += data.length;
    this.#appendedBytes += data.length;
    this.#appendedRows++;
  }

  truncate(from: number): void {
    assert(from > this.#header.cutIndex, `entry ${from} is cut and cannot be replaced`);
    this.#delete(from, this.#header.lastIndex + 1);
    // The last term is set by the append that follows in the same group.
    this.#header = { ...this.#header, lastIndex: from - 1 };
  }

  reset(index: number, term: number): void {
    // Rows up to `index` are left for the slices: they count no more, and there may be many.
    this.#delete(index + 1, this.#header.lastIndex + 1);
    this.#header = { ...this.#header, cutIndex: index, cutTerm: term, lastIndex: index, lastTerm: term };
  }

  cut(index: number, term: number): void {
    this.#header = { ...this.#header, cutIndex: index, cutTerm: term };
  }

  /** An error leaves everything as it was before: the same transaction may be tried again. */
  #transaction(action: () => void): void {
    const before = { header: this.#header, bytes: this.#bytes, firstRow: this.#firstRow };
    this.#appendedRows = 0;
    this.#appendedBytes = 0;
    try {
      this.#begin.run();
      action();
      this.#header = { ...this.#header, sequence: this.#header.sequence + 1 };
      this.#updateHeader.run(...headerRow(this.#header));
      const startMs = performance.now();
      this.#commit.run();
      this.commitMs = performance.now() - startMs;
    } catch (error) {
      this.#header = before.header;
      this.#bytes = before.bytes;
      this.#firstRow = before.firstRow;
      this.#undo();
      throw error;
    }
  }

  #undo(): void {
    try {
      this.#rollback();
    } catch {
      // SQLite has rolled back by itself, as it does when the disk is full.
    }
  }

  #deleteSlice(): void {
    if (!this.hasLeftovers) return;
    const rowsMax = sliceRows + 2 * this.#appendedRows;
    const bytesMax = sliceBytes + 2 * this.#appendedBytes;
    let end = this.#firstRow;
    let bytes = 0;
    for (const [index, length] of this.#sizes.all(this.#firstRow, this.#header.cutIndex + 1, rowsMax)) {
      end = Number(index) + 1;
      bytes += Number(length);
      if (bytes > bytesMax) break;
    }
    this.#delete(this.#firstRow, end);
    const first = this.#sizes.get(end, Number.MAX_SAFE_INTEGER, 1)?.[0];
    this.#firstRow = typeof first === "number" ? first : this.#header.lastIndex + 1;
  }

  #delete(from: number, to: number): void {
    if (from >= to) return;
    this.#bytes -= Number(this.#bytesBetween.get(from, to)?.[0] ?? 0);
    this.#deleteBetween.run(from, to);
  }
}
