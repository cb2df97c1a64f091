import type { MemberRecord } from "../base/members.ts";
import type { Service } from "../service/service.ts";
import { EtcdError, grpcCodes } from "./error.ts";
import type { Cluster, Member } from "./gen/cluster_pb.ts";
import type { ResponseHeader } from "./gen/header_pb.ts";
import { headerOf } from "./messages.ts";
import { refusal } from "./refusals.ts";
import type { EtcdFace, HandlersOf } from "./types.ts";

export function clusterHandlers({ cluster, kv }: Service): HandlersOf<typeof Cluster> {
  /** Of these answers the header has no revision. */
  const header = (): ResponseHeader => headerOf(cluster.head(), 0);
  const members = (face: EtcdFace): Member[] => {
    const byId = [...cluster.members()].sort((a, b) => a.id - b.id);
    return byId.map((record) => memberMessage(record, face));
  };
  const memberId = (id: bigint): number => {
    const known = cluster.members().find((member) => BigInt(member.id) === id);
    if (known === undefined) throw refusal("memberNotFound");
    return known.id;
  };
  return {
    async memberAdd(request) {
      checkUrls(request.peerURLs);
      throw new EtcdError(
        grpcCodes.unimplemented,
        "etcdserver: a member of coracle adds itself: start it with --join and the address of a member",
      );
    },
    async memberRemove(request, { face }) {
      await cluster.removeMember(memberId(request.ID));
      return { $typeName: "etcdserverpb.MemberRemoveResponse", header: header(), members: members(face) };
    },
    async memberUpdate(request) {
      memberId(request.ID);
      checkUrls(request.peerURLs);
      throw new EtcdError(
        grpcCodes.unimplemented,
        "etcdserver: a member of coracle tells its own address: start it with another --advertise-peer",
      );
    },
    async memberList(request, { face }) {
      // Any linearizable read shows that this member has applied what was decided before.
      if (request.linearizable) await kv.range(nothing, { mode: "linearizable" });
      return { $typeName: "etcdserverpb.MemberListResponse", header: header(), members: members(face) };
    },
    async memberPromote(request, { face }) {
      const id = memberId(request.ID);
      if (cluster.members().some((member) => member.id === id && !member.learner))
        throw refusal("notLearner");
      await cluster.promoteMember(id);
      return { $typeName: "etcdserverpb.MemberPromoteResponse", header: header(), members: members(face) };
    },
  };
}

const nothing = { type: "range", key: Uint8Array.of(0), revision: 0, limit: 1, countOnly: true } as const;

/** The URLs are those of the protocol that asks: a client goes on with the ones that it is told. */
function memberMessage(record: MemberRecord, face: EtcdFace): Member {
  return {
    $typeName: "etcdserverpb.Member",
    ID: BigInt(record.id),
    name: record.name,
    peerURLs: [`http://${record.peerAddress}`],
    clientURLs: [...(face === "grpc" ? record.grpcUrls : record.clientUrls)],
    isLearner: record.learner,
  };
}

/** By etcd's rules: at least one, of a known scheme, host and port and nothing else. */
function checkUrls(urls: readonly string[]): void {
  const fine = (text: string): boolean => /^(https?|unixs?):\/\/[^/?#@]+:[^/?#@]+$/.test(text.trim());
  if (urls.length === 0 || !urls.every(fine)) throw refusal("memberUrlsInvalid");
}
