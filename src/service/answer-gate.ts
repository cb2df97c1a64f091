import { type Clock, systemClock, type Timer } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { CommandResult, KeyValue } from "../kv/types.ts";

export interface AnswerGateOptions {
  readonly bytesMax?: number;
  readonly stallMsMax?: number;
  readonly clock?: Clock;
}

/** Smaller answers go whole: the number of connections bounds them. */
export const countedBytesMin = 256 * 1024;
const pieceBytes = 256 * 1024;

/**
 * Bounds what clients can make a member hold by not reading: large answers are sent piece by piece and
 * counted until the client has taken them, and reads are refused while too much waits.
 */
export class AnswerGate {
  readonly #bytesMax: number;
  readonly #stallMsMax: number;
  readonly #clock: Clock;
  #bytes = 0;
  /** Resolves with the turn of the last large answer that was promised one. */
  #lastTurn: Promise<void> = Promise.resolve();

  constructor(options: AnswerGateOptions = {}) {
    this.#bytesMax = options.bytesMax ?? limits.answersBytesMax;
    this.#stallMsMax = options.stallMsMax ?? limits.answerStallMsMax;
    this.#clock = options.clock ?? systemClock;
  }

  /** Bytes of large answers that wait for their clients. */
  get bytes(): number {
    return this.#bytes;
  }

  /** To be asked before a read. @throws CoracleError overloaded */
  admit(): void {
    if (this.#bytes < this.#bytesMax) return;
    throw new CoracleError(
      "overloaded",
      `Answers of ${this.#bytes} bytes wait for their clients to read them, and this member holds ${this.#bytesMax} at most: send it again later.`,
    );
  }

  /** Counts bytes (fewer, when negative) that wait for a client in a connection's own buffers. */
  count(bytes: number): void {
    this.#bytes += bytes;
  }

  /**
   * Counts an answer that is sent by other means than `body`, until what it returns is called. `stalled`
   * is called when that does not happen in time: then the client has to be cut off.
   */
  hold(bytes: number, stalled: () => void): () => void {
    let held = true;
    this.#bytes += bytes;
    const timer = this.#clock.after(this.#stallMsMax, stalled);
    return () => {
      if (!held) return;
      held = false;
      timer.cancel();
      this.#bytes -= bytes;
    };
  }

  /**
   * To be awaited before an answer is encoded: large ones take a turn of the event loop each, so that
   * many at once do not keep the member from its heartbeats.
   */
  turn(result: CommandResult): Promise<void> | undefined {
    const bytes = answerBytes(result);
    if (bytes < countedBytesMin) return undefined;
    this.#bytes += bytes;
    this.#lastTurn = this.#lastTurn.then(() => new Promise((resolve) => this.#clock.endOfTurn(resolve)));
    return this.#lastTurn.then(() => {
      this.#bytes -= bytes;
    });
  }

  /** An answer's body: as it is, or when it is large counted until it is read. */
  body(bytes: Uint8Array): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
    // No memory is shared between threads here.
    return bytes.length < countedBytesMin ? (bytes as Uint8Array<ArrayBuffer>) : this.#counted(bytes);
  }

  #counted(bytes: Uint8Array): ReadableStream<Uint8Array> {
    let left: Uint8Array = bytes;
    let stalled: Timer | undefined;
    this.#bytes += left.length;
    const take = (length: number): Uint8Array => {
      const piece = left.subarray(0, length);
      left = left.subarray(piece.length);
      this.#bytes -= piece.length;
      return piece;
    };
    const expectReading = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
      stalled = this.#clock.after(this.#stallMsMax, () => {
        take(left.length);
        controller.error(new Error("the client does not read its answer"));
      });
    };
    return new ReadableStream<Uint8Array>(
      {
        start: expectReading,
        pull: (controller) => {
          stalled?.cancel();
          controller.enqueue(take(pieceBytes));
          if (left.length === 0) controller.close();
          else expectReading(controller);
        },
        cancel: () => {
          stalled?.cancel();
          take(left.length);
        },
      },
      { highWaterMark: 0 },
    );
  }
}

function answerBytes(result: CommandResult): number {
  switch (result.type) {
    case "txn":
      return result.responses.reduce((bytes, response) => bytes + answerBytes(response), 0);
    case "range":
      return bytesOf(result.keys);
    case "delete":
      return bytesOf(result.previous);
    case "put":
      return result.previous === undefined ? 0 : bytesOf([result.previous]);
    default:
      return 0;
  }
}

function bytesOf(keys: readonly KeyValue[]): number {
  let bytes = 0;
  for (const { key, value } of keys) bytes += key.length + value.length;
  return bytes;
}

/** Of this process: memory is one. */
export const answerGate = new AnswerGate();

/** What readers give to `KvService.range`. @throws CoracleError overloaded */
export const admitAnswer = (): void => answerGate.admit();
