import { hashText } from "./streams.ts";

/** Rolling hash over everything that happened, and on request the text of it. */
export class Trace {
  #hash = 0x811c_9dc5;
  readonly #print: ((line: string) => void) | undefined;
  readonly #nowMs: () => number;
  readonly #kinds = new Map<string, number>();

  constructor(nowMs: () => number, print: ((line: string) => void) | undefined) {
    this.#nowMs = nowMs;
    this.#print = print;
  }

  get printing(): boolean {
    return this.#print !== undefined;
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  /** Notes an event by kind and numbers; `text` is made only when the trace is printed. */
  note(kind: string, a = 0, b = 0, c = 0, text?: () => string): void {
    this.#mix(this.#kindHash(kind));
    this.#mix(Math.round(this.#nowMs() * 1000) | 0);
    this.#mix(a | 0);
    this.#mix(b | 0);
    this.#mix(c | 0);
    if (this.#print === undefined) return;
    const detail = text === undefined ? `${a} ${b} ${c}` : text();
    this.#print(`${this.#nowMs().toFixed(3).padStart(11)} ${kind.padEnd(18)} ${detail}`);
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x0100_0193);
    this.#hash ^= this.#hash >>> 15;
  }

  #kindHash(kind: string): number {
    let hash = this.#kinds.get(kind);
    if (hash === undefined) {
      hash = hashText(kind);
      this.#kinds.set(kind, hash);
    }
    return hash;
  }
}
