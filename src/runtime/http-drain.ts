/** Requests that come at least this far apart show that no client is busy on its connection any more. */
const quietMs = 300;
const lookMs = 10;

type Fetch = (request: Request) => Response | Promise<Response>;

/**
 * Empties the connections of a server that is to stop. Closing an idle keep-alive connection races
 * with the next request on it, which would then get no answer at all; so each connection in use is
 * given one more answer that ends it (`Connection: close`, RFC 9112 §9.6).
 */
export class HttpDrain {
  readonly #fetch: Fetch;
  #closing = false;
  #lastRequestMs = 0;

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  /** What the server calls for each request. */
  readonly fetch: Fetch = (request) => (this.#closing ? this.#last(request) : this.#fetch(request));

  /** From now on each answer ends its connection. */
  begin(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#lastRequestMs = performance.now();
  }

  /** Resolves when requests stopped coming, or after `limitMs`. */
  async quiet(limitMs: number): Promise<void> {
    const startMs = performance.now();
    for (;;) {
      const nowMs = performance.now();
      if (nowMs - this.#lastRequestMs >= quietMs || nowMs - startMs >= limitMs) return;
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  }

  async #last(request: Request): Promise<Response> {
    this.#lastRequestMs = performance.now();
    const response = await this.#fetch(request);
    response.headers.set("connection", "close");
    return response;
  }
}
