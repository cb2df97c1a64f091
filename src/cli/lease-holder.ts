import { messageOf } from "../base/errors.ts";
import { type Client, documentOf } from "./client.ts";
import { cbor, idempotencyHeader } from "./client-options.ts";
import { leaseSchema } from "./documents.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";

const retryMs = 500;

export interface GrantedLease {
  readonly id: string;
  readonly ttl: number;
}

export async function grantLease(client: Client, ttl: number, id?: string): Promise<GrantedLease> {
  const granted = await client.send({
    method: "POST",
    path: "/v1/leases",
    headers: { ...cbor, ...idempotencyHeader(), "content-type": "application/json" },
    body: JSON.stringify(id === undefined ? { ttl } : { ttl, id }),
    sending: "repeatable",
  });
  return documentOf(granted, leaseSchema);
}

/** Keeps a lease alive through whichever endpoint answers. */
export class LeaseHolder {
  readonly lease: string;
  readonly #client: Client;
  readonly #lost = new AbortController();
  readonly #onRenewed: (ttl: number) => void;
  #ttlMs: number;
  #validUntilMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  /** @param sentAtMs when the request was sent that granted it; its time is not counted from later. */
  constructor(client: Client, lease: string, ttl: number, sentAtMs: number, onRenewed = (_: number) => {}) {
    this.#client = client;
    this.lease = lease;
    this.#ttlMs = ttl * 1000;
    this.#validUntilMs = sentAtMs + this.#ttlMs;
    this.#onRenewed = onRenewed;
    this.#plan(this.#ttlMs / 3);
  }

  /** Aborts, with a `CommandFailure`, when the lease ended or must be taken for ended. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#deadline);
  }

  #plan(delayMs: number): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(
      () => this.#lose("was not renewed in time: it must be taken for ended"),
      this.#validUntilMs - performance.now(),
    );
    this.#timer = setTimeout(() => void this.#renew(), delayMs);
  }

  async #renew(): Promise<void> {
    const sentAtMs = performance.now();
    try {
      const path = `/v1/leases/${this.lease}/keep-alive`;
      const answer = await this.#client.send({ method: "POST", path, headers: cbor, sending: "repeatable" });
      if (this.#stopped) return;
      const { ttl } = documentOf(answer, leaseSchema);
      this.#ttlMs = ttl * 1000;
      this.#validUntilMs = sentAtMs + this.#ttlMs;
      this.#plan(this.#ttlMs / 3);
      this.#onRenewed(ttl);
    } catch (error) {
      if (this.#stopped) return;
      if (error instanceof CommandFailure && error.exitCode === exitCodes.notFound) {
        this.#lose(`is lost: ${messageOf(error)}`);
      } else this.#plan(retryMs);
    }
  }

  #lose(what: string): void {
    if (this.#stopped) return;
    this.stop();
    this.#lost.abort(
      new CommandFailure(exitCodes.failed, `The lease ${this.lease} ${what.replace(/\.$/, "")}.`),
    );
  }
}
