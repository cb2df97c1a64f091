import { gatewayFailure } from "../api/gateway/errors.ts";
import { isGatewayPath } from "../api/gateway/paths.ts";
import { operatorPaths } from "../api/operator-routes.ts";
import { type Clock, systemClock, type Timer } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import { stoppingFailure } from "../runtime/http-errors.ts";

type Answer = (request: Request) => Response | Promise<Response>;

/**
 * Where HTTP requests come in. The port is bound before the member has its data and its cluster. Most
 * starts are over in a moment, so what comes before then waits for it; when a start takes longer than
 * `waitMs`, whoever waits is turned away, and whoever comes later at once.
 */
export class Entrance {
  /** Aborts when nobody waits any more. */
  readonly #waitingOver = new AbortController();
  readonly #timer: Timer;
  #serve: Answer = notYet;

  constructor(waitMs: number, clock: Clock = systemClock) {
    this.#timer = clock.after(waitMs, () => this.#waitingOver.abort());
  }

  answer(request: Request): Response | Promise<Response> {
    return this.#waitingOver.signal.aborted ? this.#serve(request) : this.#whenOpen(request);
  }

  async #whenOpen(request: Request): Promise<Response> {
    const { signal } = this.#waitingOver;
    // Who asks for those wants to know how it stands now.
    if (!operatorPaths.has(new URL(request.url).pathname)) {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    }
    // Nobody would read the answer, and nobody wants to have written any more.
    return request.signal.aborted ? notYet(request) : this.#serve(request);
  }

  /** From now on `serve` answers, also those who wait. */
  open(serve: Answer): void {
    this.#serve = serve;
    this.#endWaiting();
  }

  /** The member stops; who waits for its start is told so. */
  giveUp(): void {
    if (this.#serve === notYet) this.#serve = stopping;
    this.#endWaiting();
  }

  #endWaiting(): void {
    this.#timer.cancel();
    this.#waitingOver.abort();
  }
}

function stopping(request: Request): Response {
  const path = new URL(request.url).pathname;
  if (!isGatewayPath(path)) return stoppingFailure();
  return gatewayFailure(new CoracleError("shutting_down", "This member is shutting down."), path);
}

/** While the member finds its cluster it is alive, and serves nothing. */
function notYet(request: Request): Response {
  const path = new URL(request.url).pathname;
  if (path === "/livez") return new Response("ok\n");
  if (isGatewayPath(path)) return gatewayFailure(new CoracleError("no_leader", "Still starting."), path);
  return Response.json(
    {
      type: "/errors/not_proposed",
      title: "Not proposed",
      status: 503,
      detail: "This member is starting and has not found its cluster yet; try again.",
      code: "not_proposed",
    },
    { status: 503, headers: { "content-type": "application/problem+json", "retry-after": "1" } },
  );
}
