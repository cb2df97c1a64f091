import { existsSync } from "node:fs";
import { type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { CoracleError } from "../base/errors.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { syncFolderSoon } from "./files.ts";
import type { StateCalls } from "./state-calls.ts";

/** A snapshot that another member wants to send. */
export interface OfferedSnapshot {
  readonly meta: SnapshotMeta;
  readonly bytes: number;
  /** SHA-256 of the file, lower-case hexadecimal. */
  readonly sha256: string;
}

/** Where an arriving snapshot goes. */
export interface IncomingSnapshot {
  /** Bytes that an earlier attempt left: send the rest. */
  readonly offset: number;
  write(chunk: Uint8Array): Promise<void>;
  /** Verifies the whole file and keeps it for `StateFiles.install`. */
  finish(): Promise<void>;
  /** Ends the attempt; what arrived is kept for the next one. */
  abort(): void;
}

/** What arrives is flushed in steps: all of it at the end would keep the disk from the log for as long. */
const flushBytes = 8 * 1024 * 1024;
const partialName = /^incoming-([0-9a-f]{64})\.part$/;

/**
 * Receives snapshots, one at a time. A partial file is named after the SHA-256 of the whole, so an
 * attempt that broke off goes on where it ended, even after a restart.
 */
export class SnapshotInbox {
  readonly #dir: string;
  readonly #calls: StateCalls;
  #busy = false;
  #handle: FileHandle | undefined;
  /** The last attempt's file being closed. */
  #ending: Promise<void> = Promise.resolve();
  #received: { readonly offer: OfferedSnapshot; readonly path: string } | undefined;

  constructor(dir: string, calls: StateCalls) {
    this.#dir = dir;
    this.#calls = calls;
  }

  /** Whether a file may be of use after a restart. */
  static keeps(name: string): boolean {
    return partialName.test(name);
  }

  /**
   * Begins to receive, or to go on receiving, a snapshot.
   *
   * @throws CoracleError `peer_refused` when another one is just arriving, or waits to be installed.
   */
  async begin(offer: OfferedSnapshot): Promise<IncomingSnapshot> {
    if (!/^[0-9a-f]{64}$/.test(offer.sha256)) {
      throw new CoracleError("invalid_argument", "The snapshot's SHA-256 is not 64 hexadecimal digits.");
    }
    if (this.#busy) {
      throw new CoracleError("peer_refused", "Another snapshot is being received; try again later.");
    }
    this.#busy = true;
    try {
      await this.#ending;
      return await this.#begin(offer);
    } catch (error) {
      this.#busy = false;
      await this.#closeFile();
      throw error;
    }
  }

  /**
   * Hands over the file of a received snapshot.
   *
   * @throws CoracleError `storage_failed` when it was not received.
   */
  take(snapshot: SnapshotMeta): string {
    const received = this.#received;
    if (received?.offer.meta.index !== snapshot.index || received.offer.meta.term !== snapshot.term) {
      throw new CoracleError("storage_failed", `The snapshot at index ${snapshot.index} was not received.`);
    }
    this.#received = undefined;
    return received.path;
  }

  /** Removes a received snapshot that Raft does not want. */
  async forget(snapshot: SnapshotMeta): Promise<void> {
    const received = this.#received;
    if (received?.offer.meta.index !== snapshot.index) return;
    this.#received = undefined;
    await rm(received.path, { force: true });
  }

  async close(): Promise<void> {
    await this.#ending;
    await this.#closeFile();
  }

  async #begin(offer: OfferedSnapshot): Promise<IncomingSnapshot> {
    if (this.#received?.offer.sha256 === offer.sha256) {
      this.#busy = false;
      // Taken or forgotten meanwhile, it must be sent again.
      const finish = async (): Promise<void> => {
        if (this.#received?.offer.sha256 !== offer.sha256) await refuse();
      };
      return { offset: offer.bytes, write: refuse, finish, abort: () => {} };
    }
    // Raft may name it at any moment: nothing takes its place until it is installed or not wanted.
    if (this.#received !== undefined) {
      throw new CoracleError("peer_refused", "A received snapshot waits to be installed; try again later.");
    }
    const path = join(this.#dir, `incoming-${offer.sha256}.part`);
    for (const name of await readdir(this.#dir)) {
      const other = join(this.#dir, name);
      if (other !== path && !name.startsWith("outgoing-")) await rm(other, { force: true });
    }
    const handle = await open(path, existsSync(path) ? "r+" : "w+", 0o600);
    this.#handle = handle;
    let offset = (await handle.stat()).size;
    if (offset > offer.bytes) {
      await handle.truncate(0);
      offset = 0;
    }
    const start = offset;
    let over = false;
    let unflushed = 0;
    let writing: Promise<void> = Promise.resolve();
    const append = async (chunk: Uint8Array): Promise<void> => {
      for (let done = 0; done < chunk.length; ) {
        done += (await handle.write(chunk, done, chunk.length - done, offset + done)).bytesWritten;
      }
      offset += chunk.length;
      unflushed += chunk.length;
      if (unflushed < flushBytes) return;
      unflushed = 0;
      await handle.datasync();
    };
    return {
      offset: start,
      write: (chunk) => {
        if (over || offset + chunk.length > offer.bytes) return refuse();
        writing = append(chunk);
        return writing;
      },
      finish: async () => {
        if (over || offset !== offer.bytes) {
          throw new CoracleError("peer_refused", `${offset} bytes of ${offer.bytes} arrived.`);
        }
        over = true;
        try {
          await this.#closeFile();
          await this.#keep(offer, path);
        } finally {
          this.#busy = false;
        }
      },
      abort: () => {
        if (over) return;
        over = true;
        this.#busy = false;
        this.#ending = writing.catch(() => undefined).then(() => this.#closeFile());
      },
    };
  }

  /** Verifies the whole file; one that is not what was offered is removed. */
  async #keep(offer: OfferedSnapshot, path: string): Promise<void> {
    try {
      const found = await this.#calls.call({ type: "inspect", path });
      if (found.sha256 !== offer.sha256) {
        throw new CoracleError(
          "peer_refused",
          `The snapshot arrived damaged: its SHA-256 is ${found.sha256}.`,
        );
      }
      if (JSON.stringify(plain(found.meta)) !== JSON.stringify(plain(offer.meta))) {
        throw new CoracleError(
          "peer_refused",
          `The snapshot holds the state at index ${found.meta.index}, not what was offered.`,
        );
      }
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
    const target = join(this.#dir, `received-${offer.sha256}.db`);
    await rename(path, target);
    await syncFolderSoon(this.#dir);
    this.#received = { offer, path: target };
  }

  async #closeFile(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }
}

function plain({ index, term, conf }: SnapshotMeta): unknown {
  return [index, term, conf.voters, conf.learners];
}

async function refuse(): Promise<never> {
  throw new CoracleError("peer_refused", "Other than what was offered arrived; send the snapshot again.");
}
