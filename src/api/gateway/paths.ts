import { present } from "../../base/assert.ts";
import type { EtcdServices } from "../../etcd/types.ts";
import type { Handler } from "../context.ts";

/** etcd 3.4's paths, and those of later ones that clients use, below `/v3`. */
export const gatewayPaths: readonly (readonly [path: string, service: keyof EtcdServices, method: string])[] =
  [
    ["/kv/range", "kv", "range"],
    ["/kv/put", "kv", "put"],
    ["/kv/deleterange", "kv", "deleteRange"],
    ["/kv/txn", "kv", "txn"],
    ["/kv/compaction", "kv", "compact"],
    ["/watch", "watch", "watch"],
    ["/lease/grant", "lease", "leaseGrant"],
    ["/lease/revoke", "lease", "leaseRevoke"],
    ["/kv/lease/revoke", "lease", "leaseRevoke"],
    ["/lease/keepalive", "lease", "leaseKeepAlive"],
    ["/lease/timetolive", "lease", "leaseTimeToLive"],
    ["/kv/lease/timetolive", "lease", "leaseTimeToLive"],
    ["/lease/leases", "lease", "leaseLeases"],
    ["/kv/lease/leases", "lease", "leaseLeases"],
    ["/cluster/member/add", "cluster", "memberAdd"],
    ["/cluster/member/remove", "cluster", "memberRemove"],
    ["/cluster/member/update", "cluster", "memberUpdate"],
    ["/cluster/member/list", "cluster", "memberList"],
    ["/cluster/member/promote", "cluster", "memberPromote"],
    ["/maintenance/alarm", "maintenance", "alarm"],
    ["/maintenance/status", "maintenance", "status"],
    ["/maintenance/defragment", "maintenance", "defragment"],
    // 3.4 answers HashKV at `hash`; later ones have a path of its name.
    ["/maintenance/hash", "maintenance", "hashKV"],
    ["/maintenance/hashkv", "maintenance", "hashKV"],
    ["/maintenance/snapshot", "maintenance", "snapshot"],
    ["/maintenance/transfer-leadership", "maintenance", "moveLeader"],
    ["/maintenance/downgrade", "maintenance", "downgrade"],
    ["/auth/enable", "auth", "authEnable"],
    ["/auth/disable", "auth", "authDisable"],
    ["/auth/status", "auth", "authStatus"],
    ["/auth/authenticate", "auth", "authenticate"],
    ["/auth/user/add", "auth", "userAdd"],
    ["/auth/user/get", "auth", "userGet"],
    ["/auth/user/list", "auth", "userList"],
    ["/auth/user/delete", "auth", "userDelete"],
    ["/auth/user/changepw", "auth", "userChangePassword"],
    ["/auth/user/grant", "auth", "userGrantRole"],
    ["/auth/user/revoke", "auth", "userRevokeRole"],
    ["/auth/role/add", "auth", "roleAdd"],
    ["/auth/role/get", "auth", "roleGet"],
    ["/auth/role/list", "auth", "roleList"],
    ["/auth/role/delete", "auth", "roleDelete"],
    ["/auth/role/grant", "auth", "roleGrantPermission"],
    ["/auth/role/revoke", "auth", "roleRevokePermission"],
    ["/lock/lock", "lock", "lock"],
    ["/lock/unlock", "lock", "unlock"],
    ["/election/campaign", "election", "campaign"],
    ["/election/proclaim", "election", "proclaim"],
    ["/election/leader", "election", "leader"],
    ["/election/observe", "election", "observe"],
    ["/election/resign", "election", "resign"],
  ];

/**
 * Serves etcd's JSON gateway: each path of it, by POST. `load` is asked for the handlers with the first
 * request: the schema of etcd's messages would take a fifth of a member's start, and many never need it.
 */
export function mountGateway(
  serve: (method: string, path: string, handler: Handler) => void,
  load: () => Promise<ReadonlyMap<string, Handler>>,
): void {
  let handlers: Promise<ReadonlyMap<string, Handler>> | undefined;
  const loaded = (): Promise<ReadonlyMap<string, Handler>> => {
    handlers ??= load().catch((error: unknown) => {
      // The next request tries again.
      handlers = undefined;
      throw error;
    });
    return handlers;
  };
  for (const [path] of gatewayPaths) {
    const handler: Handler = async (c) => present((await loaded()).get(path), "the handler of a path")(c);
    serve("POST", `/v3${path}`, handler);
    serve("POST", `/v3beta${path}`, handler);
  }
}

const served = new Set(gatewayPaths.flatMap(([path]) => [`/v3${path}`, `/v3beta${path}`]));

export function isGatewayPath(path: string): boolean {
  return path.startsWith("/v3/") || path.startsWith("/v3beta/");
}

/**
 * What nothing else serves below `/v3`. OPTIONS is answered as etcd does, but names no origin: pages of
 * other origins get no permission (`crossSiteGuard`).
 */
export function strayGatewayResponse(method: string, path: string): Response {
  if (method === "OPTIONS") {
    return new Response(null, {
      headers: {
        "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
        "access-control-allow-headers": "accept, content-type, authorization",
      },
    });
  }
  const headers = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
  return served.has(path)
    ? new Response("Method Not Allowed\n", { status: 405, headers: { ...headers, allow: "POST, OPTIONS" } })
    : new Response("Not Found\n", { status: 404, headers });
}
