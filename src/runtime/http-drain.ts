import { stoppingFailure } from "./http-errors.ts";

const lookMs = 10;
/**
 * When so many looks in a row see no request, no client is busy on a connection any more: 300 ms.
 * Counted in looks, for a process that gets little of the CPU has not yet seen what came.
 */
const quietLooks = 30;
/** No more than these, whoever keeps asking: about 2 s. */
const looksMax = 200;

type Fetch = (request: Request) => Response | Promise<Response>;

/**
 * Empties the connections of a server that is to stop. Closing a connection races with the next
 * request on it, which would then get no answer at all, and the runtimes close the idle ones together
 * with the listening socket. So whoever asks on a connection, old or new, is told that nothing was
 * done, on an answer that ends it (`Connection: close`, RFC 9112 §9.6), and goes to another member;
 * until nobody comes any more. Requests that came before are answered as ever.
 */
export class HttpDrain {
  readonly #fetch: Fetch;
  #draining = false;
  #requests = 0;

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  /** What the server calls for each request. */
  readonly fetch: Fetch = (request) => (this.#draining ? this.#refuse() : this.#fetch(request));

  /** From now on requests are refused. Resolves when they stopped coming, or after about 2 s. */
  async begin(): Promise<void> {
    this.#draining = true;
    let quiet = 0;
    for (let looks = 0; quiet < quietLooks && looks < looksMax; looks++) {
      const seen = this.#requests;
      await new Promise((resolve) => setTimeout(resolve, lookMs));
      quiet = this.#requests === seen ? quiet + 1 : 0;
    }
  }

  #refuse(): Response {
    this.#requests++;
    return stoppingFailure();
  }
}
