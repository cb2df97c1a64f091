import type { KeyValue as StoredKeyValue } from "../kv/types.ts";
import type { ClusterHead } from "../service/service.ts";
import type { ResponseHeader } from "./gen/header_pb.ts";
import type { KeyValue } from "./gen/mvcc_pb.ts";

/**
 * Messages are made as plain objects, which the library takes for its own: `create` costs ten times as
 * much, and every answer has a header.
 */

/** The revision in an answer's header is the store's when the request was carried out. */
export function headerOf(head: ClusterHead, revision = head.revision): ResponseHeader {
  return {
    $typeName: "etcdserverpb.ResponseHeader",
    clusterId: BigInt(head.clusterId),
    memberId: BigInt(head.memberId),
    revision: BigInt(revision),
    raftTerm: BigInt(head.term),
  };
}

/** Inside a transaction's answer headers have a revision only, and those of nested transactions not even that. */
export function innerHeader(revision = 0): ResponseHeader {
  return {
    $typeName: "etcdserverpb.ResponseHeader",
    clusterId: 0n,
    memberId: 0n,
    revision: BigInt(revision),
    raftTerm: 0n,
  };
}

export function keyValueMessage(found: StoredKeyValue): KeyValue {
  return {
    $typeName: "mvccpb.KeyValue",
    key: found.key,
    createRevision: BigInt(found.createRevision),
    modRevision: BigInt(found.modRevision),
    version: BigInt(found.version),
    value: found.value,
    lease: BigInt(found.lease),
  };
}

/**
 * An int64 as a revision or a limit: what no revision or count can be is taken for the nearest that could,
 * which compares in the same way with all there are.
 */
export function safeNumber(value: bigint): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  return value < 0n ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER;
}
