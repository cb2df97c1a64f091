import { createHash } from "node:crypto";
import type { MemberId } from "../../../src/raft/types.ts";
import type { SnapshotFile } from "../../../src/storage/types.ts";
import { frameHeadBytes } from "../../../src/wire/frame.ts";
import { FrameWriter } from "../../../src/wire/frame-writer.ts";
import { decodeLinkFrame, type LinkFrame, writeLinkFrame } from "../../../src/wire/link-frames.ts";
import { negotiateVersion } from "../../../src/wire/protocol.ts";
import type { Network } from "./network.ts";
import type { SimTransport } from "./transport.ts";

export interface TransferRequest {
  readonly to: MemberId;
  readonly address: string | undefined;
  readonly file: SnapshotFile;
  readonly origin: { readonly term: number; readonly from: MemberId };
}

/** A chunk that does not get through for so long ends the transfer. */
const idleMs = 2500;
const retryMs = 60;

const writer = new FrameWriter();

/** A snapshot on its way to another member, chunk by chunk, on a connection of its own. */
export class SnapshotTransfer {
  readonly #network: Network;
  readonly #sender: SimTransport;
  readonly #request: TransferRequest;
  readonly #outcome = Promise.withResolvers<number>();
  #receiver: SimTransport | undefined;
  #version = 0;
  #stalledMs = 0;
  #over = false;
  /** Whether the network was partitioned while it travelled. */
  #partitioned = false;

  constructor(network: Network, sender: SimTransport, request: TransferRequest) {
    this.#network = network;
    this.#sender = sender;
    this.#request = request;
  }

  run(): Promise<number> {
    this.#network.transfers.add(this);
    this.#network.coverage.add("snapshot: transfer begun");
    this.#later(() => this.#connect());
    return this.#outcome.promise;
  }

