import { isUtf8 } from "node:buffer";
// Not the default entry: its native half ends the process on both runtimes.
import { Decoder, Encoder } from "cbor-x/index-no-eval";
import { assert } from "../base/assert.ts";
import { WireError } from "./wire-error.ts";

/*
 * CBOR (RFC 8949) between members and in the log. cbor-x writes and reads it; what came from outside
 * is walked over first, because cbor-x acts on tags before anybody can look at the value
 * (docs/decisions/cbor-codec.md).
 */

/** Nested transactions take two levels each and at most `txnOperationsMax` of them exist. */
const depthMax = 300;
/** Major types (RFC 8949 §3.1). */
const major = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6 } as const;
/** "An array of bytes" (RFC 8746 §2.1), which some encoders put before a byte string. */
const bytesTag = 64;
const simple = { false: 0xf4, undefined: 0xf7, float16: 0xf9, float64: 0xfb } as const;

const encoder = new Encoder({ useRecords: false, variableMapSize: true, tagUint8Array: false });
const viewing = new Decoder({ useRecords: false, mapsAsObjects: true });
const copying = new Decoder({ useRecords: false, mapsAsObjects: true, copyBuffers: true });

/**
 * One value, in memory that is valid until something else is encoded: to be copied or sent at once.
 * Text in it must be well-formed; `plain` sees to that.
 */
export function encodeCborView(value: unknown): Uint8Array {
  return encoder.encode(value);
}

/** One value in a buffer of its own and of exactly its size. */
export function encodeCbor(value: unknown): Uint8Array {
  return new Uint8Array(encodeCborView(value));
}

/**
 * A value made of null, booleans, numbers, text, bytes, arrays and plain objects, as it can be
 * encoded: properties that are undefined left out, lone surrogates replaced (UTF-8 has none, and the
 * other side refuses what is no UTF-8).
 */
export function plain(value: unknown): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value !== "object" || value === null) {
    assert(
      typeof value !== "function" && typeof value !== "symbol" && typeof value !== "bigint",
      "plain values",
    );
    return value;
  }
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(plain);
  const prototype: unknown = Object.getPrototypeOf(value);
  assert(prototype === Object.prototype || prototype === null, "only plain objects are written as CBOR");
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) =>
      item === undefined ? [] : [[key.toWellFormed(), plain(item)]],
    ),
  );
}

/**
 * Reads one value that fills the bytes: null, undefined, booleans, numbers, text, byte strings,
 * arrays, and maps with text keys as objects (of a doubled key the last counts). Byte strings are
 * plain Uint8Arrays: views of `bytes`, or copies.
 *
 * @throws WireError when the bytes are anything else.
 */
export function decodeCbor(bytes: Uint8Array, byteStrings: "views" | "copies" = "views"): unknown {
  // A view of our own: a Buffer's `slice` shares memory, and cbor-x leaves a property on its source.
  const source = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  new Walk(source, false).whole();
  try {
    return (byteStrings === "views" ? viewing : copying).decode(source);
  } catch (error) {
    throw new WireError(`a value cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * Reads one value from a client, whose encoder may choose other forms of a number than ours does, and
 * may mark byte strings as arrays of bytes. They are copies; integers beyond 2^53 come as bigint.
 *
 * @throws WireError when the bytes are anything else than `decodeCbor` names.
 */
export function decodeClientCbor(bytes: Uint8Array): unknown {
  new Walk(bytes, true).whole();
  try {
    return copying.decode(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    throw new WireError(`a value cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * Looks at the heads of all items without making anything of them. Refused are tags (with them
 * cbor-x builds cycles, big integers in quadratic time and records), lengths left open or longer
 * than what is left, deep nesting, map keys that are no text, text that is no UTF-8, integers of 64
 * bits and numbers in another form than cbor-x writes them.
 */
class Walk {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fromClient: boolean;
  #at = 0;

  constructor(bytes: Uint8Array, fromClient: boolean) {
    this.#bytes = bytes;
    this.#fromClient = fromClient;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  whole(): void {
    this.#item(0);
    const left = this.#bytes.length - this.#at;
    if (left !== 0) throw new WireError(`${left} bytes follow where the value should end`);
  }

  #item(depth: number): void {
    if (depth > depthMax) throw new WireError(`a value is nested deeper than ${depthMax}`);
    const first = this.#byte();
    switch (first >> 5) {
      case major.unsigned:
      case major.negative:
        this.#argument(first);
        return;
      case major.bytes:
        this.#skip(this.#argument(first));
        return;
      case major.text:
        this.#text(this.#argument(first));
        return;
      case major.array: {
        const items = this.#argument(first);
        this.#need(items);
        for (let i = 0; i < items; i++) this.#item(depth + 1);
        return;
      }
      case major.map:
        this.#map(this.#argument(first), depth);
        return;
      case major.tag:
        if (this.#fromClient && this.#argument(first) === bytesTag) {
          const marked = this.#byte();
          if (marked >> 5 !== major.bytes) throw unexpected(marked);
          this.#skip(this.#argument(marked));
          return;
        }
        throw new WireError("a tag stands where none is known");
      default:
        this.#simple(first);
    }
  }

  #map(pairs: number, depth: number): void {
    this.#need(pairs * 2);
    for (let i = 0; i < pairs; i++) {
      const key = this.#byte();
      if (key >> 5 !== major.text) throw new WireError("a map has a key that is no text");
      this.#text(this.#argument(key));
      this.#item(depth + 1);
    }
  }

  #text(length: number): void {
    const from = this.#at;
    this.#skip(length);
    if (!isUtf8(this.#bytes.subarray(from, this.#at))) throw new WireError("text is not valid UTF-8");
  }

  #simple(first: number): void {
    if (first >= simple.false && first <= simple.undefined) return;
    if (this.#fromClient && first >= simple.float16 && first <= simple.float64) {
      this.#skip(2 << (first - simple.float16));
      return;
    }
    if (first !== simple.float64) throw unexpected(first);
    const at = this.#at;
    this.#skip(8);
    const value = this.#view.getFloat64(at);
    // -0 among them: every number has one form only.
    if (Number.isInteger(value) && value >= -0x1_0000_0000 && value < 0x1_0000_0000) {
      throw new WireError("a small integer is written as a float");
    }
  }

  /** The number in the head of an item: its value, length, or count of items. */
  #argument(first: number): number {
    const short = first & 0x1f;
    if (short < 24) return short;
    const at = this.#at;
    switch (short) {
      case 24:
        return this.#byte();
      case 25:
        this.#skip(2);
        return this.#view.getUint16(at);
      case 26:
        this.#skip(4);
        return this.#view.getUint32(at);
      case 27:
        if (!this.#fromClient) throw unexpected(first);
        this.#skip(8);
        return Number(this.#view.getBigUint64(at));
      default:
        throw unexpected(first);
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw cut();
    this.#at++;
    return byte;
  }

  #skip(length: number): void {
    this.#need(length);
    this.#at += length;
  }

  #need(length: number): void {
    if (length > this.#bytes.length - this.#at) throw cut();
  }
}

function cut(): WireError {
  return new WireError("the bytes end in the middle of a value");
}

function unexpected(byte: number): WireError {
  return new WireError(`byte 0x${byte.toString(16)} stands where a value is expected`);
}
