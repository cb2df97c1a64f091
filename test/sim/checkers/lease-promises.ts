import type { Command, CommandResult, LeaseId } from "../../../src/kv/types.ts";
import { Violation } from "../engine/violation.ts";

/** What clients were promised of one lease. */
interface Promised {
  /** When the last grant or renewal that was answered had been asked for. */
  calledUs: number;
  ttlSeconds: number;
  endedUs: number | undefined;
  expired: boolean;
}

/**
 * A lease lives for its TTL after each grant or renewal that was answered, counted from when it was
 * asked for, by the fastest clock that there was. It is over when the log says so.
 */
export class LeasePromises {
  readonly #leases = new Map<LeaseId, Promised>();
  readonly #nowUs: () => number;
  readonly #fastestRate: () => number;

  constructor(nowUs: () => number, fastestRate: () => number) {
    this.#nowUs = nowUs;
    this.#fastestRate = fastestRate;
  }

  /** A client was told that a grant or a renewal that it asked for at `calledUs` was done. */
  confirmed(id: LeaseId, calledUs: number, ttlSeconds: number): void {
    const lease = this.#of(id);
    if (lease.endedUs !== undefined && lease.endedUs < calledUs) {
      throw new Violation(
        "lease",
        `lease ${id} was renewed ${calledUs - lease.endedUs} us after it had ended`,
      );
    }
    lease.calledUs = Math.max(lease.calledUs, calledUs);
    lease.ttlSeconds = ttlSeconds;
    this.#checkEnd(id, lease);
  }

  /** A command was committed. */
  committed({ body }: Command, result: CommandResult): void {
    if (body.type !== "lease-revoke" || result.type !== "lease-revoke") return;
    const lease = this.#of(body.id);
    lease.endedUs = this.#nowUs();
    // Without a term it is a client that ended it.
    lease.expired = body.term !== undefined;
    this.#checkEnd(body.id, lease);
  }

  #checkEnd(id: LeaseId, { calledUs, ttlSeconds, endedUs, expired }: Promised): void {
    if (endedUs === undefined || !expired) return;
    const untilUs = calledUs + (ttlSeconds * 1e6) / this.#fastestRate();
    if (endedUs >= untilUs) return;
    throw new Violation("lease", `lease ${id} ended ${Math.round(untilUs - endedUs)} us before its time`);
  }

  #of(id: LeaseId): Promised {
    let lease = this.#leases.get(id);
    if (lease === undefined) {
      lease = { calledUs: 0, ttlSeconds: 0, endedUs: undefined, expired: false };
      this.#leases.set(id, lease);
    }
    return lease;
  }
}
