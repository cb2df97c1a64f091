/**
 * The few protobuf bytes that the load needs, written by hand: a load tool sends one fixed body.
 * Encoding: https://protobuf.dev/programming-guides/encoding/
 */

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
}

/** A message of numbers and length-delimited fields, by field number. */
export function message(fields: Readonly<Record<number, Uint8Array | number>>): Uint8Array {
  const bytes: number[] = [];
  for (const [number, value] of Object.entries(fields)) {
    if (typeof value === "number") bytes.push(...varint(Number(number) * 8), ...varint(value));
    else {
      bytes.push(...varint(Number(number) * 8 + 2), ...varint(value.length));
      for (const byte of value) bytes.push(byte);
    }
  }
  return Uint8Array.from(bytes);
}

/** gRPC's frame: not compressed, four bytes of big-endian length, the message. */
export function grpcFrame(payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(5 + payload.length);
  new DataView(frame.buffer).setUint32(1, payload.length);
  frame.set(payload, 5);
  return frame;
}

export interface DecodedField {
  readonly number: number;
  readonly value: number | Uint8Array;
}

/** The top-level fields of a message; enough to see what an answer says. */
export function decodeFields(bytes: Uint8Array): DecodedField[] {
  const fields: DecodedField[] = [];
  let offset = 0;
  const readVarint = (): number => {
    let value = 0;
    let scale = 1;
    while (true) {
      const byte = bytes[offset++];
      if (byte === undefined) throw new Error("protobuf message ends early");
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  };
  while (offset < bytes.length) {
    const tag = readVarint();
    const kind = tag & 7;
    if (kind === 0) fields.push({ number: tag >> 3, value: readVarint() });
    else if (kind === 2) {
      const length = readVarint();
      fields.push({ number: tag >> 3, value: bytes.subarray(offset, offset + length) });
      offset += length;
    } else throw new Error(`protobuf wire type ${kind} is not expected here`);
  }
  return fields;
}
