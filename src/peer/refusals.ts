import { getLogger } from "@logtape/logtape";
import type { Clock } from "../base/clock.ts";
import type { Refusal } from "./hello.ts";

const log = getLogger(["coracle", "peer"]);
const rememberedMax = 256;

/** Logs why connections are refused, each kind from each place once in a while. */
export class RefusalLog {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #loggedAt = new Map<string, number>();

  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  /** `place` is the remote address without the port that changes with each attempt. */
  refused(place: string, refusal: Refusal, direction: "to" | "from"): void {
    // A member that is still starting is no problem.
    if (refusal.reason === "not-ready") return;
    const now = this.#clock.nowMs();
    const key = `${direction} ${place} ${refusal.reason}`;
    const last = this.#loggedAt.get(key);
    if (last !== undefined && now - last < this.#intervalMs) return;
    if (this.#loggedAt.size >= rememberedMax) this.#loggedAt.clear();
    this.#loggedAt.set(key, now);
    log.warn("Connection {direction} {place} refused ({reason}): {message}.", {
      direction,
      place,
      reason: refusal.reason,
      message: refusal.message,
    });
  }
}
