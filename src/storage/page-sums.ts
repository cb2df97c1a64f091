import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { crc32 } from "../base/crc32.ts";
import { pageBytes } from "./state-sql.ts";
import { walPages, walSalts } from "./wal-check.ts";

/*
 * state.sums holds a checksum of every page of state.db. Rows carry checksums of their own, but a bit
 * that flips in a page on the way to a row makes SQLite look elsewhere and find nothing, which no row
 * can tell. state.db changes only in checkpoints, all of which go through `PageSums`; so
 * between them every page must be as it was.
 *
 * Nothing depends on it: whoever finds a difference reads everything before he calls it damage.
 */

const magic = 0x636f_7361;
const headerBytes = 16;
/** Pages that are read at once. */
const chunkPages = 256;
/** Places of the header. A file whose checkpoint is under way says nothing about pages. */
const place = { magic: 0, underWay: 4, pages: 8, checksum: 12 };

/** The sums of all pages, or `undefined` when the file is missing, damaged, or of a checkpoint that never ended. */
function readSums(path: string): Uint32Array<ArrayBuffer> | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return undefined;
  }
  if (bytes.length < headerBytes || bytes.readUInt32LE(place.magic) !== magic) return undefined;
  const pages = bytes.readUInt32LE(place.pages);
  const body = bytes.subarray(headerBytes);
  if (bytes.readUInt32LE(place.underWay) !== 0 || body.length !== pages * 4) return undefined;
  if (crc32(body) !== bytes.readUInt32LE(place.checksum)) return undefined;
  return Uint32Array.from({ length: pages }, (_, at) => body.readUInt32LE(at * 4));
}

function writeSums(path: string, sums: Uint32Array): void {
  const bytes = Buffer.alloc(headerBytes + sums.length * 4);
  sums.forEach((sum, at) => {
    bytes.writeUInt32LE(sum, headerBytes + at * 4);
  });
  bytes.writeUInt32LE(magic, place.magic);
  bytes.writeUInt32LE(sums.length, place.pages);
  bytes.writeUInt32LE(crc32(bytes.subarray(headerBytes)), place.checksum);
  const file = openSync(path, "w", 0o600);
  try {
    writeSync(file, bytes);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Has the file say nothing until it is written anew; on disk before any page changes. */
function beginSums(path: string): void {
  let file: number;
  try {
    file = openSync(path, "r+");
  } catch {
    return;
  }
  try {
    writeSync(file, Uint8Array.of(1), 0, 1, place.underWay);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Calls `each` with the checksum of every page from the first on. */
function forEachPage(databasePath: string, each: (page: number, sum: number) => void): void {
  const file = openSync(databasePath, "r");
  try {
    const chunk = new Uint8Array(chunkPages * pageBytes);
    for (let first = 1; ; first += chunkPages) {
      const length = readSync(file, chunk, 0, chunk.length, (first - 1) * pageBytes);
      for (let at = 0; at + pageBytes <= length; at += pageBytes) {
        each(first + at / pageBytes, crc32(chunk.subarray(at, at + pageBytes)));
      }
      if (length < chunk.length) return;
    }
  } finally {
    closeSync(file);
  }
}

function pagesOf(file: number): number {
  return Math.floor(fstatSync(file).size / pageBytes);
}

/** The sums with those of some pages, and of pages that are new, computed anew. */
function refreshed(
  databasePath: string,
  known: Uint32Array,
  changed: Iterable<number>,
): Uint32Array<ArrayBuffer> {
  const file = openSync(databasePath, "r");
  try {
    const sums = new Uint32Array(pagesOf(file));
    sums.set(known.subarray(0, sums.length));
    const page = new Uint8Array(pageBytes);
    const look = (number: number): void => {
      if (number < 1 || number > sums.length) return;
      readSync(file, page, 0, pageBytes, (number - 1) * pageBytes);
      sums[number - 1] = crc32(page);
    };
    for (const number of changed) look(number);
    for (let number = known.length + 1; number <= sums.length; number++) look(number);
    return sums;
  } finally {
    closeSync(file);
  }
}

function allSums(databasePath: string): Uint32Array<ArrayBuffer> {
  const sums: number[] = [];
  forEachPage(databasePath, (_, sum) => sums.push(sum));
  return Uint32Array.from(sums);
}

/**
 * Keeps the file of sums in step with the checkpoints of a state.db. All of them go through `checkpoint`,
 * in one thread; `write` is due after each, or after several that follow one another. From the first
 * until then the file says nothing.
 */
export class PageSums {
  readonly #databasePath: string;
  readonly #path: string;
  #underWay = false;
  /** What the file said before; `undefined` when all pages are to be read anew. */
  #known: Uint32Array | undefined;
  readonly #changed = new Set<number>();
  /** The write-ahead log, and how many of its frames no checkpoint has to move any more. */
  #moved: { readonly salts: string; readonly frames: number } | undefined;

  constructor(databasePath: string, path: string) {
    this.#databasePath = databasePath;
    this.#path = path;
  }

  get #walPath(): string {
    return `${this.#databasePath}-wal`;
  }

  /** @param run makes the checkpoint and gives how many frames of the write-ahead log are moved in all. */
  checkpoint(run: () => number): void {
    if (!this.#underWay) {
      this.#known = readSums(this.#path);
      beginSums(this.#path);
      this.#underWay = true;
    }
    const salts = walSalts(this.#walPath);
    let moved = 0;
    try {
      moved = run();
    } finally {
      this.#note(salts, moved);
    }
  }

  /** Only the pages of frames that no earlier checkpoint moved may have changed. */
  #note(salts: string | undefined, moved: number): void {
    const from = this.#moved !== undefined && this.#moved.salts === salts ? this.#moved.frames : 0;
    const wal = walPages(this.#walPath, from);
    // It began anew meanwhile: nobody knows what was moved before.
    if (wal?.salts !== salts) this.#known = undefined;
    for (const page of wal?.pages ?? []) this.#changed.add(page);
    this.#moved = wal && { salts: wal.salts, frames: Math.max(0, moved) };
  }

  /** Has the file say what the pages are now. */
  write(): void {
    if (!this.#underWay) return;
    try {
      const known = this.#known;
      const sums =
        known === undefined
          ? allSums(this.#databasePath)
          : refreshed(this.#databasePath, known, this.#changed);
      writeSums(this.#path, sums);
    } catch {
      // A full disk, perhaps: no sums are better than wrong ones.
      forgetSums(this.#path);
      this.#moved = undefined;
    }
    this.#underWay = false;
    this.#known = undefined;
    this.#changed.clear();
  }
}

/** For a state.db that is about to be replaced. */
export function forgetSums(path: string): void {
  rmSync(path, { force: true });
}

/** Pages that are not what they were after the last checkpoint. Reads all of state.db. */
export function changedPages(databasePath: string, sumsPath: string): readonly number[] {
  const sums = readSums(sumsPath);
  if (sums === undefined) return [];
  const changed: number[] = [];
  let pages = 0;
  forEachPage(databasePath, (page, sum) => {
    pages = page;
    if (sums[page - 1] !== sum) changed.push(page);
  });
  for (let page = pages + 1; page <= sums.length; page++) changed.push(page);
  return changed;
}
