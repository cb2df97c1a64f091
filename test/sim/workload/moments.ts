import type { Scheduler } from "../engine/scheduler.ts";
import type { Host } from "../members/host.ts";
import { boundedRead, type Plan } from "./plans.ts";

/** Reads with a bound on their age, at moments when a member may tell less than it says. */
export class MomentReads {
  readonly #scheduler: Scheduler;
  readonly #perform: (plan: Plan, via: Host) => void;

  /** @param perform has a client of its own do this one operation. */
  constructor(scheduler: Scheduler, perform: (plan: Plan, via: Host) => void) {
    this.#scheduler = scheduler;
    this.#perform = perform;
  }

  /** Its state went back to an earlier commit. */
  undone(host: Host): void {
    for (const maxStaleMs of [15, 60, 800, 3000]) this.#read(host, 0.1, maxStaleMs);
  }

  /** It is a follower that was just told the newest index, and need not ask again for a while. */
  freshened(host: Host): void {
    for (const delayMs of [0.1, 2, 5]) this.#read(host, delayMs, Math.round(delayMs) + 2);
  }

  #read(host: Host, delayMs: number, maxStaleMs: number): void {
    this.#scheduler.afterMs(delayMs, () => this.#perform(boundedRead(maxStaleMs), host));
  }
}
