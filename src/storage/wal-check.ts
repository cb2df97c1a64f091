import { closeSync, openSync, readSync, statSync } from "node:fs";

/*
 * SQLite reads a write-ahead log up to the first frame whose checksum is wrong and silently ignores
 * the rest: right after a power loss, when the last transaction may be torn, and wrong after a bit
 * flip in the middle, which takes every fsynced transaction behind it away. With one fsync a
 * transaction the two can be told apart: what a torn write left behind is part of ONE transaction.
 * File format: https://www.sqlite.org/fileformat2.html#walformat
 */

const headerBytes = 32;
const frameHeaderBytes = 24;
const magicBigEndian = 0x377f0683;
const magicLittleEndian = 0x377f0682;

type Sums = [number, number];

/** The running checksum of the write-ahead log: pairs of 32-bit words. */
function addChecksum(sums: Sums, view: DataView, from: number, to: number, littleEndian: boolean): void {
  let [first, second] = sums;
  for (let at = from; at < to; at += 8) {
    first = (first + view.getUint32(at, littleEndian) + second) | 0;
    second = (second + view.getUint32(at + 4, littleEndian) + first) | 0;
  }
  sums[0] = first;
  sums[1] = second;
}

function sumsMatch(sums: Sums, view: DataView, at: number): boolean {
  return sums[0] >>> 0 === view.getUint32(at) && sums[1] >>> 0 === view.getUint32(at + 4);
}

/**
 * Looks for damage in a write-ahead log that SQLite would take for its end. Changes nothing.
 * Holds for a database that is written with `synchronous=FULL` and `cache_spill=OFF`.
 *
 * @returns what is wrong, or `undefined`.
 */
export function findWalDamage(path: string): string | undefined {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size < headerBytes) return undefined;
  const file = openSync(path, "r");
  try {
    return scan(file, size);
  } finally {
    closeSync(file);
  }
}

function scan(file: number, size: number): string | undefined {
  const header = new DataView(new ArrayBuffer(headerBytes));
  readSync(file, header, 0, headerBytes, 0);
  const magic = header.getUint32(0);
  const littleEndian = magic === magicLittleEndian;
  const pageBytes = header.getUint32(8);
  const sums: Sums = [0, 0];
  addChecksum(sums, header, 0, 24, littleEndian);
  if ((!littleEndian && magic !== magicBigEndian) || !sumsMatch(sums, header, 24)) {
    // The header is on disk before any frame is written: only a file without frames may lack it.
    return isZero(file, size) ? undefined : "its write-ahead log has a damaged header";
  }
  const frameBytes = frameHeaderBytes + pageBytes;
  const frame = new DataView(new ArrayBuffer(frameBytes));
  let intact = true;
  /** Pages of frames that are in no transaction that SQLite would read. */
  let loose = new Set<number>();
  let looseCommit = false;
  for (let at = headerBytes; at + frameBytes <= size; at += frameBytes) {
    readSync(file, frame, 0, frameBytes, at);
    // The salts change whenever the file begins anew: other salts mean a frame of former days.
    const current =
      frame.getUint32(8) === header.getUint32(16) && frame.getUint32(12) === header.getUint32(20);
    if (intact && current) {
      addChecksum(sums, frame, 0, 8, littleEndian);
      addChecksum(sums, frame, frameHeaderBytes, frameBytes, littleEndian);
    }
    intact = intact && current && sumsMatch(sums, frame, 16);
    if (!current) continue;
    const page = frame.getUint32(0);
    // A page is in a transaction once, and its last frame alone is marked as the commit.
    if (looseCommit || loose.has(page)) {
      return `its write-ahead log is damaged before the transaction at byte ${at}`;
    }
    const commit = frame.getUint32(4) !== 0;
    if (intact && commit) loose = new Set();
    else {
      loose.add(page);
      looseCommit = commit;
    }
  }
  return undefined;
}

function isZero(file: number, size: number): boolean {
  const chunk = new Uint8Array(64 * 1024);
  for (let at = 0; at < size; at += chunk.length) {
    const length = readSync(file, chunk, 0, Math.min(chunk.length, size - at), at);
    for (let i = 0; i < length; i++) if (chunk[i] !== 0) return false;
  }
  return true;
}
