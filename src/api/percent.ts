import { emptyBytes, utf8 } from "../base/bytes.ts";

/** The value of a hexadecimal digit's char code, -1 for any other. */
function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/**
 * The bytes that percent-encoded text stands for (RFC 3986 §2.1), or `null` when a `%` is not
 * followed by two hexadecimal digits. With `plusIsSpace` a `+` is a space, as in a form.
 */
export function decodePercent(text: string, plusIsSpace: boolean): Uint8Array | null {
  if (text === "") return emptyBytes;
  const source = utf8(plusIsSpace && text.includes("+") ? text.replaceAll("+", " ") : text);
  const first = text.indexOf("%");
  if (first === -1) return source;
  const target = source;
  let length = 0;
  for (let i = 0; i < source.length; i++) {
    const code = source[i] as number;
    if (code !== 37) {
      target[length++] = code;
      continue;
    }
    const high = hexDigit(source[i + 1] ?? 0);
    const low = hexDigit(source[i + 2] ?? 0);
    if (high === -1 || low === -1) return null;
    target[length++] = high * 16 + low;
    i += 2;
  }
  // A copy: the decoded key may live long, the room for its encoded form need not.
  return target.slice(0, length);
}

const unreserved = /[A-Za-z0-9\-_~]/;
const encoded: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  return unreserved.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
});

/** Percent-encodes bytes so that they fit a path segment or a query value. */
export function encodePercent(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += encoded[byte] as string;
  return text;
}

/**
 * The path of a key. Servers and clients take the segments `.` and `..` away even when they are
 * percent-encoded (WHATWG URL, RFC 3986 §5.2.4), so the keys `.` and `..` go into the query.
 */
export function keyPath(key: Uint8Array): string {
  const text = encodePercent(key);
  return text === "%2E" || text === "%2E%2E" ? `/v1/kv?key=${text}` : `/v1/kv/${text}`;
}
