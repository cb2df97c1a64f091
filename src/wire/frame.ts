import { limits } from "../base/limits.ts";
import { WireError } from "./wire-error.ts";

/** Length of the big-endian number before each frame that counts the bytes after it. */
export const frameHeadBytes = 4;

/**
 * Cuts a stream of bytes into frames. `push` what arrived, then call `next` until it gives
 * `undefined`. A frame is a view of the pushed bytes when they hold it whole.
 */
export class FrameDecoder {
  /** The longest frame accepted from now on. */
  limitBytes: number;
  readonly #chunks: Uint8Array[] = [];
  /** Where the first chunk is not yet consumed. */
  #offset = 0;
  #buffered = 0;

  constructor(limitBytes: number = limits.frameBytesMax) {
    this.limitBytes = limitBytes;
  }

  /** Bytes that wait for the rest of their frame. */
  get bufferedBytes(): number {
    return this.#buffered;
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#buffered += bytes.length;
  }

  /**
   * The next whole frame without its length, or `undefined` when more bytes are needed.
   *
   * @throws WireError as soon as a length over the limit is seen.
   */
  next(): Uint8Array | undefined {
    if (this.#buffered < frameHeadBytes) return undefined;
    const length = this.#peekLength();
    if (length > this.limitBytes) {
      throw new WireError(
        httpInstead(length) ?? `a frame of ${length} bytes is over the limit of ${this.limitBytes}`,
      );
    }
    if (this.#buffered < frameHeadBytes + length) return undefined;
    this.#take(frameHeadBytes);
    return this.#take(length);
  }

  #peekLength(): number {
    let length = 0;
    let chunk = 0;
    let at = this.#offset;
    for (let i = 0; i < frameHeadBytes; i++) {
      while (at >= (this.#chunks[chunk] as Uint8Array).length) {
        chunk++;
        at = 0;
      }
      length = length * 256 + ((this.#chunks[chunk] as Uint8Array)[at] as number);
      at++;
    }
    return length;
  }

  #take(length: number): Uint8Array {
    this.#buffered -= length;
    const first = this.#chunks[0];
    if (first !== undefined && first.length - this.#offset >= length) {
      const view = first.subarray(this.#offset, this.#offset + length);
      this.#offset += length;
      this.#dropConsumed();
      return view;
    }
    const whole = new Uint8Array(length);
    let filled = 0;
    let consumed = 0;
    while (filled < length) {
      const chunk = this.#chunks[consumed] as Uint8Array;
      const part = chunk.subarray(this.#offset, this.#offset + length - filled);
      whole.set(part, filled);
      filled += part.length;
      this.#offset += part.length;
      if (this.#offset === chunk.length) {
        consumed++;
        this.#offset = 0;
      }
    }
    this.#chunks.splice(0, consumed);
    return whole;
  }

  #dropConsumed(): void {
    const first = this.#chunks[0];
    if (first !== undefined && this.#offset === first.length) {
      this.#chunks.shift();
      this.#offset = 0;
    }
  }
}

/** How the first word of an HTTP message reads as a length; far above every limit. */
function asLength(word: string): number {
  return [...word].reduce((length, char) => length * 256 + char.charCodeAt(0), 0);
}

const httpAnswer = asLength("HTTP");
const httpRequests = new Set(["GET ", "PUT ", "POST", "HEAD", "DELE", "OPTI", "PATC", "PRI "].map(asLength));

/** The frequent mistake behind a "frame" that is none: the other kind of port was named. */
function httpInstead(length: number): string | undefined {
  if (length === httpAnswer) {
    return "it speaks HTTP, as a member's client port does; name the member's peer port (2380 by default)";
  }
  if (httpRequests.has(length))
    return "it sent an HTTP request; clients use the client port (2379 by default)";
  return undefined;
}
