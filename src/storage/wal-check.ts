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
/** Frames that are read at once. */
const chunkFrames = 64;
const hostIsLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
const magicBigEndian = 0x377f0683;
const magicLittleEndian = 0x377f0682;

/** A frame, as far as its place in the file is concerned. */
interface Frame {
  readonly at: number;
  readonly page: number;
  /** It ends a transaction. */
  readonly commit: boolean;
  /** It was written since the file began anew. */
  readonly current: boolean;
  /** Its checksum and those of all frames before it are right: SQLite would read it. */
  readonly intact: boolean;
}

interface WalHeader {
  readonly littleEndian: boolean;
  readonly pageBytes: number;
  readonly salts: readonly [number, number];
  readonly sums: Sums;
}

type Sums = [number, number];

/** The running checksum of the write-ahead log: pairs of 32-bit words, of the order of its writer. */
function addChecksum(sums: Sums, view: DataView, from: number, to: number, littleEndian: boolean): void {
  let [first, second] = sums;
  if (littleEndian && hostIsLittleEndian) {
    // The usual case, and several times faster.
    const words = new Int32Array(view.buffer, from, (to - from) / 4);
    for (let at = 0; at < words.length; at += 2) {
      first = (first + (words[at] as number) + second) | 0;
      second = (second + (words[at + 1] as number) + first) | 0;
    }
  } else {
    for (let at = from; at < to; at += 8) {
      first = (first + view.getInt32(at, littleEndian) + second) | 0;
      second = (second + view.getInt32(at + 4, littleEndian) + first) | 0;
    }
  }
  sums[0] = first;
  sums[1] = second;
}

function sumsMatch(sums: Sums, view: DataView, at: number): boolean {
  return sums[0] === view.getInt32(at) && sums[1] === view.getInt32(at + 4);
}

/** The header, or `undefined` when it is damaged. */
function readHeader(file: number): WalHeader | undefined {
  const header = new DataView(new ArrayBuffer(headerBytes));
  readSync(file, header, 0, headerBytes, 0);
  const magic = header.getUint32(0);
  const littleEndian = magic === magicLittleEndian;
  const sums: Sums = [0, 0];
  addChecksum(sums, header, 0, 24, littleEndian);
  if ((!littleEndian && magic !== magicBigEndian) || !sumsMatch(sums, header, 24)) return undefined;
  return {
    littleEndian,
    pageBytes: header.getUint32(8),
    salts: [header.getUint32(16), header.getUint32(20)],
    sums,
  };
}

/**
 * @param options `trusting` leaves the checksums out: `intact` then only says that a frame is current;
 * with it, `first` skips so many frames.
 */
function* readFrames(
  file: number,
  size: number,
  header: WalHeader,
  { trusting = false, first = 0 } = {},
): Iterable<Frame> {
  const { littleEndian, salts } = header;
  const sums: Sums = [...header.sums];
  const frameBytes = frameHeaderBytes + header.pageBytes;
  const view = new DataView(new ArrayBuffer(frameBytes * chunkFrames));
  let intact = true;
  let read = 0;
  const start = headerBytes + first * frameBytes;
  for (let at = start, from = 0; at + frameBytes <= size; at += frameBytes, from += frameBytes) {
    if (from + frameBytes > read) {
      read = readSync(file, view, 0, view.byteLength, at);
      from = 0;
      if (read < frameBytes) return;
    }
    // The salts change whenever the file begins anew: other salts mean a frame of former days.
    const current = view.getUint32(from + 8) === salts[0] && view.getUint32(from + 12) === salts[1];
    if (intact && current && !trusting) {
      addChecksum(sums, view, from, from + 8, littleEndian);
      addChecksum(sums, view, from + frameHeaderBytes, from + frameBytes, littleEndian);
    }
    intact = intact && current && (trusting || sumsMatch(sums, view, from + 16));
    yield { at, page: view.getUint32(from), commit: view.getUint32(from + 4) !== 0, current, intact };
  }
}

/** Opens the file unless it is too short to hold anything. */
function withFile<T>(path: string, work: (file: number, size: number) => T): T | undefined {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size < headerBytes) return undefined;
  const file = openSync(path, "r");
  try {
    return work(file, size);
  } finally {
    closeSync(file);
  }
}

/**
 * Looks for damage in a write-ahead log that SQLite would take for its end. Changes nothing.
 * Holds for a database that is written with `synchronous=FULL` and `cache_spill=OFF`.
 *
 * @returns what is wrong, or `undefined`.
 */
export function findWalDamage(path: string): string | undefined {
  return withFile(path, (file, size) => {
    const header = readHeader(file);
    if (header !== undefined) return damageAmong(readFrames(file, size, header));
    // The header is on disk before any frame is written: only a file without frames may lack it.
    return isZero(file, size) ? undefined : "its write-ahead log has a damaged header";
  });
}

function damageAmong(frames: Iterable<Frame>): string | undefined {
  /** Pages of frames that are in no transaction that SQLite would read. */
  let loose = new Set<number>();
  let looseCommit = false;
  for (const { at, page, commit, current, intact } of frames) {
    if (!current) continue;
    // A page is in a transaction once, and its last frame alone is marked as the commit.
    if (looseCommit || loose.has(page)) {
      return `its write-ahead log is damaged before the transaction at byte ${at}`;
    }
    if (intact && commit) loose = new Set();
    else {
      loose.add(page);
      looseCommit = commit;
    }
  }
  return undefined;
}

/** What a write-ahead log is about: its salts, and the pages of its frames in order. */
export interface WalPages {
  readonly salts: string;
  readonly pages: readonly number[];
}

/** The pages of the frames of a write-ahead log that nobody damaged, but for the first ones. `undefined` when there is none. */
export function walPages(path: string, first: number): WalPages | undefined {
  return withFile(path, (file, size) => {
    const header = readHeader(file);
    if (header === undefined) return undefined;
    const pages: number[] = [];
    for (const { page, current } of readFrames(file, size, header, { trusting: true, first })) {
      if (!current) break;
      pages.push(page);
    }
    return { salts: header.salts.join("-"), pages };
  });
}

/** Which write-ahead log a file holds at the moment: its salts. `undefined` when there is none. */
export function walSalts(path: string): string | undefined {
  return withFile(path, (file) => readHeader(file)?.salts.join("-"));
}

/**
 * The frames from the beginning that SQLite would read, when the file still holds the write-ahead
 * log with these salts; `undefined` when it holds another, or none.
 */
export function intactFrames(path: string, salts: string): number | undefined {
  return withFile(path, (file, size) => {
    const header = readHeader(file);
    if (header === undefined) return isZero(file, size) ? undefined : 0;
    if (header.salts.join("-") !== salts) return undefined;
    let frames = 0;
    for (const { intact } of readFrames(file, size, header)) {
      if (!intact) break;
      frames++;
    }
    return frames;
  });
}

function isZero(file: number, size: number): boolean {
  const chunk = new Uint8Array(64 * 1024);
  for (let at = 0; at < size; at += chunk.length) {
    const length = readSync(file, chunk, 0, Math.min(chunk.length, size - at), at);
    for (let i = 0; i < length; i++) if (chunk[i] !== 0) return false;
  }
  return true;
}
