/** When no request came for so long, no client is busy on its connection any more. */
const quietMs = 100;
/** No longer than this, whoever keeps asking: then new connections are refused. */
const quietMsMax = 300;
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

  /** From now on each answer ends its connection. Resolves when requests stopped coming, or soon. */
  async begin(): Promise<void> {
    this.#closing = true;
    const startMs = performance.now();
    this.#lastRequestMs = startMs;
    for (;;) {
      const nowMs = performance.now();
      if (nowMs - this.#lastRequestMs >= quietMs || nowMs - startMs >= quietMsMax) return;
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
