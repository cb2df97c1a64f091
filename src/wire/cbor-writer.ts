import { assert } from "../base/assert.ts";
import { utf8 } from "../base/bytes.ts";

/** CBOR's major types (RFC 8949 §3.1), shifted to their place in the first byte. */
export const major = {
  unsigned: 0x00,
  negative: 0x20,
  bytes: 0x40,
  text: 0x60,
  array: 0x80,
  map: 0xa0,
  tag: 0xc0,
  simple: 0xe0,
} as const;

export const simple = { false: 0xf4, true: 0xf5, null: 0xf6, undefined: 0xf7, float64: 0xfb } as const;

const wordSize = 0x1_0000_0000;

/**
 * Appends CBOR (RFC 8949) to a buffer that grows. Small on purpose: positional arrays of integers,
 * byte strings and text are written without looking at their types at run time, which makes a batch
 * ten times cheaper than with a general encoder (docs/decisions/cbor-codec.md).
 */
export class CborWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacityBytes = 4096) {
    this.#bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** A copy of what was written, in a buffer of exactly its size. The writer starts anew. */
  takeCopy(): Uint8Array {
    const copy = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return copy;
  }

  /** What was written, without a copy. The writer gives the buffer away and starts with a new one. */
  takeBuffer(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = new Uint8Array(4096);
    this.#view = new DataView(this.#bytes.buffer);
    this.#length = 0;
    return taken;
  }

  /** Forgets what was written after `length`. */
  truncate(length: number): void {
    assert(length <= this.#length, "a writer is cut to no more than it holds");
    this.#length = length;
  }

  /** Four bytes to be filled in by `patchUint32`; gives their place. */
  reserveUint32(): number {
    this.#room(4);
    const at = this.#length;
    this.#length += 4;
    return at;
  }

  patchUint32(at: number, value: number): void {
    this.#view.setUint32(at, value);
  }

  arrayHead(items: number): void {
    this.#head(major.array, items);
  }

  /** An integer from 0 to 2^53 - 1. */
  uint(value: number): void {
    if (value < 24 && value >= 0 && Number.isInteger(value)) {
      this.#byte(value);
      return;
    }
    assert(Number.isSafeInteger(value) && value >= 0, `${value} is no unsigned integer`);
    this.#head(major.unsigned, value);
  }

  /** A safe integer of either sign. */
  int(value: number): void {
    if (value >= 0) {
      this.uint(value);
      return;
    }
    assert(Number.isSafeInteger(value), `${value} is no integer`);
    this.#head(major.negative, -1 - value);
  }

  boolean(value: boolean): void {
    this.#byte(value ? simple.true : simple.false);
  }

  null(): void {
    this.#byte(simple.null);
  }

  undefined(): void {
    this.#byte(simple.undefined);
  }

  bytes(value: Uint8Array): void {
    this.#head(major.bytes, value.length);
    this.raw(value);
  }

  text(value: string): void {
    const encoded = utf8(value);
    this.#head(major.text, encoded.length);
    this.raw(encoded);
  }

  /** Bytes as they are: CBOR written before. */
  raw(value: Uint8Array): void {
    this.#room(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** Begins a byte string whose content is written next; gives what `endBytes` wants. */
  beginBytes(): number {
    this.#byte(major.bytes | 26);
    return this.reserveUint32();
  }

  endBytes(begun: number): void {
    this.patchUint32(begun, this.#length - begun - 4);
  }

  /**
   * Any value made of null, booleans, numbers, text, bytes, arrays and plain objects. Properties
   * that are undefined are left out.
   */
  value(value: unknown): void {
    switch (typeof value) {
      case "number":
        this.#number(value);
        return;
      case "string":
        this.text(value);
        return;
      case "boolean":
        this.boolean(value);
        return;
      case "undefined":
        this.undefined();
        return;
      case "object":
        this.#object(value);
        return;
      default:
        assert(false, `a ${typeof value} cannot be written as CBOR`);
    }
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      this.int(value);
      return;
    }
    this.#room(9);
    this.#bytes[this.#length] = simple.float64;
    this.#view.setFloat64(this.#length + 1, value);
    this.#length += 9;
  }

  #object(value: object | null): void {
    if (value === null) {
      this.null();
    } else if (value instanceof Uint8Array) {
      this.bytes(value);
    } else if (Array.isArray(value)) {
      this.arrayHead(value.length);
      for (const item of value) this.value(item);
    } else {
      const prototype: unknown = Object.getPrototypeOf(value);
      assert(prototype === Object.prototype || prototype === null, "only plain objects are written as CBOR");
      const entries = Object.entries(value).filter(([, item]) => item !== undefined);
      this.#head(major.map, entries.length);
      for (const [key, item] of entries) {
        this.text(key);
        this.value(item);
      }
    }
  }

  #byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  /** The first byte of an item with its argument, in the shortest form (RFC 8949 §4.2.1). */
  #head(type: number, argument: number): void {
    this.#room(9);
    const bytes = this.#bytes;
    let at = this.#length;
    if (argument < 24) {
      bytes[at++] = type | argument;
    } else if (argument < 0x100) {
      bytes[at++] = type | 24;
      bytes[at++] = argument;
    } else if (argument < 0x1_0000) {
      bytes[at++] = type | 25;
      bytes[at++] = argument >>> 8;
      bytes[at++] = argument;
    } else if (argument < wordSize) {
      bytes[at++] = type | 26;
      this.#view.setUint32(at, argument);
      at += 4;
    } else {
      bytes[at++] = type | 27;
      this.#view.setUint32(at, Math.floor(argument / wordSize));
      this.#view.setUint32(at + 4, argument % wordSize);
      at += 8;
    }
    this.#length = at;
  }

  #room(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, needed));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Writes one value on its own. */
export function encodeCbor(value: unknown): Uint8Array {
  const writer = new CborWriter(256);
  writer.value(value);
  return writer.takeCopy();
}
