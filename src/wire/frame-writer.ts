import { limits } from "../base/limits.ts";
import { frameHeadBytes } from "./frame.ts";
import { WireError } from "./wire-error.ts";

const capacityBytesMin = 4096;

/** Collects frames, so that those of one turn leave in one write. */
export class FrameWriter {
  #bytes = new Uint8Array(capacityBytesMin);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Bytes collected, heads included. */
  get length(): number {
    return this.#length;
  }

  /**
   * Appends a copy of the content as one frame.
   *
   * @throws WireError when it is over the limit; nothing of it is then written.
   */
  frame(content: Uint8Array): void {
    if (content.length > limits.frameBytesMax) {
      throw new WireError(`a frame of ${content.length} bytes is over the limit of ${limits.frameBytesMax}`);
    }
    this.#room(frameHeadBytes + content.length);
    this.#view.setUint32(this.#length, content.length);
    this.#bytes.set(content, this.#length + frameHeadBytes);
    this.#length += frameHeadBytes + content.length;
  }

  /** A copy of what was written, in a buffer of exactly its size. The writer starts anew. */
  takeCopy(): Uint8Array {
    const copy = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return copy;
  }

  /** What was written, without a copy. The writer gives the buffer away and starts with a new one. */
  takeBuffer(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#replace(new Uint8Array(capacityBytesMin));
    this.#length = 0;
    return taken;
  }

  #room(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, needed));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#replace(grown);
  }

  #replace(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}
