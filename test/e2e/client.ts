import { HttpConnection, type HttpRequest, type HttpResponse, RequestFailed } from "./http.ts";
import { pause } from "./wait.ts";

/** How a write ended, exactly as the answer promises. */
export type WriteOutcome =
  | { readonly outcome: "acknowledged"; readonly response: HttpResponse }
  /** Certainly not proposed: sending it again is safe. */
  | { readonly outcome: "not-proposed"; readonly reason: string }
  /** It may have taken effect, or may still. */
  | { readonly outcome: "unknown"; readonly reason: string }
  /** The request is wrong, or its condition does not hold; nothing changed. */
  | { readonly outcome: "refused"; readonly reason: string; readonly response: HttpResponse };

/** One attempt's end as an outcome. 503, 429 and 507 mean "not proposed"; 504 and every other 5xx "unknown". */
export function classify(ended: HttpResponse | RequestFailed): WriteOutcome {
  if (ended instanceof RequestFailed)
    return { outcome: ended.sent ? "unknown" : "not-proposed", reason: ended.message };
  const { status } = ended;
  if (status >= 200 && status < 300) return { outcome: "acknowledged", response: ended };
  const reason = `${status} ${codeOf(ended)}`;
  if (status === 503 || status === 429 || status === 507) return { outcome: "not-proposed", reason };
  if (status >= 500) return { outcome: "unknown", reason };
  return { outcome: "refused", reason, response: ended };
}

/** The stable `code` of a problem document (RFC 9457), or the start of what stands in its place. */
export function codeOf(response: HttpResponse): string {
  try {
    const problem: unknown = JSON.parse(response.body.toString());
    if (typeof problem === "object" && problem !== null && "code" in problem) return String(problem.code);
  } catch {
    // Not JSON.
  }
  return response.body.toString("utf8", 0, 80);
}

/** Percent-encodes a key for a path; `/` stays. */
export function keyPath(key: string): string {
  return `/v1/kv/${key.split("/").map(encodeURIComponent).join("/")}`;
}

/** A client with one connection at a time that turns to the next endpoint when one does not serve. */
export class Client {
  readonly #connections: readonly HttpConnection[];
  #current: number;

  /** @param endpoints `host:port` of members; @param first which of them to begin with. */
  constructor(endpoints: readonly string[], first = 0) {
    this.#connections = endpoints.map((endpoint) => new HttpConnection(endpoint));
    this.#current = first % endpoints.length;
  }

  get endpoint(): string {
    return this.#connection.target;
  }

  get #connection(): HttpConnection {
    const connection = this.#connections[this.#current];
    if (connection === undefined) throw new Error("a client needs an endpoint");
    return connection;
  }

  next(): void {
    this.#current = (this.#current + 1) % this.#connections.length;
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }

  /** One attempt at one endpoint. @throws RequestFailed */
  request(request: HttpRequest, timeoutMs?: number): Promise<HttpResponse> {
    return this.#connection.request(request, timeoutMs);
  }

  /** One attempt of a write; after a failure the next attempt goes to the next endpoint. */
  async write(request: HttpRequest, timeoutMs?: number): Promise<WriteOutcome> {
    const outcome = classify(await this.request(request, timeoutMs).catch(failure));
    if (outcome.outcome === "not-proposed" || outcome.outcome === "unknown") this.next();
    return outcome;
  }

  put(key: string, value: Uint8Array, timeoutMs?: number): Promise<WriteOutcome> {
    return this.write({ method: "PUT", path: keyPath(key), body: value }, timeoutMs);
  }

  /** A write that is sent again as long as it was certainly not proposed. */
  async putUntilProposed(
    key: string,
    value: Uint8Array,
    options: { readonly deadlineMs?: number; readonly onRetry?: (reason: string) => void } = {},
  ): Promise<WriteOutcome> {
    const deadline = performance.now() + (options.deadlineMs ?? 30_000);
    while (true) {
      const outcome = await this.put(key, value);
      if (outcome.outcome !== "not-proposed" || performance.now() > deadline) return outcome;
      options.onRetry?.(outcome.reason);
      await pause(5 + Math.random() * 20);
    }
  }

  /** A read, sent again while members do not serve. @throws RequestFailed or the last refusal. */
  async read(
    path: string,
    options: { readonly headers?: Record<string, string> } = {},
  ): Promise<HttpResponse> {
    const deadline = performance.now() + 20_000;
    while (true) {
      const ended = await this.request({ method: "GET", path, ...options }).catch(failure);
      if (!(ended instanceof RequestFailed) && ended.status < 500 && ended.status !== 429) return ended;
      if (performance.now() > deadline) {
        throw ended instanceof RequestFailed
          ? ended
          : new Error(`GET ${path}: ${ended.status} ${codeOf(ended)}`);
      }
      this.next();
      await pause(20);
    }
  }
}

function failure(error: unknown): RequestFailed {
  if (error instanceof RequestFailed) return error;
  throw error;
}

/** A GET for an answer in JSON. @throws Error with status and code when it is none. */
export async function getJson(endpoint: string, path: string, timeoutMs = 5_000): Promise<unknown> {
  const connection = new HttpConnection(endpoint);
  try {
    const response = await connection.request(
      { method: "GET", path, headers: { Accept: "application/json" } },
      timeoutMs,
    );
    if (response.status !== 200)
      throw new Error(`GET ${path} of ${endpoint}: ${response.status} ${codeOf(response)}`);
    return JSON.parse(response.body.toString());
  } finally {
    connection.close();
  }
}
