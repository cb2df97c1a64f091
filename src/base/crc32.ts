import process from "node:process";

/** CRC-32 (IEEE 802.3) of bytes, or of a text's UTF-8, going on from `value` when there were bytes before. */
export type Crc32 = (data: Uint8Array | string, value?: number) => number;

/**
 * Native on both runtimes. On Bun not that of `node:zlib`: to load this takes a tenth of a member's start.
 * It stands here and not in `runtime/`, since the rooms that only know `base/` need it.
 */
const { hash } = (globalThis as { readonly Bun?: { readonly hash: { readonly crc32: Crc32 } } }).Bun ?? {};

export const crc32: Crc32 = hash?.crc32 ?? process.getBuiltinModule("node:zlib").crc32;
