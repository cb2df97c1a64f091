import { huffmanDecode } from "./huffman.ts";

/**
 * etcd's own clients send an `:authority` that is none: etcdctl 3.4 the whole URL of an endpoint that it asks
 * for its status, clientv3 3.5.0 `#initially=[...]`. Go's servers take anything; `node:http2` refuses the
 * request before gRPC sees it, on each runtime and without an option. So that text is replaced in what the
 * client sends. gRPC has no use for it.
 *
 * The compression of headers (RFC 7541) goes on undisturbed: a text of the same length takes the same room
 * in both sides' tables.
 */

const frameHeaderBytes = 9;
const headersType = 1;
const paddedFlag = 8;
const priorityFlag = 0x20;
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** Beyond it a block goes on in other frames; only whole frames are looked at, and longer ones passed on. */
const frameBytesMax = 16_384;
/** `:authority` in HPACK's static table. */
const authorityIndex = 1;
/** RFC 3986, section 3.2: the characters that an authority is made of. */
const validAuthority = /^[\w.~%!$&'()*+,;=:@[\]-]*$/;

/** Reads what one client sends, in pieces of any size, and gives it on with every authority valid. */
export class AuthorityMender {
  #held: Buffer | undefined;
  /** Bytes that pass as they are: the preface, and the rest of a frame that is no HEADERS. */
  #passing = preface.length;

  mend(chunk: Buffer): Buffer {
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = undefined;
    let mended: Buffer[] | undefined;
    let copied = 0;
    let at = Math.min(this.#passing, bytes.length);
    this.#passing -= at;
    while (at < bytes.length) {
      const length = at + frameHeaderBytes <= bytes.length ? bytes.readUIntBE(at, 3) : 0;
      const end = at + frameHeaderBytes + length;
      const looked = bytes[at + 3] === headersType && length <= frameBytesMax;
      if (at + frameHeaderBytes > bytes.length || (looked && end > bytes.length)) break;
      const better = looked ? mendFrame(bytes.subarray(at, end)) : undefined;
      if (better !== undefined) {
        mended ??= [];
        mended.push(bytes.subarray(copied, at), better);
        copied = end;
      }
      this.#passing = Math.max(0, end - bytes.length);
      at = Math.min(end, bytes.length);
    }
    if (at < bytes.length) this.#held = bytes.subarray(at);
    if (mended === undefined) return at === bytes.length ? bytes : bytes.subarray(0, at);
    return Buffer.concat([...mended, bytes.subarray(copied, at)]);
  }
}

/** The HEADERS frame with another authority, or `undefined` when it is good as it is. */
function mendFrame(frame: Buffer): Buffer | undefined {
  const flags = frame[4] ?? 0;
  let at = frameHeaderBytes;
  if ((flags & paddedFlag) !== 0) at += 1;
  if ((flags & priorityFlag) !== 0) at += 5;
  const place = findAuthority(frame, at);
  if (place === undefined) return undefined;
  const string = frame.subarray(place.start, place.end);
  const text = place.huffman ? huffmanDecode(string) : string.toString("latin1");
  if (text === undefined || validAuthority.test(text)) return undefined;
  const literal = encodeLength(text.length);
  const mended = Buffer.concat([
    frame.subarray(0, place.lengthAt),
    literal,
    Buffer.alloc(text.length, "x"),
    frame.subarray(place.end),
  ]);
  mended.writeUIntBE(mended.length - frameHeaderBytes, 0, 3);
  return mended;
}

interface StringPlace {
  /** Where its length stands. */
  readonly lengthAt: number;
  readonly start: number;
  readonly end: number;
  readonly huffman: boolean;
}

/** Walks the fields of a block; what is not understood is left to the server proper. */
function findAuthority(frame: Buffer, start: number): StringPlace | undefined {
  let at = start;
  while (at < frame.length) {
    const first = frame[at] ?? 0;
    const prefixBits = first >= 0x80 ? 7 : first >= 0x40 ? 6 : first >= 0x20 ? 5 : 4;
    const index = readInteger(frame, at, prefixBits);
    if (index === undefined) return undefined;
    at = index.end;
    // A field from the table, or a change of its size.
    if (first >= 0x80 || prefixBits === 5) continue;
    if (index.value === 0) {
      const name = readString(frame, at);
      if (name === undefined) return undefined;
      at = name.end;
    }
    const value = readString(frame, at);
    if (value === undefined || index.value === authorityIndex) return value;
    at = value.end;
  }
  return undefined;
}

function readString(frame: Buffer, at: number): StringPlace | undefined {
  const length = readInteger(frame, at, 7);
  if (length === undefined) return undefined;
  const end = length.end + length.value;
  if (end > frame.length) return undefined;
  return { lengthAt: at, start: length.end, end, huffman: (frame[at] ?? 0) >= 0x80 };
}

/** RFC 7541, section 5.1. */
function readInteger(
  frame: Buffer,
  start: number,
  prefixBits: number,
): { readonly value: number; readonly end: number } | undefined {
  const mask = 2 ** prefixBits - 1;
  const prefix = (frame[start] ?? 0) & mask;
  if (start >= frame.length || prefix < mask) {
    return start < frame.length ? { value: prefix, end: start + 1 } : undefined;
  }
  let value = mask;
  for (let i = 0; i < 3; i++) {
    const byte = frame[start + 1 + i];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 128 ** i;
    if (byte < 0x80) return { value, end: start + 2 + i };
  }
  return undefined;
}

function encodeLength(length: number): Buffer {
  if (length < 127) return Buffer.of(length);
  const bytes = [127];
  let rest = length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}
