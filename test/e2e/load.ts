import { Client, type WriteOutcome } from "./client.ts";
import { pause } from "./wait.ts";

/** One write of a load: a key that nobody else writes, and its value. */
export interface Write {
  readonly key: string;
  readonly value: Buffer;
}

export interface LoadOptions {
  readonly endpoints: readonly string[];
  /** Concurrent clients; each begins with another endpoint. */
  readonly clients: number;
  /** Bytes of values a second, all clients together; absent for as fast as it goes. */
  readonly bytesPerSecond?: number;
  /** How long a client waits for an answer before it goes on and counts the write as unknown. */
  readonly timeoutMs?: number;
  /** The next write; `undefined` ends the load. */
  readonly next: () => Write | undefined;
}

/** Clients that write without end, and what became of every write. */
export class Load {
  /** By key. */
  readonly acknowledged = new Map<string, Buffer>();
  readonly unknown = new Map<string, { readonly value: Buffer; readonly reason: string }>();
  /** Answers that a client may neither retry nor take for success; none is expected. */
  readonly refused: string[] = [];
  /** When each acknowledgement came, `performance.now()`, in order. */
  readonly acknowledgedAtMs: number[] = [];
  /** How often a write was sent again because it was certainly not proposed, by reason. */
  readonly retries = new Map<string, number>();
  readonly #options: LoadOptions;
  readonly #clients: Promise<void>[];
  #stopping = false;
  #nextSendAtMs = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#clients = Array.from({ length: options.clients }, (_, i) => this.#run(i));
  }

  /** Lets every client end its write, at the next failure at the latest. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  /** Waits until the load ends by itself. */
  async done(): Promise<void> {
    await Promise.all(this.#clients);
  }

  /**
   * The longest time without an acknowledgement that ended after `fromMs` and began before `toMs`;
   * infinite when none came after `fromMs`.
   */
  longestGapMs(fromMs: number, toMs = Number.POSITIVE_INFINITY): number {
    const times = this.acknowledgedAtMs;
    let longest = times.some((time) => time >= fromMs) ? 0 : Number.POSITIVE_INFINITY;
    for (let i = 1; i < times.length; i++) {
      const before = times[i - 1] ?? 0;
      const time = times[i] ?? 0;
      if (time >= fromMs && before < toMs) longest = Math.max(longest, time - before);
    }
    return longest;
  }

  /** Why writes ended unknown, with how often. */
  unknownReasons(): Map<string, number> {
    const reasons = new Map<string, number>();
    for (const { reason } of this.unknown.values()) {
      const kind = withoutPort(reason);
      reasons.set(kind, (reasons.get(kind) ?? 0) + 1);
    }
    return reasons;
  }

  async #run(number: number): Promise<void> {
    const client = new Client(this.#options.endpoints, number);
    try {
      while (!this.#stopping) {
        const write = this.#options.next();
        if (write === undefined) return;
        await this.#pace(write.value.length);
        this.#note(write, await this.#send(client, write));
      }
    } finally {
      client.close();
    }
  }

  /** Sends until the write was proposed, refused, or the load is stopped. */
  async #send(client: Client, write: Write): Promise<WriteOutcome> {
    while (true) {
      const ended = await client.put(write.key, write.value, this.#options.timeoutMs);
      if (ended.outcome !== "not-proposed" || this.#stopping) return ended;
      const reason = withoutPort(ended.reason);
      this.retries.set(reason, (this.retries.get(reason) ?? 0) + 1);
      await pause(5 + Math.random() * 20);
    }
  }

  #note(write: Write, ended: WriteOutcome): void {
    switch (ended.outcome) {
      case "acknowledged":
        this.acknowledged.set(write.key, write.value);
        this.acknowledgedAtMs.push(performance.now());
        break;
      case "unknown":
        this.unknown.set(write.key, { value: write.value, reason: ended.reason });
        break;
      case "refused":
        this.refused.push(`${write.key}: ${ended.reason}`);
        break;
      case "not-proposed":
        break;
    }
  }

  async #pace(bytes: number): Promise<void> {
    const { bytesPerSecond } = this.#options;
    if (bytesPerSecond === undefined) return;
    const now = performance.now();
    // What was not sent while nothing was served is not made up for by a burst.
    this.#nextSendAtMs = Math.max(this.#nextSendAtMs, now - 50) + (bytes / bytesPerSecond) * 1000;
    if (this.#nextSendAtMs > now) await pause(this.#nextSendAtMs - now);
  }
}

function withoutPort(reason: string): string {
  return reason.replace(/127\.0\.0\.1:\d+/g, "member");
}
