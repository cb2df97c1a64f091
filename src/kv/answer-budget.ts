import { limits } from "../base/limits.ts";
import type { KeyValue } from "./types.ts";

/** What a key-value takes beside its key and its value, rather too much than too little. */
const pairOverheadBytes = 128;

/** What a key-value counts. */
export function pairBytes({ key, value }: Pick<KeyValue, "key" | "value">): number {
  return pairOverheadBytes + key.length + value.length;
}

/**
 * The bytes that one command or one read may answer, shared by all its operations. What an answer
 * holds is in memory, on every member when the command comes from the log: so it has a bound, and
 * what is left out behind it depends on nothing but the store and the command.
 */
export class AnswerBudget {
  readonly #bytesMax: number;
  #used = 0;
  #spent = false;

  constructor(bytesMax: number = limits.answerBytesMax) {
    this.#bytesMax = bytesMax;
  }

  /** What is left, in bytes. */
  get left(): number {
    return this.#spent ? 0 : Math.max(0, this.#bytesMax - this.#used);
  }

  /**
   * Something did not fit: from there on nothing is told, so that nothing need be read. Many ranges in
   * one transaction would else each read a large value, and leave it out.
   */
  get spent(): boolean {
    return this.#spent;
  }

  /** Whether `bytes` more fit. The first key-value always does, so that every listing gets on. */
  fits(bytes: number): boolean {
    return !this.#spent && (this.#used === 0 || this.#used + bytes <= this.#bytesMax);
  }

  /** Takes a key-value into the answer, unless it does not fit. */
  take(keyValue: KeyValue): boolean {
    const bytes = pairBytes(keyValue);
    if (!this.fits(bytes)) {
      this.#spent = true;
      return false;
    }
    this.#used += bytes;
    return true;
  }
}
