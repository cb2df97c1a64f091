import { type FileHandle, open } from "node:fs/promises";
import type { Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { SnapshotFile } from "../storage/types.ts";
import { parseAddress } from "../wire/address.ts";
import { decodeLinkFrame, type LinkFrame, writeLinkFrame } from "../wire/link-frames.ts";
import { WireError } from "../wire/wire-error.ts";
import type { PeerContext } from "./context.ts";
import { type Dialled, dial } from "./dial.ts";
import type { PeerEndpoint } from "./types.ts";

/**
 * Sends a snapshot on a connection of its own and resolves when the receiver has verified and
 * stored it. Rejects with the reason otherwise.
 */
export async function sendSnapshotTo(
  context: PeerContext,
  to: PeerEndpoint,
  file: SnapshotFile,
  options: { readonly term: number; readonly signal: AbortSignal },
): Promise<void> {
  const target = { address: parseAddress(to.address), purpose: "snapshot" as const, expectedId: to.id };
  const handle = await open(file.path, "r");
  try {
    const dialled = await dial(context, target, options.signal);
    const sender = new Sender(context, dialled, file, options.signal);
    await sender.run(handle, options.term);
  } finally {
    await handle.close();
  }
}

class Sender {
  readonly #context: PeerContext;
  readonly #dialled: Dialled;
  readonly #file: SnapshotFile;
  readonly #start = Promise.withResolvers<number>();
  readonly #verdict = Promise.withResolvers<void>();
  #started = false;
  #idle: Timer | undefined;

  constructor(context: PeerContext, dialled: Dialled, file: SnapshotFile, signal: AbortSignal) {
    this.#context = context;
    this.#dialled = dialled;
    this.#file = file;
    const { socket } = dialled;
    const abort = (): void => socket.close("the transfer was called off");
    signal.addEventListener("abort", abort);
    socket.onceClosed(() => signal.removeEventListener("abort", abort));
    socket.handle({
      onFrame: (frame) => this.#onFrame(frame),
      onClosed: (reason) => this.#fail(`the connection closed: ${reason}`),
    });
    // One of the two may be rejected while nobody waits for it.
    this.#start.promise.catch(() => undefined);
    this.#verdict.promise.catch(() => undefined);
  }

  async run(handle: FileHandle, term: number): Promise<void> {
    const { meta, bytes, sha256 } = this.#file;
    this.#progressed();
    try {
      this.#send({ type: "snapshot-offer", offer: { meta, bytes, sha256, senderTerm: term } });
      this.#dialled.socket.resume();
      const offset = await this.#start.promise;
      await this.#sendChunks(handle, offset);
      await this.#verdict.promise;
    } finally {
      this.#idle?.cancel();
      this.#dialled.socket.close("the transfer is over");
    }
  }

  async #sendChunks(handle: FileHandle, from: number): Promise<void> {
    const { snapshotChunkBytes, snapshotWindowBytes } = this.#context.limits;
    const { socket } = this.#dialled;
    const buffer = new Uint8Array(snapshotChunkBytes);
    let offset = from;
    while (offset < this.#file.bytes && socket.open) {
      const length = Math.min(buffer.length, this.#file.bytes - offset);
      const { bytesRead } = await handle.read(buffer, 0, length, offset);
      if (bytesRead === 0) throw new Error(`the snapshot file ends at ${offset} bytes`);
      this.#send({ type: "snapshot-chunk", offset, data: buffer.subarray(0, bytesRead) });
      offset += bytesRead;
      await socket.drainedTo(snapshotWindowBytes);
      this.#progressed();
    }
  }

  #onFrame(frame: Uint8Array): void {
    const decoded = decodeLinkFrame(frame, this.#dialled.session.version);
    this.#progressed();
    if (decoded.type === "snapshot-offset") {
      if (this.#started) return;
      if (decoded.offset > this.#file.bytes) throw new WireError("the receiver holds more than there is");
      this.#started = true;
      this.#start.resolve(decoded.offset);
    } else if (decoded.type === "snapshot-verdict") {
      if (decoded.stored) this.#verdict.resolve();
      else this.#fail(`the receiver did not take it: ${decoded.message}`);
    } else {
      throw new WireError(`a ${decoded.type} came at the wrong time`);
    }
  }

  #send(frame: LinkFrame): void {
    const { socket, session } = this.#dialled;
    if (!socket.open) return;
    writeLinkFrame(socket.writer, frame, session.version);
    socket.flush();
  }

  #progressed(): void {
    this.#idle?.cancel();
    const { snapshotIdleMs } = this.#context.limits;
    this.#idle = this.#context.clock.after(snapshotIdleMs, () => {
      this.#dialled.socket.close(`no progress in ${snapshotIdleMs} ms`);
    });
  }

  #fail(reason: string): void {
    const error = new Error(messageOf(reason));
    this.#start.reject(error);
    this.#verdict.reject(error);
  }
}
