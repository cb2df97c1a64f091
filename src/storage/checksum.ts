import { crc32 } from "../base/crc32.ts";
import type { SqlValue } from "../base/sqlite.ts";

const header = new DataView(new ArrayBuffer(17));
const headerBytes = new Uint8Array(header.buffer);

/** CRC-32 over index, term, kind and data of an entry: it also tells an entry in the wrong place. */
export function entryChecksum(index: number, term: number, kind: number, data: Uint8Array): number {
  header.setFloat64(0, index);
  header.setFloat64(8, term);
  header.setUint8(16, kind);
  return crc32(data, crc32(headerBytes));
}

/** CRC-32 over the columns of a small row. */
export function rowChecksum(values: readonly SqlValue[]): number {
  return crc32(JSON.stringify(values));
}
