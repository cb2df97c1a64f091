import type { Random } from "../../../src/base/prng.ts";
import { between, chance, latency } from "../engine/streams.ts";

/** A machine in the network, by its number. */
export type HostNumber = number;

/** How the network treats messages between each two machines just now. */
export class Conditions {
  readonly #random: Random;
  readonly #typicalMs: number;
  /** Per direction: how many faults block it. */
  readonly #blocks = new Map<number, number>();
  readonly #blockedSinceUs = new Map<number, number>();
  readonly #nowUs: () => number;
  /** Told when the last block of a direction goes. */
  onOpened: (from: HostNumber, to: HostNumber) => void = () => {};
  onBlocked: (from: HostNumber, to: HostNumber) => void = () => {};
  /** Probabilities for messages of Raft, which must bear all of it. */
  loss = 0;
  duplication = 0;
  reordering = 0;
  /** Probability for each chunk of a snapshot that its connection breaks. */
  snapshotBreakage = 0;
  /** Factors on every latency; the largest counts. */
  readonly slowness: number[] = [];

  constructor(random: Random, typicalMs: number, nowUs: () => number) {
    this.#random = random;
    this.#typicalMs = typicalMs;
    this.#nowUs = nowUs;
  }

  latencyMs(): number {
    return latency(this.#random, this.#typicalMs) * Math.max(1, ...this.slowness);
  }

  lost(): boolean {
    return this.loss > 0 && chance(this.#random, this.loss);
  }

  snapshotBreaks(): boolean {
    return this.snapshotBreakage > 0 && chance(this.#random, this.snapshotBreakage);
  }

  snapshotComesTwice(): boolean {
    return chance(this.#random, 0.1 + this.duplication);
  }

  duplicated(): boolean {
    return this.duplication > 0 && chance(this.#random, this.duplication);
  }

  /** How much later than its turn a message comes; 0 for in order. */
  detourMs(): number {
    if (this.reordering === 0 || !chance(this.#random, this.reordering)) return 0;
    return between(this.#random, 0, 30 * this.#typicalMs);
  }

  block(from: HostNumber, to: HostNumber): void {
    const key = keyOf(from, to);
    const count = this.#blocks.get(key) ?? 0;
    this.#blocks.set(key, count + 1);
    if (count > 0) return;
    this.#blockedSinceUs.set(key, this.#nowUs());
    this.onBlocked(from, to);
  }

  unblock(from: HostNumber, to: HostNumber): void {
    const key = keyOf(from, to);
    const count = this.#blocks.get(key) ?? 0;
    if (count > 1) {
      this.#blocks.set(key, count - 1);
      return;
    }
    this.#blocks.delete(key);
    this.#blockedSinceUs.delete(key);
    if (count === 1) this.onOpened(from, to);
  }

  blocked(from: HostNumber, to: HostNumber): boolean {
    return this.#blocks.has(keyOf(from, to));
  }

  /** Whether any direction is blocked. */
  get partitioned(): boolean {
    return this.#blocks.size > 0;
  }

  /** For how long without a gap the direction has been blocked. */
  blockedMs(from: HostNumber, to: HostNumber): number {
    const since = this.#blockedSinceUs.get(keyOf(from, to));
    return since === undefined ? 0 : (this.#nowUs() - since) / 1000;
  }
}

function keyOf(from: HostNumber, to: HostNumber): number {
  return from * 1024 + to;
}
