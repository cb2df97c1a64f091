import type { DeleteResult, OperationResult, PutResult, RangeResult, TxnResult } from "../kv/types.ts";
import type { ResponseHeader } from "./gen/header_pb.ts";
import type {
  DeleteRangeResponse,
  PutResponse,
  RangeResponse,
  ResponseOp,
  TxnResponse,
} from "./gen/kv_pb.ts";
import { innerHeader, keyValueMessage } from "./messages.ts";

/** Results of the store as etcd's answers. */

export function putResponse(header: ResponseHeader, { previous }: PutResult): PutResponse {
  return {
    $typeName: "etcdserverpb.PutResponse",
    header,
    ...(previous !== undefined && { prevKv: keyValueMessage(previous) }),
  };
}

export function deleteResponse(header: ResponseHeader, result: DeleteResult): DeleteRangeResponse {
  return {
    $typeName: "etcdserverpb.DeleteRangeResponse",
    header,
    deleted: BigInt(result.deleted),
    prevKvs: result.previous.map(keyValueMessage),
  };
}

export function rangeResponse(header: ResponseHeader, result: RangeResult): RangeResponse {
  return {
    $typeName: "etcdserverpb.RangeResponse",
    header,
    kvs: result.keys.map(keyValueMessage),
    more: result.more,
    count: BigInt(result.count),
  };
}

export function txnResponse(header: ResponseHeader, result: TxnResult): TxnResponse {
  return {
    $typeName: "etcdserverpb.TxnResponse",
    header,
    succeeded: result.succeeded,
    responses: result.responses.map(innerResponse),
  };
}

function innerResponse(result: OperationResult): ResponseOp {
  return { $typeName: "etcdserverpb.ResponseOp", response: innerCase(result) };
}

function innerCase(result: OperationResult): ResponseOp["response"] {
  const header = innerHeader(result.revision);
  switch (result.type) {
    case "put":
      return { case: "responsePut", value: putResponse(header, result) };
    case "delete":
      return { case: "responseDeleteRange", value: deleteResponse(header, result) };
    case "range":
      return { case: "responseRange", value: rangeResponse(header, result) };
    case "txn":
      return { case: "responseTxn", value: txnResponse(innerHeader(), result) };
  }
}
