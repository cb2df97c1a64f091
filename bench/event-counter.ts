/**
 * Counts the events in the answer of one watch stream as its bytes arrive: chunks of HTTP are taken
 * apart (RFC 9112 §7.1), JSON is not. Every event of a put, in the gateway's JSON and in /v1's, has
 * the words below once.
 */

const words = Buffer.from('"mod_revision"');
const headEnd = Buffer.from("\r\n\r\n");
const none: Buffer = Buffer.alloc(0);

export class EventCounter {
  #events = 0;
  #open = false;
  /** What has come of the answer's head; nothing once it is over. */
  #head: Buffer | undefined = none;
  /** Bytes of the present chunk that are still to come. */
  #left = 0;
  /** Of the line that tells the next chunk's size. */
  #sizeLine = "";
  /** Line breaks behind a chunk that are still to come. */
  #breaks = 0;
  #tail: Buffer = none;

  /** Whether the server has said that the watch is there: its first message has come. */
  get open(): boolean {
    return this.#open;
  }

  /** So far, of the one watch. */
  get events(): number {
    return this.#events;
  }

  /** @throws Error when the answer is not 200, or has ended. */
  take(received: Uint8Array): void {
    let bytes = Buffer.from(received.buffer, received.byteOffset, received.byteLength);
    if (this.#head !== undefined) {
      const head = Buffer.concat([this.#head, bytes]);
      this.#head = head;
      const end = head.indexOf(headEnd);
      if (end < 0) return;
      if (head.toString("latin1", 0, 12) !== "HTTP/1.1 200")
        throw new Error(`a watch was refused: ${head.toString("latin1")}`);
      bytes = head.subarray(end + headEnd.length);
      this.#head = undefined;
    }
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const length = Math.min(this.#left, bytes.length - at);
        this.#count(bytes.subarray(at, at + length));
        at += length;
        this.#left -= length;
        if (this.#left === 0) this.#breaks = 2;
      } else if (this.#breaks > 0) {
        this.#breaks--;
        at++;
      } else {
        const byte = bytes[at++];
        if (byte !== 0x0a) {
          this.#sizeLine += String.fromCharCode(byte ?? 0);
        } else {
          this.#left = Number.parseInt(this.#sizeLine, 16);
          this.#sizeLine = "";
          if (!(this.#left > 0)) throw new Error("a watch was ended by its member");
        }
      }
    }
  }

  #count(bytes: Buffer): void {
    this.#open = true;
    // A message may be spread over chunks, and its words with it.
    const text = this.#tail.length === 0 ? bytes : Buffer.concat([this.#tail, bytes]);
    let from = 0;
    for (let at = text.indexOf(words); at >= 0; at = text.indexOf(words, from)) {
      this.#events++;
      from = at + words.length;
    }
    const whole = text[text.length - 1] === 0x0a;
    this.#tail = whole ? none : Buffer.from(text.subarray(Math.max(from, text.length - words.length + 1)));
  }
}
