import * as v from "valibot";
import { jsonBytes, preview } from "./values.ts";

/** The documents of the HTTP API as the commands read them (CBOR: keys and values are bytes). */

const count = v.pipe(v.number(), v.integer());

export const keyValueSchema = v.object({
  key: v.instance(Uint8Array),
  value: v.optional(v.instance(Uint8Array)),
  create_revision: count,
  mod_revision: count,
  version: count,
  /** Text beyond 2^53: JSON has no such numbers. */
  lease: v.union([count, v.pipe(v.bigint(), v.transform(String))]),
});
export type KeyValueDocument = v.InferOutput<typeof keyValueSchema>;

/** A lease's id as digits: the command line knows it as text. */
export const leaseId = v.pipe(v.union([count, v.bigint()]), v.transform(String));
export const leaseSchema = v.object({ id: leaseId, ttl: v.number() });
export const leaseStatusSchema = v.object({
  ...leaseSchema.entries,
  remaining_ms: count,
  keys: v.optional(v.array(v.object({ key: v.instance(Uint8Array) })), []),
});
export const leasesSchema = v.object({ leases: v.array(v.object({ id: leaseId })) });

export const revisionSchema = v.object({ revision: count });
export const putSchema = v.object({ revision: count, previous: v.optional(keyValueSchema) });
export const deleteSchema = v.object({
  revision: count,
  deleted: count,
  previous: v.optional(v.array(keyValueSchema), []),
});
export const rangeSchema = v.object({
  revision: count,
  count: v.optional(count),
  more: v.optional(v.boolean(), false),
  cursor: v.nullish(v.string()),
  keys: v.optional(v.array(keyValueSchema), []),
});

export const memberSchema = v.object({
  id: count,
  name: v.string(),
  peer_address: v.string(),
  client_urls: v.array(v.string()),
  /** Empty without gRPC. */
  grpc_urls: v.array(v.string()),
  learner: v.boolean(),
});
export type MemberDocument = v.InferOutput<typeof memberSchema>;
export const membersSchema = v.object({ members: v.array(memberSchema) });

export const statusSchema = v.object({
  members: v.array(
    v.object({
      ...memberSchema.entries,
      reachable: v.boolean(),
      role: v.optional(v.string()),
      term: v.optional(count),
      leader_id: v.nullish(count),
      commit_index: v.optional(count),
      applied_index: v.optional(count),
      revision: v.optional(count),
      store_bytes: v.optional(count),
      log_entries: v.optional(count),
      log_bytes: v.optional(count),
      version: v.optional(v.string()),
      uptime_seconds: v.optional(v.number()),
      trouble: v.optional(v.string()),
    }),
  ),
});

/** A key as JSON: text as text, other bytes as base64 under a name that says so. */
export function keyValueJson(document: KeyValueDocument): Record<string, unknown> {
  return {
    ...jsonBytes("key", document.key),
    ...(document.value === undefined ? {} : jsonBytes("value", document.value)),
    create_revision: document.create_revision,
    mod_revision: document.mod_revision,
    version: document.version,
    lease: document.lease,
  };
}

export const keyHeader = ["KEY", "MOD", "CREATE", "VERSION", "BYTES", "VALUE"] as const;

export function keyRow(document: KeyValueDocument): (string | number)[] {
  const { value } = document;
  return [
    preview(document.key, 200),
    document.mod_revision,
    document.create_revision,
    document.version,
    value === undefined ? "-" : value.length,
    value === undefined ? "" : preview(value),
  ];
}
