import type { Registry } from "prom-client";
import * as v from "valibot";
import { CoracleError, errorCodes } from "../base/errors.ts";
import { etcdVersion } from "../etcd/version.ts";
import type { Service } from "../service/service.ts";
import type { Handler } from "./context.ts";
import { errorFaces, quoted } from "./errors.ts";
import { documentForms, documentResponse, negotiate } from "./media.ts";
import { parseQuery, queryOf } from "./query.ts";

/** What tells how the member does: without secrets, and asked by machines at any time. */
export const operatorPaths: ReadonlySet<string> = new Set([
  "/livez",
  "/readyz",
  "/health",
  "/version",
  "/metrics",
]);

/** Which program answers, and since when. */
export interface ApiInfo {
  readonly version: string;
  readonly commit: string;
  readonly startedAtMs: number;
}

const noParameters = v.object({});
const plain = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };

type OperatorRoute = "live" | "ready" | "health" | "version" | "metrics" | "landing" | "error";

/** What operators, load balancers and Prometheus ask. Probes may carry any query. */
export function operatorRoutes(
  service: Service,
  info: ApiInfo,
  registry: Registry,
): Readonly<Record<OperatorRoute, Handler>> {
  return {
    live: () => new Response("ok\n", { headers: plain }),
    ready: () => {
      const { ready, reason } = service.cluster.readiness();
      if (ready) return new Response("ok\n", { headers: plain });
      return new Response(`not ready: ${reason}\n`, {
        status: 503,
        headers: { ...plain, "retry-after": "1" },
      });
    },
    // In etcd's form, for those who look at etcd.
    health: () => {
      const { ready } = service.cluster.readiness();
      return new Response(`{"health":"${ready}"}`, { status: ready ? 200 : 503, headers: plain });
    },
    version: (c) => {
      parseQuery(noParameters, queryOf(c.req.raw.url));
      const form = negotiate(c.req.raw.headers.get("accept"), documentForms);
      const startedAt = new Date(info.startedAtMs).toISOString();
      return documentResponse(
        form,
        {
          name: "coracle",
          version: info.version,
          commit: info.commit,
          started_at: startedAt,
          // The release of etcd whose interface this is: clients choose their paths by it.
          etcdserver: etcdVersion.server,
          etcdcluster: etcdVersion.cluster,
        },
        200,
        {},
      );
    },
    metrics: async () => {
      return new Response(await registry.metrics(), { headers: { "content-type": registry.contentType } });
    },
    landing: () => {
      const head = service.cluster.head();
      return new Response(landingText(info.version, head.memberName), { headers: plain });
    },
    error: (c) => {
      const code = c.req.path.slice("/errors/".length);
      const known = errorCodes.find((candidate) => candidate === code);
      if (known === undefined) throw new CoracleError("not_found", `There is no error code ${quoted(code)}.`);
      const face = errorFaces[known];
      return new Response(`${known} (${face.status}): ${face.title}.\n`, { headers: plain });
    },
  };
}

function landingText(version: string, memberName: string): string {
  return `coracle ${version}, member ${memberName}

  /v1/kv/{key}      PUT, GET, DELETE a value
  /v1/kv?prefix=    list keys
  /v1/txn           POST a transaction
  /v1/watch         what changes, as it happens
  /v1/leases        keys that end with their owner
  /v1/locks/{name}  POST to acquire, DELETE to release
  /v1/elections/{name}  POST to campaign, GET the leader
  /v1/compact       POST a revision
  /v1/members       members of the cluster
  /v1/leader        the leader
  /v1/status        state of every member
  /v3/...           etcd's JSON gateway
  /livez /readyz    health
  /metrics          Prometheus
  /version          what runs here
`;
}
