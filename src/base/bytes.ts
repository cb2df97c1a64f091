const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The bytes that hold nothing. Never written to. */
export const emptyBytes = new Uint8Array(0);

/** The UTF-8 form of a string. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Bytes as text. Bytes that are no UTF-8 come out as U+FFFD: for people, never for keys. */
export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Orders two byte strings as keys are ordered: byte by byte, the shorter first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

/**
 * The first key after all keys with this prefix: the prefix with its last byte that is not 0xff
 * raised by one. `null` when there is none (an empty prefix, or only 0xff): no upper bound.
 */
export function prefixEnd(prefix: Uint8Array): Uint8Array | null {
  for (let last = prefix.length - 1; last >= 0; last--) {
    const byte = prefix[last] as number;
    if (byte < 0xff) {
      const end = prefix.slice(0, last + 1);
      end[last] = byte + 1;
      return end;
    }
  }
  return null;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
