import { crc32 } from "../base/crc32.ts";
import { type Int64, int64Words } from "../base/int64.ts";

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

/** Adds any integer of 64 bits to a checksum. */
export function addInt64(value: Int64, checksum: number): number {
  if (value === 0) return addNumber(0, checksum);
  const [high, low] = int64Words(value);
  return addNumber(low, addNumber(high >>> 0, checksum));
}

/**
 * The checksum of what is replicated in a row of `key`, the key's bytes included; or in a row of
 * `revision`, whose value is then included in `keyCrc`.
 */
export function keyRowChecksum(
  keyCrc: number,
  seq: number,
  createRevision: number,
  modRevision: number,
  version: number,
  lease: Int64,
): number {
  return addInt64(
    lease,
    addNumber(version, addNumber(modRevision, addNumber(createRevision, addNumber(seq, keyCrc)))),
  );
}

/** Adds where a row stands in the chain of its key: that is not replicated, and so added last. */
export function linkedChecksum(checksum: number, prev: number, jump: number): number {
  return addNumber(jump, addNumber(prev, checksum));
}
