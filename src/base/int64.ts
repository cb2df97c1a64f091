/**
 * A signed 64-bit integer. Canonical: a number when it is a safe integer, else a bigint, so that
 * `===`, `<` and the keys of a `Map` work on both.
 */
export type Int64 = number | bigint;

/** The canonical form of an integer from -2^63 to 2^63 - 1. */
export function int64(value: bigint): Int64 {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Whether a value is a signed 64-bit integer in its canonical form. */
export function isInt64(value: unknown): value is Int64 {
  if (typeof value === "number") return Number.isSafeInteger(value);
  return typeof value === "bigint" && BigInt.asIntN(64, value) === value && int64(value) === value;
}

/** Orders as `Array.sort` wants it. */
export function compareInt64(a: Int64, b: Int64): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The integer that decimal digits stand for, or nothing when they stand for none of 64 bits. */
export function parseInt64(text: string): Int64 | undefined {
  if (!/^-?\d{1,19}$/.test(text)) return undefined;
  const value = BigInt(text);
  return BigInt.asIntN(64, value) === value ? int64(value) : undefined;
}

/**
 * A form for columns and frames that hold safe integers only: those as they are, all others as 8
 * bytes, big-endian, in two's complement.
 */
export function packInt64(value: Int64): number | Uint8Array {
  if (typeof value === "number") return value;
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, value);
  return bytes;
}

/** What `packInt64` packed, or nothing when that is not how it packs an integer. */
export function unpackInt64(packed: unknown): Int64 | undefined {
  if (typeof packed === "number") return Number.isSafeInteger(packed) ? packed : undefined;
  if (!(packed instanceof Uint8Array) || packed.length !== 8) return undefined;
  const value = new DataView(packed.buffer, packed.byteOffset, 8).getBigInt64(0);
  return int64(value) === value ? value : undefined;
}

/** The two halves of the integer's two's complement: bits 63 to 32 with their sign, and bits 31 to 0. */
export function int64Words(value: Int64): readonly [high: number, low: number] {
  if (typeof value === "number") {
    const high = Math.floor(value / 0x1_0000_0000);
    return [high, value - high * 0x1_0000_0000];
  }
  return [Number(value >> 32n), Number(value & 0xffff_ffffn)];
}

/** The integer of these two halves. */
export function int64OfWords(high: number, low: number): Int64 {
  if (high >= -0x20_0000 && high < 0x20_0000) {
    const value = high * 0x1_0000_0000 + low;
    if (Number.isSafeInteger(value)) return value;
  }
  return (BigInt(high) << 32n) | BigInt(low);
}
