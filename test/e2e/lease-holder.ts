import { HttpConnection, RequestFailed } from "./http.ts";
import { pause } from "./wait.ts";

interface Answer {
  readonly status: number;
  readonly document: Record<string, unknown>;
}

/** Speaks the lease part of the native API; what fails on the way is `undefined`. */
export class LeaseClient {
  readonly #endpoints: readonly string[];
  readonly #connections = new Map<string, HttpConnection>();
  #next = 0;

  constructor(endpoints: readonly string[]) {
    this.#endpoints = endpoints;
    this.#next = Math.floor(Math.random() * endpoints.length);
  }

  /** Once, at the next endpoint. */
  async ask(method: string, path: string, body?: unknown, timeoutMs = 3000): Promise<Answer | undefined> {
    const endpoint = this.#endpoints[this.#next++ % this.#endpoints.length] ?? "";
    const connection = this.#connections.get(endpoint) ?? new HttpConnection(endpoint);
    this.#connections.set(endpoint, connection);
    const json = body === undefined ? {} : { headers: { "content-type": "application/json" } };
    const bytes =
      body === undefined ? {} : { body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)) };
    try {
      const answer = await connection.request({ method, path, ...json, ...bytes }, timeoutMs);
      const text = answer.body.toString();
      const document: unknown = text.startsWith("{") ? JSON.parse(text) : {};
      return { status: answer.status, document: document as Record<string, unknown> };
    } catch (error) {
      if (error instanceof RequestFailed) return undefined;
      throw error;
    }
  }

  /** Until it is answered with one of these statuses. */
  async insist(method: string, path: string, body: unknown, statuses: readonly number[]): Promise<Answer> {
    for (;;) {
      const answer = await this.ask(method, path, body);
      if (answer !== undefined && statuses.includes(answer.status)) return answer;
      if (answer !== undefined && answer.status < 500 && answer.status !== 429)
        throw new Error(
          `${method} ${path} was answered with ${answer.status}: ${JSON.stringify(answer.document)}`,
        );
      await pause(50);
    }
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.close();
  }
}

/** A lease with one key, and the time until which the cluster has promised to keep them. */
export class LeaseHolder {
  readonly client: LeaseClient;
  readonly key: string;
  readonly ttlMs: number;
  id = 0;
  /** On this process's clock, counted from when the last request was sent that was confirmed. */
  promisedUntilMs = 0;
  renewals = 0;
  /** What was answered although the promise says otherwise. */
  readonly broken: string[] = [];
  #stopped = false;
  #loop: Promise<void> | undefined;

  constructor(endpoints: readonly string[], key: string, ttlMs: number) {
    this.client = new LeaseClient(endpoints);
    this.key = key;
    this.ttlMs = ttlMs;
  }

  async grant(): Promise<void> {
    const sentMs = performance.now();
    const { document } = await this.client.insist("POST", "/v1/leases", { ttl: this.ttlMs / 1000 }, [201]);
    this.id = Number(document.id);
    this.promisedUntilMs = sentMs + this.ttlMs;
    await this.client.insist("PUT", `/v1/kv/${this.key}?lease=${this.id}`, "held", [200, 201]);
  }

  keep(): void {
    this.#loop = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const sentMs = performance.now();
      const answer = await this.client.ask("POST", `/v1/leases/${this.id}/keep-alive`);
      if (answer?.status === 200) {
        this.promisedUntilMs = sentMs + this.ttlMs;
        this.renewals++;
        await this.look();
        await pause(this.ttlMs / 5);
      } else if (answer?.status === 404) {
        if (performance.now() < this.promisedUntilMs) this.broken.push("a renewal was refused too early");
        return;
      } else await pause(100);
    }
  }

  /** Whether the key is there; it must be, up to the promise. */
  async look(): Promise<boolean> {
    const answer = await this.client.ask("GET", `/v1/kv/${this.key}`);
    if (answer?.status === 404 && performance.now() < this.promisedUntilMs)
      this.broken.push("the key was gone too early");
    return answer?.status !== 404;
  }

  /** Renews no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#loop;
  }
}
