import { base64, type Json, type Step } from "./steps.ts";
import type { Values } from "./values.ts";

/** What a generator may use: the leases that the seed has granted, and about how many revisions there are. */
export interface Known {
  readonly leases: readonly number[];
  readonly revisions: number;
}

const sortTargets = ["KEY", "VERSION", "CREATE", "MOD", "VALUE", 0, 1, 2, 3, 4] as const;
const sortOrders = ["NONE", "ASCEND", "DESCEND", 0, 1, 2] as const;

export function put(v: Values, known: Known): Record<string, Json> {
  const ignoreValue = v.oneIn(10);
  return {
    key: v.key(),
    ...(ignoreValue && !v.oneIn(4) ? {} : { value: v.value() }),
    ...(ignoreValue ? { ignore_value: true } : {}),
    ...v.maybe(6, "lease", () => lease(v, known)),
    ...v.maybe(12, "ignore_lease", () => true),
    ...v.maybe(4, "prev_kv", () => v.bool()),
  };
}

export function lease(v: Values, { leases }: Known): Json {
  if (leases.length === 0 || v.oneIn(6)) return v.pick<Json>([77, "0", v.oddInt()]);
  return v.int(v.pick(leases));
}

export function range(v: Values, known: Known): Record<string, Json> {
  const sorted = v.oneIn(3);
  return {
    ...v.range(),
    // etcd sorts what is behind a limit by a target without an order only in part.
    ...(sorted
      ? { sort_target: v.pick(sortTargets), sort_order: v.pick(["ASCEND", "DESCEND", 1, 2, 9]) }
      : v.maybe(8, "sort_order", () => v.pick(sortOrders))),
    ...v.maybe(3, "limit", () => v.pick<Json>([1, 2, "3", 0, v.oddInt()])),
    ...v.maybe(4, "revision", () => v.revision(known.revisions)),
    ...v.maybe(8, "keys_only", () => v.bool()),
    ...v.maybe(8, "count_only", () => v.bool()),
    ...v.maybe(6, "serializable", () => v.bool()),
    ...v.maybe(12, "min_mod_revision", () => v.revision(known.revisions)),
    ...v.maybe(12, "max_mod_revision", () => v.revision(known.revisions)),
    ...v.maybe(12, "min_create_revision", () => v.revision(known.revisions)),
    ...v.maybe(12, "max_create_revision", () => v.revision(known.revisions)),
  };
}

export function deletion(v: Values): Record<string, Json> {
  return { ...v.range(), ...v.maybe(3, "prev_kv", () => v.bool()) };
}

const compareTargets = ["VERSION", "CREATE", "MOD", "VALUE", "LEASE", 0, 1, 2, 3, 4, 9] as const;
const compareResults = ["EQUAL", "GREATER", "LESS", "NOT_EQUAL", 0, 1, 2, 3, 9] as const;

function compare(v: Values, known: Known): Json {
  const operand: Record<string, Json> = v.pick<Record<string, Json>>([
    { version: v.int(v.below(3)) },
    { create_revision: v.oneIn(3) ? v.int(0) : v.revision(known.revisions) },
    { mod_revision: v.oneIn(3) ? v.int(0) : v.revision(known.revisions) },
    { value: v.value() },
    { lease: lease(v, known) },
    {},
  ]);
  const fitting = { version: "VERSION", create_revision: "CREATE", mod_revision: "MOD", value: "VALUE" };
  const named = Object.entries(fitting).find(([name]) => name in operand)?.[1];
  const target = named !== undefined && !v.oneIn(5) ? { target: named } : { target: v.pick(compareTargets) };
  return {
    ...(v.oneIn(3) ? v.range() : { key: v.key() }),
    ...target,
    ...v.maybe(2, "result", () => v.pick(compareResults)),
    ...operand,
  };
}

function operation(v: Values, known: Known, depth: number): Json {
  if (v.oneIn(60)) return {};
  switch (v.below(depth > 0 ? 7 : 6)) {
    case 0:
    case 1:
    case 2:
      return { [v.pick(["request_put", "requestPut"])]: put(v, known) };
    case 3:
    case 4:
      return { request_range: range(v, known) };
    case 5:
      return { request_delete_range: deletion(v) };
    default:
      return { request_txn: txn(v, known, depth - 1) };
  }
}

