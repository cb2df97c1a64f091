import type { Context } from "hono";
import { clusterRoutes } from "./cluster-routes.ts";
import { compactRoute } from "./compact-route.ts";
import type { ApiContext, Handler } from "./context.ts";
import { electionRoutes } from "./election-routes.ts";
import { keyRoutes } from "./key-routes.ts";
import { leaseRoutes } from "./lease-routes.ts";
import { listingRoutes } from "./listing-routes.ts";
import { lockRoutes } from "./lock-routes.ts";
import { queryOf } from "./query.ts";
import { txnRoute } from "./txn-routes.ts";
import { watchRoute } from "./watch-routes.ts";

/** Serves one method of a path; `{key}` and `{name}` take the rest of the path. */
export type Serve = (method: string, path: string, handler: Handler) => void;

const keyInQuery = /(?:^|&)key(?:=|&|$)/;

/** The native API. */
export function mountV1(serve: Serve, api: ApiContext): void {
  mountStore(serve, api);
  mountCoordination(serve, api);
  mountCluster(serve, api);
}

function mountStore(serve: Serve, api: ApiContext): void {
  const key = keyRoutes(api);
  const listing = listingRoutes(api);
  const oneKey = (c: Context): boolean => keyInQuery.test(queryOf(c.req.raw.url));
  serve("GET", "/v1/kv", (c) => (oneKey(c) ? key.get(c) : listing.list(c)));
  serve("DELETE", "/v1/kv", (c) => (oneKey(c) ? key.delete(c) : listing.delete(c)));
  serve("PUT", "/v1/kv/{key}", key.put);
  serve("GET", "/v1/kv/{key}", key.get);
  serve("DELETE", "/v1/kv/{key}", key.delete);
  serve("POST", "/v1/txn", txnRoute(api));
  serve("GET", "/v1/watch", watchRoute(api));

  serve("POST", "/v1/compact", compactRoute(api));
}

function mountCoordination(serve: Serve, api: ApiContext): void {
  const leases = leaseRoutes(api);
  serve("POST", "/v1/leases", leases.grant);
  serve("GET", "/v1/leases", leases.list);
  serve("GET", "/v1/leases/{lease}", leases.get);
  serve("POST", "/v1/leases/{lease}/keep-alive", leases.keepAlive);
  serve("DELETE", "/v1/leases/{lease}", leases.revoke);

  const locks = lockRoutes(api);
  serve("POST", "/v1/locks/{name}", locks.acquire);
  serve("GET", "/v1/locks/{name}", locks.holder);
  serve("DELETE", "/v1/locks/{name}", locks.release);

  const elections = electionRoutes(api);
  serve("POST", "/v1/elections/{name}", elections.campaign);
  serve("GET", "/v1/elections/{name}", elections.leader);
  serve("PUT", "/v1/elections/{name}", elections.proclaim);
  serve("DELETE", "/v1/elections/{name}", elections.resign);
}

function mountCluster(serve: Serve, api: ApiContext): void {
  const cluster = clusterRoutes(api);
  serve("GET", "/v1/members", cluster.members);
  serve("DELETE", "/v1/members/{member}", cluster.remove);
  serve("POST", "/v1/members/{member}/promote", cluster.promote);
  serve("GET", "/v1/leader", cluster.leader);
  serve("POST", "/v1/leader", cluster.transfer);
  serve("POST", "/v1/leave", cluster.leave);
  serve("GET", "/v1/status", cluster.status);
}
