import { gatewayFailure } from "../api/gateway/errors.ts";
import { isGatewayPath } from "../api/gateway/paths.ts";
import { systemClock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import { pause } from "../base/pause.ts";

type Answer = (request: Request) => Response | Promise<Response>;

/** Who asks for these wants to know how it stands now. */
const answeredAtOnce: ReadonlySet<string> = new Set(["/livez", "/readyz", "/health", "/version", "/metrics"]);

/**
 * Where HTTP requests come in. The port is bound before the member has its data and its cluster; what
 * comes before then waits a while, as requests do while nobody leads.
 */
export class Entrance {
  readonly #waitMs: number;
  /** Aborts when nobody needs to wait any more. */
  readonly #settled = new AbortController();
  #serve: Answer = notYet;

  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  answer(request: Request): Response | Promise<Response> {
    if (this.#settled.signal.aborted) return this.#serve(request);
    return this.#whenOpen(request);
  }

  async #whenOpen(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (!answeredAtOnce.has(pathname)) await pause(systemClock, this.#waitMs, this.#settled.signal);
    return this.#serve(request);
  }

  /** From now on `serve` answers, also those who wait. */
  open(serve: Answer): void {
    this.#serve = serve;
    this.#settled.abort();
  }

  /** The member stops; who waits for its start is told so. */
  giveUp(): void {
    this.#settled.abort();
  }
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
