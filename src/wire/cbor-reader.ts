import { major, simple } from "./cbor-writer.ts";
import { WireError } from "./wire-error.ts";

const depthMax = 32;
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads the part of CBOR that coracle writes, and nothing else: no tags, no lengths left open, no
 * integer beyond 2^53 - 1, no map key but text. A length is compared with what is left before
 * anything is made of it, so that a few bytes never cost more than a few bytes.
 *
 * @throws WireError from every method when the bytes are anything else.
 */
export class CborReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    // A Buffer's `slice` shares memory where a Uint8Array's copies.
    this.#bytes =
      bytes.constructor === Uint8Array
        ? bytes
        : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes that were not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  /** Checks that nothing follows. */
  end(): void {
    if (this.#at !== this.#bytes.length) {
      throw new WireError(`${this.remaining} bytes follow where the value should end`);
    }
  }

  /** The number of items of the array that begins here. */
  arrayHead(): number {
    return this.#count(major.array, "an array");
  }

  /** Reads the head of an array that must have this many items. */
  arrayOf(items: number): void {
    const found = this.arrayHead();
    if (found !== items) throw new WireError(`an array has ${found} items instead of ${items}`);
  }

  uint(): number {
    return this.#head(major.unsigned, "an unsigned integer");
  }

  /** An integer from 0 to `max`. */
  uintUpTo(max: number): number {
    const value = this.uint();
    if (value > max) throw new WireError(`${value} is over the limit of ${max}`);
    return value;
  }

  int(): number {
    if ((this.#peek() & 0xe0) !== major.negative) return this.uint();
    const value = -1 - this.#head(major.negative, "an integer");
    if (!Number.isSafeInteger(value)) throw new WireError("an integer is below -(2^53 - 1)");
    return value;
  }

  boolean(): boolean {
    const byte = this.#next();
    if (byte === simple.true) return true;
    if (byte === simple.false) return false;
    throw this.#unexpected(byte, "a boolean");
  }

  /** A view of a byte string in the buffer that is read. */
  bytes(): Uint8Array {
    const length = this.#head(major.bytes, "a byte string");
    return this.#take(length);
  }

  text(): string {
    return this.#text(this.#head(major.text, "text"));
  }

  /** Whether null comes next; it is then read. */
  nullNext(): boolean {
    if (this.#peek() !== simple.null) return false;
    this.#at++;
    return true;
  }

  /** Whether `undefined` comes next; it is then read. */
  undefinedNext(): boolean {
    if (this.#peek() !== simple.undefined) return false;
    this.#at++;
    return true;
  }

  /** Whether an array comes next. */
  arrayNext(): boolean {
    return (this.#peek() & 0xe0) === major.array;
  }

  /** Whether a byte string comes next. */
  bytesNext(): boolean {
    return (this.#peek() & 0xe0) === major.bytes;
  }

  /** Whatever comes next. Byte strings are views of the buffer that is read. */
  value(depth = 0): unknown {
    if (depth > depthMax) throw new WireError(`a value is nested deeper than ${depthMax}`);
    const first = this.#peek();
    switch (first & 0xe0) {
      case major.unsigned:
        return this.uint();
      case major.negative:
        return this.int();
      case major.bytes:
        return this.bytes();
      case major.text:
        return this.text();
      case major.array:
        return this.#array(depth);
      case major.map:
        return this.#map(depth);
      default:
        return this.#simple(first);
    }
  }

  #array(depth: number): unknown[] {
    const items = this.arrayHead();
    const array: unknown[] = [];
    for (let i = 0; i < items; i++) array.push(this.value(depth + 1));
    return array;
  }

  #map(depth: number): Record<string, unknown> {
    const items = this.#count(major.map, "a map");
    const map: Record<string, unknown> = {};
    for (let i = 0; i < items; i++) {
      const key = this.text();
      if (key === "__proto__" || Object.hasOwn(map, key)) {
        throw new WireError("a map has a key twice or a forbidden key");
      }
      map[key] = this.value(depth + 1);
    }
    return map;
  }

  #simple(first: number): unknown {
    this.#at++;
    switch (first) {
      case simple.false:
        return false;
      case simple.true:
        return true;
      case simple.null:
        return null;
      case simple.undefined:
        return undefined;
      case simple.float64: {
        this.#need(8);
        const value = this.#view.getFloat64(this.#at);
        this.#at += 8;
        return value;
      }
      default:
        throw this.#unexpected(first, "a value");
    }
  }

  #text(length: number): string {
    const bytes = this.#take(length);
    try {
      return text.decode(bytes);
    } catch {
      throw new WireError("text is not valid UTF-8");
    }
  }

  /** Items of an array or map: each takes at least one byte. */
  #count(type: number, what: string): number {
    const items = this.#head(type, what);
    this.#need(items);
    return items;
  }

  #head(type: number, what: string): number {
    const first = this.#next();
    if ((first & 0xe0) !== type) throw this.#unexpected(first, what);
    const short = first & 0x1f;
    if (short < 24) return short;
    return this.#argument(first, short, what);
  }

  #argument(first: number, short: number, what: string): number {
    const at = this.#at;
    switch (short) {
      case 24:
        return this.#next();
      case 25:
        this.#need(2);
        this.#at += 2;
        return this.#view.getUint16(at);
      case 26:
        this.#need(4);
        this.#at += 4;
        return this.#view.getUint32(at);
      case 27: {
        this.#need(8);
        this.#at += 8;
        const high = this.#view.getUint32(at);
        if (high > 0x1f_ffff) throw new WireError("an integer is over 2^53 - 1");
        return high * 0x1_0000_0000 + this.#view.getUint32(at + 4);
      }
      default:
        throw this.#unexpected(first, what);
    }
  }

  #take(length: number): Uint8Array {
    this.#need(length);
    const from = this.#at;
    this.#at = from + length;
    return this.#bytes.subarray(from, this.#at);
  }

  #need(length: number): void {
    if (length > this.remaining) throw new WireError("the bytes end in the middle of a value");
  }

  #peek(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new WireError("the bytes end in the middle of a value");
    return byte;
  }

  #next(): number {
    const byte = this.#peek();
    this.#at++;
    return byte;
  }

  #unexpected(byte: number, what: string): WireError {
    return new WireError(`byte 0x${byte.toString(16)} stands where ${what} is expected`);
  }
}

/** Reads one value that fills the bytes. Byte strings in it are views. */
export function decodeCbor(bytes: Uint8Array): unknown {
  const reader = new CborReader(bytes);
  const value = reader.value();
  reader.end();
  return value;
}
