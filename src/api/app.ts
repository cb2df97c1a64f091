import { type Context, Hono } from "hono";
import type { Registry } from "prom-client";
import { type Clock, systemClock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { Elections } from "../concurrency/elections.ts";
import { Locks } from "../concurrency/locks.ts";
import type { Service } from "../service/service.ts";
import type { ApiContext, Handler } from "./context.ts";
import { quoted } from "./errors.ts";
import { failureResponse, givenRequestId } from "./failure.ts";
import { gatewayFailure } from "./gateway/errors.ts";
import { isGatewayPath, mountGateway, strayGatewayResponse } from "./gateway/paths.ts";
import { crossSiteGuard, hostGuard } from "./guard.ts";
import { rawPath } from "./key-target.ts";
import { HttpMetrics } from "./metrics.ts";
import { type ApiInfo, operatorPaths, operatorRoutes } from "./operator-routes.ts";
import { mountV1 } from "./v1.ts";

export interface AppOptions {
  readonly service: Service;
  readonly info: ApiInfo;
  /** The member's registry: `/metrics` shows all of it, and HTTP's own metrics are added to it. */
  readonly metrics: Registry;
  readonly limits?: { readonly valueBytesMax?: number };
  /**
   * Names (without port) by which clients may address this member, besides addresses and
   * `localhost`. Absent: any. To be given when it listens on loopback, against DNS rebinding. What
   * tells of health, the version and metrics has no secrets and answers to any name.
   */
  readonly hostNames?: readonly string[];
  /** Aborted when the member begins to stop, so that answers which wait or stream come to an end. */
  readonly stopping?: AbortSignal;
  readonly clock?: Clock;
}

const methods = ["GET", "HEAD", "PUT", "POST", "DELETE"] as const;

/** The client API of a member. It serves any runtime: `app.fetch`. */
export function createApp(options: AppOptions): Hono {
  const { service } = options;
  const clock = options.clock ?? systemClock;
  const deps = { kv: service.kv, leases: service.leases, watches: service.watches, clock };
  const api: ApiContext = {
    service,
    locks: new Locks(deps),
    elections: new Elections(deps),
    valueBytesMax: options.limits?.valueBytesMax ?? limits.valueBytesMax,
    clock,
    stopping: options.stopping ?? new AbortController().signal,
  };
  const app = new Hono({ getPath: rawPath });
  const httpMetrics = new HttpMetrics(options.metrics);
  const checkHost = hostGuard(options.hostNames);

  // One wrapper instead of middleware: it is on the way of every request.
  const serve = (method: string, path: string, handler: Handler): void => {
    const metrics = httpMetrics.route(path, method);
    app.on(method, path.replace(/\{(?:key|name)\}/, "*").replace(/\{(\w+)\}/g, ":$1"), async (c) => {
      const startMs = performance.now();
      const request = c.req.raw;
      let response: Response;
      try {
        // Load balancers and Prometheus ask by names that nobody has told the member.
        if (!operatorPaths.has(path)) checkHost(request);
        if (method === "POST") crossSiteGuard(request);
        response = await handler(c);
        const requestId = givenRequestId(request);
        if (requestId !== undefined) response.headers.set("x-request-id", requestId);
      } catch (error) {
        response = isGatewayPath(c.req.path) ? gatewayFailure(error, path) : failureResponse(request, error);
      }
      if (method === "GET" && request.method === "HEAD") response = await withoutBody(response);
      metrics.observe(response.status, performance.now() - startMs);
      return response;
    });
  };

  mountV1(serve, api);
  const { locks, elections } = api;
  mountGateway(serve, async () => {
    const { createEtcdServices } = await import("../etcd/services.ts");
    const { gatewayHandlers } = await import("./gateway/routes.ts");
    return gatewayHandlers(createEtcdServices(service, { clock, locks, elections }), api);
  });

  const operator = operatorRoutes(service, options.info, options.metrics);
  serve("GET", "/livez", operator.live);
  serve("GET", "/readyz", operator.ready);
  serve("GET", "/version", operator.version);
  serve("GET", "/health", operator.health);
  serve("GET", "/metrics", operator.metrics);
  serve("GET", "/errors/:code", operator.error);
  serve("GET", "/", operator.landing);

  const strayMetrics = httpMetrics.route("other", "any");
  app.notFound((c) => {
    const response = strayResponse(app, c);
    strayMetrics.observe(response.status, 0);
    return response;
  });
  app.onError((error, c) => failureResponse(c.req.raw, error));
  return app;
}

/** A path or method that no route serves. */
function strayResponse(app: Hono, c: Context): Response {
  const path = c.req.path;
  if (isGatewayPath(path)) return strayGatewayResponse(c.req.method, path);
  // Hono asks the GET routes for a HEAD.
  const served = (method: string): boolean =>
    app.router.match(method === "HEAD" ? "GET" : method, path)[0].length > 0;
  const allowed = methods.filter(served);
  if (allowed.length === 0) {
    return failureResponse(
      c.req.raw,
      new CoracleError("not_found", `There is nothing at the path ${quoted(path)}; see / for what there is.`),
    );
  }
  const allow = [...allowed, "OPTIONS"].join(", ");
  // No Access-Control header: pages of other origins get no permission.
  if (c.req.method === "OPTIONS") return new Response(null, { status: 204, headers: { allow } });
  const message = `The path ${quoted(path)} takes ${allow}, not ${quoted(c.req.method)}.`;
  return failureResponse(c.req.raw, new CoracleError("method_not_allowed", message), { allow });
}

/** The answer to HEAD: the headers of GET, the length among them (RFC 9110 §9.3.2). */
async function withoutBody(response: Response): Promise<Response> {
  const length = (await response.arrayBuffer()).byteLength;
  const headers = new Headers(response.headers);
  headers.set("content-length", String(length));
  return new Response(null, { status: response.status, headers });
}
