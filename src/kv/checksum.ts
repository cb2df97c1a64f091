import { crc32 } from "node:zlib";

/**
 * Checksums of stored rows. CRC-32 (native on both runtimes) over the bytes, then a mixing round of
 * MurmurHash3 for each number, so that a flipped bit anywhere in a row is seen.
 */

const pow32 = 0x1_0000_0000;

/** The checksum of a key's bytes: where the checksums of all rows about this key begin. */
export function keyChecksum(key: Uint8Array): number {
  return crc32(key);
}

/** Adds bytes to a checksum. */
export function addBytes(bytes: Uint8Array, checksum: number): number {
  return crc32(bytes, checksum);
}

/** Adds an integer in [0, 2^53) to a checksum. */
export function addNumber(value: number, checksum: number): number {
  let hash = Math.imul(checksum ^ (value | 0), 0x85eb_ca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash + ((value / pow32) | 0) + 0x165_667b1, 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The checksum of a row of `key`: all of it, the key's bytes included. */
export function keyRowChecksum(
  keyCrc: number,
  seq: number,
  createRevision: number,
  modRevision: number,
  version: number,
  lease: number,
): number {
  return addNumber(
    lease,
    addNumber(version, addNumber(modRevision, addNumber(createRevision, addNumber(seq, keyCrc)))),
  );
}

/** The checksum of a row of `history`. */
export function historyRowChecksum(keyCrc: number, seq: number, until: number): number {
  return addNumber(until, addNumber(seq, keyCrc));
}
