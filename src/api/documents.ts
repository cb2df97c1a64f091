import type { MemberRecord } from "../base/members.ts";
import type {
  DeleteResult,
  KeyValue,
  LeaseId,
  PutResult,
  RangeOperation,
  RangeResult,
  TxnOperation,
  TxnResult,
} from "../kv/types.ts";
import type { ClusterHead, MemberStatus } from "../service/service.ts";
import type { Document, Form, Item } from "./media.ts";

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** A lease's id: a number; in JSON as text when it is beyond 2^53, where readers would round it. */
export function leaseItem(lease: LeaseId, form: Form): number | bigint | string {
  return form !== "cbor" && typeof lease === "bigint" ? `${lease}` : lease;
}

/** Bytes under a name: as they are in CBOR, else as base64, and as text beside it when they are UTF-8. */
export function bytesFields(name: string, bytes: Uint8Array, form: Form): Document {
  if (form === "cbor") return { [name]: bytes };
  const text = textOf(bytes);
  const encoded = bytes.toBase64();
  return text === undefined ? { [`${name}_base64`]: encoded } : { [name]: text, [`${name}_base64`]: encoded };
}

/**
 * A key and its metadata. CBOR has bytes as they are. JSON always has `key_base64` (and
 * `value_base64`), and `key` as text beside it when the key is UTF-8.
 */
export function keyValueDocument(keyValue: KeyValue, form: Form, withValue: boolean): Document {
  const document: Record<string, Item> = { ...bytesFields("key", keyValue.key, form) };
  if (withValue && form === "cbor") document.value = keyValue.value;
  else if (withValue) document.value_base64 = keyValue.value.toBase64();
  document.create_revision = keyValue.createRevision;
  document.mod_revision = keyValue.modRevision;
  document.version = keyValue.version;
  document.lease = leaseItem(keyValue.lease, form);
  return document;
}

export function keyValueDocuments(result: RangeResult, form: Form, withValue: boolean): Document[] {
  return result.keys.map((keyValue) => keyValueDocument(keyValue, form, withValue));
}

/** What a write answers, without its type. An `abridged` one is remembered, and too long to be told again. */
export function writeFields(result: PutResult | DeleteResult, form: Form): Document {
  const { revision } = result;
  if (result.type === "put") {
    if (result.previous !== undefined) {
      return { revision, previous: keyValueDocument(result.previous, form, true) };
    }
    return result.abridged === true ? { revision, abridged: true } : { revision };
  }
  const documents = result.previous.map((keyValue) => keyValueDocument(keyValue, form, true));
  return {
    revision,
    deleted: result.deleted,
    ...(result.abridged === true && { abridged: true }),
    ...(documents.length > 0 && { previous: documents }),
  };
}

/** What a transaction answers: one response an operation of the branch that ran. */
export function txnFields(txn: TxnOperation, result: TxnResult, form: Form): Document {
  const branch = result.succeeded ? txn.success : txn.failure;
  const responses = result.responses.map((response, index): Document => {
    const operation = branch[index];
    const { type } = response;
    if (response.type === "txn" && operation?.type === "txn")
      return { type, ...txnFields(operation, response, form) };
    if (response.type === "range" && operation?.type === "range")
      return { type, ...rangeFields(operation, response, form) };
    if (response.type === "put" || response.type === "delete")
      return { type, ...writeFields(response, form) };
    throw new Error(
      `operation ${index} of type ${operation?.type} was answered with a result of type ${type}`,
    );
  });
  return { revision: result.revision, succeeded: result.succeeded, responses };
}

function rangeFields(range: RangeOperation, result: RangeResult, form: Form): Document {
  const { revision, count, more } = result;
  if (result.abridged === true) return { revision, count, more, abridged: true };
  if (range.countOnly === true) return { revision, count };
  return { revision, count, more, keys: keyValueDocuments(result, form, range.keysOnly !== true) };
}

export function headDocument(head: ClusterHead): Document {
  return {
    cluster_id: head.clusterId,
    member_id: head.memberId,
    member_name: head.memberName,
    term: head.term,
    leader_id: head.leaderId === 0 ? null : head.leaderId,
    revision: head.revision,
    applied_index: head.appliedIndex,
  };
}

export function memberDocument(member: MemberRecord): Document {
  return {
    id: member.id,
    name: member.name,
    peer_address: member.peerAddress,
    client_urls: member.clientUrls,
    grpc_urls: member.grpcUrls,
    learner: member.learner,
  };
}

/** Fields that the member did not tell are left out. */
export function statusDocument(status: MemberStatus): Document {
  const fields: Record<string, Item | undefined> = {
    ...memberDocument(status.member),
    reachable: status.reachable,
    role: status.role,
    term: status.term,
    leader_id: status.leaderId === 0 ? null : status.leaderId,
    commit_index: status.commitIndex,
    applied_index: status.appliedIndex,
    revision: status.revision,
    store_bytes: status.storeBytes,
    log_entries: status.logEntries,
    log_bytes: status.logBytes,
    version: status.version,
    uptime_seconds: status.uptimeSeconds,
    trouble: status.trouble,
  };
  const known: Record<string, Item> = {};
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) known[name] = value;
  return known;
}
