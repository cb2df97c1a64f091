import { utf8 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import type { SqliteDatabase, SqliteStatement } from "../base/sqlite.ts";
import { addBytes, addNumber, keyChecksum } from "./checksum.ts";
import { decodeResult, encodeBody, encodeResult, type StoredResult } from "./codec.ts";
import { damaged } from "./schema.ts";
import type { State } from "./state.ts";
import type { CommandBody, CommandResult } from "./types.ts";

/** Forgotten rows that each new one removes: more than one, so that a backlog shrinks. */
const removedPerInsert = 2;

interface Row {
  readonly number: number;
  readonly timeMs: number;
  readonly bodyChecksum: number;
  readonly bodyBytes: number;
  readonly result: Uint8Array;
}

/**
 * The answers of commands that came with an idempotency key. Whether a key is still known is
 * decided by the replicated time and by its number, never by whether its row has been removed yet.
 */
export class IdempotencyTable {
  readonly #state: State;
  readonly #get: SqliteStatement;
  readonly #insert: SqliteStatement;
  readonly #delete: SqliteStatement;
  readonly #oldest: SqliteStatement;

  constructor(db: SqliteDatabase, state: State) {
    this.#state = state;
    this.#get = db.prepare(
      "SELECT number, time_ms, body_checksum, body_bytes, result, checksum FROM idempotency WHERE key = ?",
    );
    this.#insert = db.prepare("INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?)");
    this.#delete = db.prepare("DELETE FROM idempotency WHERE number = ?");
    this.#oldest = db.prepare("SELECT number, time_ms FROM idempotency ORDER BY number LIMIT ?");
  }

  /**
   * Runs `execute` unless a command with this key ran before: then its answer is given again. A
   * refused command changed nothing, is not remembered and may be sent again with the same key.
   */
  once(idempotencyKey: string, body: CommandBody, execute: () => CommandResult): CommandResult {
    const key = utf8(idempotencyKey);
    const encoded = encodeBody(body);
    const bodyChecksum = addBytes(encoded, 0);
    const seen = this.#find(key);
    if (seen !== undefined && this.#known(seen.number, seen.timeMs)) {
      if (seen.bodyChecksum !== bodyChecksum || seen.bodyBytes !== encoded.length) {
        const message =
          "The Idempotency-Key was used for a different request before: use a new key for each request.";
        return { type: "refused", code: "invalid_argument", message };
      }
      return decodeResult(seen.result);
    }
    const result = execute();
    if (result.type === "refused") return result;
    if (seen !== undefined) this.#delete.run(seen.number);
    this.#remember(key, bodyChecksum, encoded.length, result);
    this.removeExpired(removedPerInsert);
    return result;
  }

  /** Removes rows that are forgotten already, the oldest first, at most `rowsMax`. */
  removeExpired(rowsMax: number): void {
    for (const [number, timeMs] of this.#oldest.all(rowsMax) as [number, number][]) {
      if (this.#known(number, timeMs)) return;
      this.#delete.run(number);
    }
  }

  #known(number: number, timeMs: number): boolean {
    return (
      number > this.#state.idempotencyNumber - limits.idempotencyKeysMax &&
      this.#state.timeMs - timeMs < limits.idempotencyAgeMsMax
    );
  }

  #find(key: Uint8Array): Row | undefined {
    const row = this.#get.get(key);
    if (row === undefined) return undefined;
    const [number, timeMs, bodyChecksum, bodyBytes, result, checksum] = row as [
      number,
      number,
      number,
      number,
      Uint8Array,
      number,
    ];
    if (rowChecksum(key, { number, timeMs, bodyChecksum, bodyBytes, result }) !== checksum) {
      throw damaged(`The checksum of a remembered answer in state.db is wrong (row ${number})`);
    }
    return { number, timeMs, bodyChecksum, bodyBytes, result };
  }

  #remember(key: Uint8Array, bodyChecksum: number, bodyBytes: number, answer: StoredResult): void {
    const number = ++this.#state.idempotencyNumber;
    const { timeMs } = this.#state;
    let result = encodeResult(answer, false);
    if (result.length > limits.idempotencyResultBytesMax) result = encodeResult(answer, true);
    const checksum = rowChecksum(key, { number, timeMs, bodyChecksum, bodyBytes, result });
    this.#insert.run(number, key, timeMs, bodyChecksum, bodyBytes, result, checksum);
    this.#state.chain(checksum);
  }
}

function rowChecksum(key: Uint8Array, row: Row): number {
  let checksum = addBytes(row.result, keyChecksum(key));
  for (const part of [row.number, row.timeMs, row.bodyChecksum, row.bodyBytes])
    checksum = addNumber(part, checksum);
  return checksum;
}
