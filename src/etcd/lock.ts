import { int64 } from "../base/int64.ts";
import type { LockService } from "../concurrency/types.ts";
import type { Service } from "../service/service.ts";
import type { Lock } from "./gen/lock_pb.ts";
import { headerOf } from "./messages.ts";
import { refusal } from "./refusals.ts";
import type { HandlersOf } from "./types.ts";

export function lockHandlers({ cluster }: Service, locks: LockService): HandlersOf<typeof Lock> {
  return {
    async lock(request, { signal }) {
      const { name, lease } = request;
      const claim = await locks.acquire({ name, lease: int64(lease), signal });
      return {
        $typeName: "v3lockpb.LockResponse",
        header: headerOf(cluster.head(), claim.revision),
        key: claim.key,
      };
    },
    async unlock(request) {
      if (request.key.length === 0) throw refusal("keyEmpty");
      const { revision } = await locks.release(request.key);
      return { $typeName: "v3lockpb.UnlockResponse", header: headerOf(cluster.head(), revision) };
    },
  };
}
