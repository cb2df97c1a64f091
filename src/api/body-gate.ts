import { type Clock, systemClock, type Timer } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

export interface BodyGateOptions {
  /** Bytes of all bodies that are being read at once. */
  readonly bytesMax?: number;
  /** How long one may take to arrive. */
  readonly arrivalMsMax?: number;
  readonly clock?: Clock;
}

/** A body on its way. */
interface Arrival {
  readonly deadlineMs: number;
  readonly late: (error: CoracleError) => void;
}

/** How often late bodies are looked for: one timer for all, for each request comes by here. */
const lookMs = 1000;

/**
 * Bounds what clients can make a member hold by beginning to send: the bytes of bodies that have not
 * arrived yet, and how long each may take.
 */
export class BodyGate {
  readonly #bytesMax: number;
  readonly #arrivalMsMax: number;
  readonly #clock: Clock;
  readonly #arrivals = new Set<Arrival>();
  #bytes = 0;
  #timer: Timer | undefined;

  constructor(options: BodyGateOptions = {}) {
    this.#bytesMax = options.bytesMax ?? limits.bodiesBytesMax;
    this.#arrivalMsMax = options.arrivalMsMax ?? limits.bodyArrivalMsMax;
    this.#clock = options.clock ?? systemClock;
  }

  /** Bytes that are reserved for bodies. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @throws CoracleError overloaded */
  reserve(bytes: number): void {
    if (this.#bytes + bytes > this.#bytesMax) {
      throw new CoracleError(
        "overloaded",
        `This member is reading ${this.#bytes} bytes of request bodies already, and takes ${this.#bytesMax} at once: send it again later, nothing was changed.`,
      );
    }
    this.#bytes += bytes;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Resolves as `reading` does, unless it takes too long: then it rejects with `request_timeout`. */
  arrival<T>(reading: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const arrival: Arrival = { deadlineMs: this.#clock.nowMs() + this.#arrivalMsMax, late: reject };
      this.#arrivals.add(arrival);
      this.#timer ??= this.#clock.after(lookMs, () => this.#look());
      reading.then(
        (value) => {
          this.#arrivals.delete(arrival);
          resolve(value);
        },
        (error: unknown) => {
          this.#arrivals.delete(arrival);
          reject(error);
        },
      );
    });
  }

  #look(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.nowMs();
    for (const arrival of this.#arrivals) {
      // In the order of their deadlines, for all have the same time.
      if (arrival.deadlineMs > nowMs) break;
      this.#arrivals.delete(arrival);
      arrival.late(
        new CoracleError(
          "request_timeout",
          `The request body did not arrive within ${this.#arrivalMsMax / 1000} s; nothing was changed.`,
        ),
      );
    }
    if (this.#arrivals.size > 0) this.#timer = this.#clock.after(lookMs, () => this.#look());
  }
}

/** Of this process: memory is one. */
export const bodyGate = new BodyGate();
