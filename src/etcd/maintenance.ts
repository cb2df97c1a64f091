import { getLogger } from "@logtape/logtape";
import { emptyBytes } from "../base/bytes.ts";
import type { ClusterService, MaintenanceService, Service } from "../service/service.ts";
import { EtcdError, grpcCodes } from "./error.ts";
import {
  type AlarmMember,
  AlarmRequest_AlarmAction,
  AlarmType,
  type HashKVRequest,
  type HashKVResponse,
  type Maintenance,
  type SnapshotResponse,
} from "./gen/maintenance_pb.ts";
import { headerOf, safeNumber } from "./messages.ts";
import { refusal } from "./refusals.ts";
import type { HandlersOf } from "./types.ts";
import { etcdVersion } from "./version.ts";

const log = getLogger(["coracle", "etcd"]);

export function maintenanceHandlers({ maintenance, cluster }: Service): HandlersOf<typeof Maintenance> {
  return {
    async alarm({ action, alarm }) {
      // No alarm needs a person here: a full store refuses growth, and serves again by itself. So there
      // is one for as long as it is full, and none to take back.
      const asked = action === AlarmRequest_AlarmAction.GET && alarm !== AlarmType.CORRUPT;
      const full = asked && maintenance.storage().full !== undefined;
      const alarms = full ? [noSpaceAt(cluster.head().memberId)] : [];
      // Without a header, as etcd's.
      return { $typeName: "etcdserverpb.AlarmResponse", alarms };
    },
    async status() {
      const head = cluster.head();
      const { bytes, usedBytes, quotaBytes = 0, full } = maintenance.storage();
      const errors = head.leaderId === 0 ? [refusal("noLeader").message] : [];
      if (full !== undefined) errors.push(`memberID:${head.memberId} alarm:NOSPACE `);
      const self = cluster.members().find(({ id }) => id === head.memberId);
      return {
        $typeName: "etcdserverpb.StatusResponse",
        header: headerOf(head),
        version: etcdVersion.server,
        dbSize: BigInt(bytes),
        leader: BigInt(head.leaderId),
        raftIndex: BigInt(head.appliedIndex),
        raftTerm: BigInt(head.term),
        raftAppliedIndex: BigInt(head.appliedIndex),
        errors,
        dbSizeInUse: BigInt(usedBytes),
        isLearner: self?.learner === true,
        storageVersion: "",
        dbSizeQuota: BigInt(quotaBytes),
      };
    },
    async defragment() {
      log.info(
        "A client asked for a defragmentation: there is none to do, free pages are given back as they come.",
      );
      return { $typeName: "etcdserverpb.DefragmentResponse" };
    },
    async hash() {
      const { hash, revision } = await maintenance.hash();
      return { $typeName: "etcdserverpb.HashResponse", header: headerOf(cluster.head(), revision), hash };
    },
    hashKV: (request) => hashKv(maintenance, cluster, request),
    async *snapshot() {
      const { bytes, sha256, pieces } = await maintenance.snapshot();
      let remaining = bytes;
      for await (const piece of pieces) {
        remaining -= piece.length;
        yield snapshotPiece(piece, remaining);
      }
      yield snapshotPiece(Uint8Array.fromHex(sha256), 0);
    },
    async moveLeader(request) {
      const { leaderId, memberId } = cluster.head();
      if (leaderId !== memberId) throw refusal("notLeader");
      const target = cluster.members().find(({ id }) => BigInt(id) === request.targetID);
      if (target === undefined || target.learner) throw refusal("badTransferee");
      if (target.id !== memberId) await cluster.transferLeadership(target.id);
      return { $typeName: "etcdserverpb.MoveLeaderResponse" };
    },
    async downgrade() {
      throw new EtcdError(
        grpcCodes.unimplemented,
        "etcdserver: coracle has no cluster version to downgrade: install the older release",
      );
    },
  };
}

function noSpaceAt(memberId: number): AlarmMember {
  return {
    $typeName: "etcdserverpb.AlarmMember",
    memberID: BigInt(memberId),
    alarm: AlarmType.NOSPACE,
  };
}

function snapshotPiece(blob: Uint8Array, remaining: number): SnapshotResponse {
  return {
    $typeName: "etcdserverpb.SnapshotResponse",
    remainingBytes: BigInt(remaining),
    blob: blob.length === 0 ? emptyBytes : blob,
    version: "",
  };
}

async function hashKv(
  maintenance: MaintenanceService,
  cluster: ClusterService,
  request: HashKVRequest,
): Promise<HashKVResponse> {
  const { hash, revision, compactRevision } = await maintenance.hash();
  const wanted = safeNumber(request.revision);
  if (wanted > revision) throw refusal("futureRevision");
  if (wanted > 0 && wanted <= compactRevision) throw refusal("compacted");
  if (wanted > 0 && wanted < revision) {
    throw new EtcdError(
      grpcCodes.unimplemented,
      `etcdserver: only the state as of now (revision ${revision}) has a hash: leave the revision out`,
    );
  }
  return {
    $typeName: "etcdserverpb.HashKVResponse",
    header: headerOf(cluster.head(), revision),
    hash,
    compactRevision: BigInt(compactRevision),
    hashRevision: BigInt(revision),
  };
}
