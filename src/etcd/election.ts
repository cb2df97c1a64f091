import { int64 } from "../base/int64.ts";
import type { ClaimKey, ElectionService } from "../concurrency/types.ts";
import type { Service } from "../service/service.ts";
import type { Election, LeaderKey } from "./gen/election_pb.ts";
import { headerOf, keyValueMessage, safeNumber } from "./messages.ts";
import { refusal } from "./refusals.ts";
import type { HandlersOf } from "./types.ts";

export function electionHandlers(
  { cluster }: Service,
  elections: ElectionService,
): HandlersOf<typeof Election> {
  return {
    async campaign(request, { signal }) {
      const { name, value } = request;
      const claim = await elections.campaign({ name, value, lease: int64(request.lease), signal });
      return {
        $typeName: "v3electionpb.CampaignResponse",
        header: headerOf(cluster.head(), claim.revision),
        leader: {
          $typeName: "v3electionpb.LeaderKey",
          name,
          key: claim.key,
          rev: BigInt(claim.createRevision),
          lease: BigInt(claim.lease),
        },
      };
    },
    async proclaim(request) {
      const proclaimed = await elections.proclaim(claimOf(request.leader), request.value);
      if (proclaimed === undefined) throw refusal("electionNotLeader");
      return {
        $typeName: "v3electionpb.ProclaimResponse",
        header: headerOf(cluster.head(), proclaimed.revision),
      };
    },
    async leader(request) {
      const { revision, leader } = await elections.leader(request.name);
      if (leader === undefined) throw refusal("electionNoLeader");
      return {
        $typeName: "v3electionpb.LeaderResponse",
        header: headerOf(cluster.head(), revision),
        kv: keyValueMessage(leader),
      };
    },
    async *observe(request, { signal }) {
      for await (const { revision, leader } of elections.observe(request.name, signal)) {
        yield {
          $typeName: "v3electionpb.LeaderResponse",
          header: headerOf(cluster.head(), revision),
          kv: keyValueMessage(leader),
        };
      }
    },
    async resign(request) {
      const { revision } = await elections.resign(claimOf(request.leader));
      return { $typeName: "v3electionpb.ResignResponse", header: headerOf(cluster.head(), revision) };
    },
  };
}

function claimOf(leader: LeaderKey | undefined): ClaimKey {
  if (leader === undefined) throw refusal("leaderKeyMissing");
  if (leader.key.length === 0) throw refusal("keyEmpty");
  return { key: leader.key, createRevision: safeNumber(leader.rev), lease: int64(leader.lease) };
}
