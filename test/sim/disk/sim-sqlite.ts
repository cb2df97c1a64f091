import { Database } from "bun:sqlite";
import type { SqliteDatabase, SqliteStatement, SqlValue } from "../../../src/base/sqlite.ts";

interface Statement {
  readonly sql: string;
  readonly values: readonly SqlValue[];
}

type Transaction = readonly Statement[];

/** What a machine may do to its database file while a process uses it. */
export interface SqliteFaults {
  /** Called after each commit; throws when the process is killed just there. */
  committed(): void;
  /** Whether the disk is full for a transaction that begins to write now. */
  full(): boolean;
}

/** A journal longer than this is folded into a new image. */
const journalTransactionsMax = 400;

/**
 * A SQLite file in WAL mode with `synchronous=NORMAL` on a simulated disk: an image that is
 * durable, and after it the committed transactions, statement by statement. The end of a process
 * keeps all of them; a power loss keeps some first part, at least up to the last checkpoint.
 */
export class SqliteFile {
  #image: Uint8Array;
  #journal: Transaction[] = [];
  /** Transactions of the journal that a checkpoint made durable. */
  #durable = 0;
  /** Transactions that the image holds. */
  #folded = 0;
  #live: Database | undefined;
  #handle: SqliteHandle | undefined;

  /** @param image what `image()` of another file gave; a new file when absent. */
  constructor(image?: Uint8Array) {
    this.#live = image === undefined ? new Database(":memory:") : Database.deserialize(image);
    this.#image = image ?? this.#live.serialize();
  }

  /** Opens it, as the only user. */
  open(faults: SqliteFaults): SqliteDatabase {
    this.#live ??= this.#rebuild();
    this.#handle?.kill();
    if (this.#live.inTransaction) this.#live.run("ROLLBACK");
    const handle = new SqliteHandle(this.#live, faults, (transaction) => {
      this.#journal.push(transaction);
    });
    this.#handle = handle;
    return handle;
  }

  /** A consistent copy of the file, as another connection sees it: without an open transaction. */
  image(): Uint8Array {
    this.#live ??= this.#rebuild();
    if (!this.#live.inTransaction) return this.#live.serialize();
    const committed = this.#rebuild();
    const image = committed.serialize();
    committed.close();
    return image;
  }

  /** Names everything that is committed now. */
  mark(): number {
    return this.#folded + this.#journal.length;
  }

  /** What was committed at the mark is on the disk. */
  checkpoint(mark: number): void {
    this.#durable = Math.max(this.#durable, mark - this.#folded);
    if (this.#journal.length >= journalTransactionsMax && this.#durable === this.#journal.length) this.seal();
  }

  /** Everything is durable now, whatever was written and how. */
  seal(): void {
    this.#image = this.image();
    this.#folded += this.#journal.length;
    this.#journal = [];
    this.#durable = 0;
  }

  /** Committed transactions that a power loss may take away. */
  get atRisk(): number {
    return this.#journal.length - this.#durable;
  }

  /** The process that had it open ended. */
  processEnded(): void {
    this.#handle?.kill();
    this.#handle = undefined;
    if (this.#live?.inTransaction) this.#live.run("ROLLBACK");
  }

  /** The machine lost power: `lost` of the transactions at risk are gone. */
  powerLost(lost: number): void {
    this.processEnded();
    this.#journal.length -= Math.min(lost, this.atRisk);
    this.#live?.close();
    this.#live = undefined;
    this.#durable = this.#journal.length;
  }

  /** Lets go of the memory. */
  discard(): void {
    this.#handle?.kill();
    this.#live?.close();
    this.#live = undefined;
  }

  #rebuild(): Database {
    const database = Database.deserialize(this.#image);
    for (const transaction of this.#journal) {
      database.run("BEGIN");
      for (const { sql, values } of transaction) {
        if (values.length === 0) database.run(sql);
        else database.query(sql).run(...values);
      }
      database.run("COMMIT");
    }
    return database;
  }
}

/** One process's connection; it journals what it commits. */
class SqliteHandle implements SqliteDatabase {
  readonly #database: Database;
  readonly #faults: SqliteFaults;
  readonly #committed: (transaction: Transaction) => void;
  #statements: Statement[] = [];
  #inside = false;
  #dead = false;

  constructor(database: Database, faults: SqliteFaults, committed: (transaction: Transaction) => void) {
    this.#database = database;
    this.#faults = faults;
    this.#committed = committed;
  }

  kill(): void {
    this.#dead = true;
  }

  prepare(sql: string): SqliteStatement {
    this.#check();
    const control = controlOf(sql);
    // Compiled when it is used, and once for all lives of the process on this file: most never are.
    const compiled = () => this.#database.query<SqlValue[], SqlValue[]>(sql);
    return {
      run: (...values) => {
        this.#check();
        if (control === undefined) this.#beforeWrite();
        else this.#beforeControl(control);
        const { changes } = compiled().run(...values);
        this.#after(control, sql, values);
        return changes;
      },
      get: (...values) => {
        this.#check();
        return compiled().values(...values)[0] as SqlValue[] | undefined;
      },
      all: (...values) => {
        this.#check();
        return compiled().values(...values) as SqlValue[][];
      },
      *iterate(...values) {
        yield* compiled().values(...values) as SqlValue[][];
      },
    };
  }

  exec(sql: string): void {
    this.#check();
    const control = controlOf(sql);
    if (control !== undefined) this.#beforeControl(control);
    this.#database.run(sql);
    if (/^\s*PRAGMA/i.test(sql)) return;
    this.#after(control, sql, []);
  }

  get inTransaction(): boolean {
    return this.#database.inTransaction;
  }

  close(): void {
    this.#dead = true;
  }

  #check(): void {
    if (this.#dead) throw new Error("the database is closed");
  }

  /** A full disk shows at the first write of a transaction, as SQLite reserves pages there. */
  #beforeWrite(): void {
    if (!this.#faults.full()) return;
    throw fullDisk();
  }

  #beforeControl(control: Control): void {
    if (control !== "commit" || !this.#faults.full() || this.#statements.length === 0) return;
    this.#database.run("ROLLBACK");
    this.#inside = false;
    this.#statements = [];
    throw fullDisk();
  }

  #after(control: Control | undefined, sql: string, values: readonly SqlValue[]): void {
    if (control === "begin") {
      this.#inside = true;
      this.#statements = [];
      return;
    }
    if (control === undefined) this.#statements.push({ sql, values });
    if (control === undefined && this.#inside) return;
    this.#inside = false;
    const statements = this.#statements;
    this.#statements = [];
    if (control === "rollback" || statements.length === 0) return;
    this.#committed(statements);
    this.#faults.committed();
  }
}

type Control = "begin" | "commit" | "rollback";

function controlOf(sql: string): Control | undefined {
  const word = /^\s*(BEGIN|COMMIT|END|ROLLBACK)\b/i.exec(sql)?.[1]?.toLowerCase();
  if (word === undefined) return undefined;
  if (word === "end") return "commit";
  return word as Control;
}

function fullDisk(): Error {
  return Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL", errno: 13 });
}