export function txn(v: Values, known: Known, depth = 2): Record<string, Json> {
  const many = (most: number, make: () => Json): Json[] => Array.from({ length: v.below(most + 1) }, make);
  const tooMany = depth === 2 && v.oneIn(40) ? 129 : undefined;
  return {
    ...v.maybe(2, "compare", () => many(2, () => compare(v, known))),
    success:
      tooMany === undefined
        ? many(3, () => operation(v, known, depth))
        : Array.from({ length: tooMany - v.below(2) }, (_, i) => ({
            request_put: { key: base64(`many${i}`) },
          })),
    ...v.maybe(2, "failure", () => many(2, () => operation(v, known, depth))),
  };
}

/** One call of KV. */
export function kvStep(v: Values, known: Known, member: number): Step {
  const call = (path: string, body: Json): Step => ({ kind: "call", path: `/v3/kv/${path}`, body, member });
  switch (v.below(20)) {
    case 0:
    case 1:
    case 2:
      return call("deleterange", deletion(v));
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
      return call("range", range(v, known));
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
      return call("txn", txn(v, known));
    case 13:
      return v.oneIn(2)
        ? call("compaction", { revision: v.revision(known.revisions), ...v.maybe(3, "physical", () => true) })
        : call("put", put(v, known));
    default:
      return call("put", put(v, known));
  }
}

const malformed: readonly string[] = [
  "",
  " ",
  "null",
  "5",
  '"a"',
  "true",
  "[1]",
  "{",
  '{"key"',
  '{"key":',
  '{"key":"YQ=="',
  '{"key":"YQ=="}}',
  '{"key":"YQ=="} garbage',
  "{key:1}",
  '{"key":"YQ"}',
  '{"key":"YQ="}',
  '{"key":"Y"}',
  '{"key":"Y-_="}',
  '{"key":"YQ==","key":"Yg=="}',
  '{"key":"YQ==\\n"}',
  '{"key":"Y\\u0051=="}',
  '{"key":97}',
  '{"key":[97,98]}',
  '{"key":[300]}',
  '{"key":{}}',
  '{"key":null}',
  '{"key":"YQ==","unknown":[{"a":1}]}',
  '{"key":"YQ==","lease":1.5}',
  '{"key":"YQ==","lease":"x"}',
  '{"key":"YQ==","lease":""}',
  '{"key":"YQ==","lease":"null"}',
  '{"key":"YQ==","lease":" 0 "}',
  '{"key":"YQ==","lease":1e1}',
  '{"key":"YQ==","lease":9223372036854775808}',
  '{"key":"YQ==","lease":{}}',
  '{"key":"YQ==","limit":"many"}',
  '{"key":"YQ==","limit":-0}',
  '{"key":"YQ==","revision":true}',
  '{"key":"YQ==","prev_kv":1}',
  '{"key":"YQ==","prev_kv":"true"}',
  '{"key":"YQ==","prev_kv":null}',
  '{"key":"YQ==","sort_order":"UP"}',
  '{"key":"YQ==","sort_order":null}',
  '{"key":"YQ==","sort_order":1.0}',
  '{"key":"YQ==","sort_order":"1"}',
  '{"success":{}}',
  '{"success":"x"}',
  '{"success":[{}]}',
  '{"success":[5]}',
  '{"success":[{"request_put":null}]}',
  '{"success":[{"request_put":{"key":"YQ=="}},{"request_put":{"key":"YQ=="}}]}',
  '{"compare":[{"key":"YQ==","target":"NOTHING"}]}',
  '{"compare":[{"key":"YQ==","version":null}]}',
  '{"compare":[{"key":"YQ==","version":"1.0"}]}',
  '{"revision":"x"}',
  '{"TTL":"x"}',
  '{"TTL":5,"ID":"0x5"}',
  '{"key":"YQ=="]',
  '{"key" "YQ=="}',
  '{"key":"YQ==",}',
  '{"key":tru}',
  '{"key":"a\\x"}',
  '{"key":"\\u00zz"}',
  "{\"key\":'YQ=='}",
  '{"key":01}',
  '{"key":-}',
  '{"key":1.}',
  '{"key":1e}',
  "\ufeff{}",
  '{"create_request":{"key":"YQ"}}',
];

const paths: readonly string[] = [
  "/v3/kv/put",
  "/v3/kv/range",
  "/v3/kv/deleterange",
  "/v3/kv/txn",
  "/v3/kv/compaction",
  "/v3/lease/revoke",
  "/v3/lease/timetolive",
  "/v3/kv/lease/revoke",
  "/v3beta/kv/range",
  "/v3/nothing",
  "/v3/kv",
];

/** Something that may be no request at all. */
export function rawStep(v: Values, member: number): Step {
  return { kind: "raw", path: v.pick(paths), text: v.pick(malformed), member };
}