  /** The connection breaks. */
  interrupt(reason: string): void {
    if (this.#over) return;
    this.#network.coverage.add("snapshot: transfer interrupted");
    this.#fail(reason);
  }

  #later(action: () => void, delayMs = this.#network.conditions.latencyMs()): void {
    this.#network.scheduler.afterMs(delayMs, () => {
      if (this.#over) return;
      if (this.#network.conditions.partitioned) this.#partitioned = true;
      if (!this.#sender.open) this.#finish();
      else action();
    });
  }

  #connect(): void {
    const { address, to } = this.#request;
    const receiver = address === undefined ? undefined : this.#network.listening(address);
    if (receiver === undefined || receiver.memberId !== to || this.#blocked(receiver)) {
      this.#fail("the member could not be reached");
      return;
    }
    const version = negotiateVersion(this.#sender.versions, receiver.versions);
    if (version === undefined) {
      this.#fail("no common protocol version");
      return;
    }
    this.#receiver = receiver;
    this.#version = version;
    this.#later(() => this.#offer(receiver));
  }

  #offer(receiver: SimTransport): void {
    if (!this.#reaches(receiver, () => this.#offer(receiver))) return;
    const { file, origin } = this.#request;
    const offered = this.#carry({
      type: "snapshot-offer",
      offer: { meta: file.meta, bytes: file.bytes, sha256: file.sha256, senderTerm: origin.term },
    });
    if (offered.type !== "snapshot-offer") throw new Error("an offer came back as something else");
    const { bytes, sha256 } = offered.offer;
    const disk = receiver.process.disk;
    for (const other of this.#network.transfers) {
      if (other !== this && other.#receiver === receiver) {
        this.#fail("another snapshot is being received");
        return;
      }
    }
    if (disk.received !== undefined) {
      this.#network.coverage.add("snapshot: refused while one waits to be installed");
      this.#fail("a received snapshot waits to be installed");
      return;
    }
    if (disk.partial?.sha256 !== sha256) disk.partial = { sha256, bytes: new Uint8Array(bytes), received: 0 };
    else if (disk.partial.received > 0) this.#network.coverage.add("snapshot: transfer resumed");
    this.#later(() => this.#chunk(receiver));
  }

  #chunk(receiver: SimTransport): void {
    if (!this.#reaches(receiver, () => this.#chunk(receiver))) return;
    if (this.#network.conditions.snapshotBreaks()) {
      this.interrupt("the connection broke");
      return;
    }
    const partial = receiver.process.disk.partial;
    const image = this.#sender.process.snapshotImage(this.#request.file.path);
    if (partial === undefined || image === undefined || partial.sha256 !== this.#request.file.sha256) {
      this.#fail("another transfer took its place");
      return;
    }
    const offset = partial.received;
    const end = Math.min(image.length, offset + this.#network.snapshotChunkBytes);
    if (offset < end) {
      const chunk = this.#carry({ type: "snapshot-chunk", offset, data: image.subarray(offset, end) });
      if (chunk.type !== "snapshot-chunk") throw new Error("a chunk came back as something else");
      partial.bytes.set(chunk.data, chunk.offset);
      partial.received = end;
    }
    if (partial.received < image.length) this.#later(() => this.#chunk(receiver));
    else this.#later(() => this.#store(receiver, partial.bytes), receiver.process.disk.fsyncMs());
  }

  #store(receiver: SimTransport, image: Uint8Array): void {
    if (!receiver.open) {
      this.#fail("the receiver is gone");
      return;
    }
    const { file } = this.#request;
    const disk = receiver.process.disk;
    disk.partial = undefined;
    if (createHash("sha256").update(image).digest("hex") !== file.sha256) {
      this.#fail("the file does not match its hash");
      return;
    }
    if (this.#partitioned) this.#network.coverage.add("snapshot: arrived during a partition");
    this.#announce(receiver, image);
    this.#announceAgain(receiver, image);
    this.#later(() => this.#verdict(receiver));
  }

  /** A sender that did not hear of the success sends the same once more, and it may come late. */
  #announceAgain(receiver: SimTransport, image: Uint8Array): void {
    const { conditions, scheduler, coverage } = this.#network;
    if (!conditions.snapshotComesTwice()) return;
    scheduler.afterMs(conditions.latencyMs() * 40, () => {
      const { disk } = receiver.process;
      if (!receiver.open || disk.received !== undefined) return;
      coverage.add("snapshot: came a second time");
      this.#announce(receiver, image);
    });
  }

  #announce(receiver: SimTransport, image: Uint8Array): void {
    const { file, origin } = this.#request;
    const { index, term } = file.meta;
    const { disk } = receiver.process;
    disk.received = { index, term, image };
    receiver.process.run(() => {
      const wanted = receiver.process.snapshotReceived(origin.from, origin.term, file.meta);
      if (!wanted) disk.received = undefined;
    });
  }

  #verdict(receiver: SimTransport): void {
    if (!this.#reaches(receiver, () => this.#verdict(receiver))) return;
    this.#finish();
    this.#sender.process.run(() => this.#outcome.resolve(this.#request.file.meta.index));
  }

  /** Whether the other side can be reached now; tries `again` for a while otherwise. */
  #reaches(receiver: SimTransport, again: () => void): boolean {
    if (!receiver.open) {
      this.interrupt("the receiver is gone");
      return false;
    }
    if (!this.#blocked(receiver) && receiver.process.stoppedSinceUs === undefined) {
      this.#stalledMs = 0;
      return true;
    }
    this.#stalledMs += retryMs;
    if (this.#stalledMs > idleMs) this.interrupt("no progress");
    else this.#later(again, retryMs);
    return false;
  }

  #blocked(receiver: SimTransport): boolean {
    const { conditions } = this.#network;
    return (
      conditions.blocked(this.#sender.host, receiver.host) ||
      conditions.blocked(receiver.host, this.#sender.host)
    );
  }

  #carry(frame: LinkFrame): LinkFrame {
    writeLinkFrame(writer, frame, this.#version);
    return decodeLinkFrame(writer.takeCopy().subarray(frameHeadBytes), this.#version);
  }

  #fail(reason: string): void {
    this.#finish();
    this.#sender.process.run(() => this.#outcome.reject(new Error(reason)));
  }

  #finish(): void {
    this.#over = true;
    this.#network.transfers.delete(this);
  }
}
