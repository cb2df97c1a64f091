import { getLogger } from "@logtape/logtape";
import type { Clock } from "../base/clock.ts";

const log = getLogger(["coracle", "start"]);

/** A member is refused again within 2 s as long as the other process runs. */
const lastsMs = 10_000;
const logAgainMs = 60_000;

/** Knows whether another process runs with this member's identity: a copy of its data folder. */
export class DuplicateAlarm {
  readonly #clock: Clock;
  #message = "";
  #refusedAtMs = Number.NEGATIVE_INFINITY;
  #loggedAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Another member refuses this process for the other one's sake. */
  refused(message: string): void {
    const nowMs = this.#clock.nowMs();
    this.#message = message;
    this.#refusedAtMs = nowMs;
    if (nowMs - this.#loggedAtMs < logAgainMs) return;
    this.#loggedAtMs = nowMs;
    log.error("This member is refused by the others: {message}.", { message });
  }

  /** Why this member is not ready, while that is so. */
  get reason(): string | undefined {
    return this.#clock.nowMs() - this.#refusedAtMs < lastsMs ? this.#message : undefined;
  }
}
