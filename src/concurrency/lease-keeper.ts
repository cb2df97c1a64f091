import type { Clock, Timer } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import type { LeaseId } from "../kv/types.ts";

export interface LeaseKeeperOptions {
  /** Renews the lease. @throws CoracleError `lease_not_found` when there is none any more. */
  readonly renew: () => Promise<{ readonly ttlSeconds: number }>;
  readonly clock: Clock;
  readonly lease: LeaseId | string;
  readonly ttlSeconds: number;
  /** On the clock: when the request was sent that granted or renewed it last. */
  readonly renewedAtMs: number;
  /** Once: the lease ended, or must be taken for ended since no renewal was answered within its TTL. */
  readonly onLost?: (error: CoracleError) => void;
  readonly onRenewed?: (ttlSeconds: number) => void;
}

const retryMsMax = 1000;

/** Keeps a lease alive by a renewal each third of its TTL, until it is stopped or the lease is lost. */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  #ttlMs: number;
  #validUntilMs: number;
  #timer: Timer | undefined;
  #deadline: Timer | undefined;
  #stopped = false;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#ttlMs = options.ttlSeconds * 1000;
    this.#validUntilMs = options.renewedAtMs + this.#ttlMs;
    this.#renewAfter(this.#ttlMs / 3);
    this.#watchDeadline();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#deadline?.cancel();
  }

  #renewAfter(delayMs: number): void {
    this.#timer = this.#options.clock.after(delayMs, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const { clock, renew } = this.#options;
    // The lease lives from a moment after the request was sent: counted from here, it is never overrated.
    const sentAtMs = clock.nowMs();
    try {
      const { ttlSeconds } = await renew();
      if (this.#stopped) return;
      this.#ttlMs = ttlSeconds * 1000;
      this.#validUntilMs = sentAtMs + this.#ttlMs;
      this.#watchDeadline();
      this.#renewAfter(this.#ttlMs / 3);
      this.#options.onRenewed?.(ttlSeconds);
    } catch (error) {
      if (this.#stopped) return;
      if (error instanceof CoracleError && error.code === "lease_not_found") this.#lose(error);
      else this.#renewAfter(Math.min(this.#ttlMs / 10, retryMsMax));
    }
  }

  /** Also a renewal that is never answered must not hide the end of the lease. */
  #watchDeadline(): void {
    const { clock, lease } = this.#options;
    this.#deadline?.cancel();
    this.#deadline = clock.after(this.#validUntilMs - clock.nowMs(), () => {
      const message = `The lease ${lease} could not be renewed within its TTL of ${this.#ttlMs / 1000} s: it must be taken for ended.`;
      this.#lose(new CoracleError("lease_not_found", message));
    });
  }

  #lose(error: CoracleError): void {
    if (this.#stopped) return;
    this.stop();
    this.#options.onLost?.(error);
  }
}
