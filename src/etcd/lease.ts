import { CoracleError } from "../base/errors.ts";
import { int64 } from "../base/int64.ts";
import type { Service } from "../service/service.ts";
import type { Lease, LeaseKeepAliveResponse } from "./gen/lease_pb.ts";
import { headerOf, safeNumber } from "./messages.ts";
import { etcdErrorOf } from "./refusals.ts";
import { sideBySide } from "./side-by-side.ts";
import type { HandlersOf } from "./types.ts";

/** Renewals of one stream that are under way. */
const keepAlivesMax = 1000;

/** Keep-alive answers an unknown lease with a TTL of 0, time-to-live with -1. */
function unlessUnknown<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    if (error instanceof CoracleError && error.code === "lease_not_found") return undefined;
    throw etcdErrorOf(error);
  });
}

export function leaseHandlers({ leases, cluster }: Service): HandlersOf<typeof Lease> {
  return {
    async leaseGrant(request) {
      const { id, ttlSeconds, revision } = await leases.grant(int64(request.ID), safeNumber(request.TTL));
      return {
        $typeName: "etcdserverpb.LeaseGrantResponse",
        header: headerOf(cluster.head(), revision),
        ID: BigInt(id),
        TTL: BigInt(ttlSeconds),
        error: "",
      };
    },
    async leaseRevoke(request) {
      const { revision } = await leases.revoke(int64(request.ID));
      return { $typeName: "etcdserverpb.LeaseRevokeResponse", header: headerOf(cluster.head(), revision) };
    },
    // Clients send the renewals of all their leases at once: side by side they share one question to
    // the leader.
    async *leaseKeepAlive(requests) {
      yield* sideBySide(requests, keepAlivesMax, async ({ ID }): Promise<LeaseKeepAliveResponse> => {
        // Before the renewal: the revision is then none that came after it.
        const header = headerOf(cluster.head());
        const renewed = await unlessUnknown(leases.keepAlive(int64(ID)));
        return {
          $typeName: "etcdserverpb.LeaseKeepAliveResponse",
          header,
          ID,
          TTL: BigInt(renewed?.ttlSeconds ?? 0),
        };
      });
    },
    async leaseTimeToLive(request) {
      const status = await unlessUnknown(leases.timeToLive(int64(request.ID), request.keys));
      return {
        $typeName: "etcdserverpb.LeaseTimeToLiveResponse",
        header: headerOf(cluster.head()),
        ID: request.ID,
        TTL: status === undefined ? -1n : BigInt(Math.floor(status.remainingSeconds)),
        grantedTTL: BigInt(status?.grantedSeconds ?? 0),
        keys: [...(status?.keys ?? [])],
      };
    },
    async leaseLeases() {
      const ids = await leases.list();
      return {
        $typeName: "etcdserverpb.LeaseLeasesResponse",
        header: headerOf(cluster.head()),
        leases: ids.map((id) => ({ $typeName: "etcdserverpb.LeaseStatus", ID: BigInt(id) })),
      };
    },
  };
}
