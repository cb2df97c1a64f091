import { type FileHandle, open } from "node:fs/promises";
import { getLogger } from "@logtape/logtape";
import type { Clock, Timer } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import type { SnapshotStream } from "../service/service.ts";
import type { DiskSpace } from "../storage/disk-space.ts";
import type { SnapshotFile } from "../storage/types.ts";

const log = getLogger(["coracle", "storage"]);

/** Copies for clients that exist at a time: each takes as much room as the state. */
const copiesMax = 2;
/** A copy of which nothing is read for so long is given up. */
const stallMs = 60_000;
/** What must stay free on the disk beside a copy; no more than a tenth of a small one. */
const reserveBytesMax = 128 * 1024 * 1024;
const reserveShare = 0.1;
const pieceBytes = 64 * 1024;

export interface SnapshotSource {
  createSnapshot(): Promise<SnapshotFile>;
  usedBytes(): number;
  diskSpace(): Promise<DiskSpace>;
}

/** Copies of the state for clients. They must not fill the disk, whatever the clients do. */
export class ClientSnapshots {
  readonly #clock: Clock;
  readonly #source: SnapshotSource;
  #copies = 0;

  constructor(clock: Clock, source: SnapshotSource) {
    this.#clock = clock;
    this.#source = source;
  }

  /** @throws CoracleError `overloaded` for one copy too many, `quota_exceeded` when the disk has no room. */
  async create(): Promise<SnapshotStream> {
    if (this.#copies >= copiesMax) {
      throw new CoracleError(
        "overloaded",
        `${this.#copies} snapshots are being read already, which is the most at a time; try again when one of them is done.`,
      );
    }
    this.#copies++;
    try {
      await this.#checkRoom();
      const file = await this.#source.createSnapshot();
      const pieces = new Pieces(this.#clock, file, () => {
        this.#copies--;
      });
      return { bytes: file.bytes, sha256: file.sha256, pieces };
    } catch (error) {
      this.#copies--;
      throw error;
    }
  }

  async #checkRoom(): Promise<void> {
    const { freeBytes, totalBytes } = await this.#source.diskSpace();
    const reserve = Math.min(reserveBytesMax, totalBytes * reserveShare);
    const needed = this.#source.usedBytes() + reserve;
    if (freeBytes >= needed) return;
    throw new CoracleError(
      "quota_exceeded",
      `A snapshot needs ${Math.ceil(needed)} free bytes on the disk of this member, and it has ${freeBytes}; make room, or ask another member.`,
    );
  }
}

/** The file in pieces, read once. It goes with the last one, or when its reader gives up or stalls. */
class Pieces implements AsyncIterableIterator<Uint8Array> {
  readonly #clock: Clock;
  readonly #file: SnapshotFile;
  readonly #gone: () => void;
  #handle: FileHandle | undefined;
  #timer: Timer | undefined;
  #ended = false;
  #stalled = false;

  constructor(clock: Clock, file: SnapshotFile, gone: () => void) {
    this.#clock = clock;
    this.#file = file;
    this.#gone = gone;
    this.#expect();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#stalled) {
      throw new CoracleError(
        "request_timeout",
        `Nothing of this snapshot was read for ${stallMs / 1000} s, so it was given up; ask for another one.`,
      );
    }
    if (this.#ended) return { done: true, value: undefined };
    this.#timer?.cancel();
    try {
      this.#handle ??= await open(this.#file.path);
      const { bytesRead, buffer } = await this.#handle.read(new Uint8Array(pieceBytes), 0, pieceBytes);
      if (bytesRead === 0) return await this.return();
      this.#expect();
      return { done: false, value: buffer.subarray(0, bytesRead) };
    } catch (error) {
      await this.return();
      throw error;
    }
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    if (!this.#ended) {
      this.#ended = true;
      this.#timer?.cancel();
      this.#file.release();
      this.#gone();
      await this.#handle?.close();
    }
    return { done: true, value: undefined };
  }

  #expect(): void {
    if (this.#ended) return;
    this.#timer = this.#clock.after(stallMs, () => {
      log.warn("A snapshot is given up: its reader took nothing for {seconds} s.", {
        seconds: stallMs / 1000,
      });
      this.#stalled = true;
      void this.return();
    });
  }
}
