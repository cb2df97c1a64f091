import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encode } from "cbor-x/index-no-eval";
import { utf8 } from "../base/bytes.ts";
import type { ErrorCode } from "../base/errors.ts";
import { asCbor, asJson, testApp } from "./app.test-support.ts";
import { errorFaces } from "./errors.ts";

interface Case {
  readonly request: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly code: ErrorCode;
  /** A part of the sentence: what was wrong, or what to do. */
  readonly says: RegExp;
}

const longKey = "k".repeat(32 * 1024 + 1);
const json = (body: unknown) => ({ headers: asJson, body: JSON.stringify(body) });
const txn = (body: unknown) => ({ request: "POST /v1/txn", ...json(body) });
const cbor = (body: unknown) => ({ headers: asCbor, body: Uint8Array.from(encode(body)) });
const nested = (depth: number): string =>
  `{${'"success":[{"type":"txn",'.repeat(depth)}"compare":[]${"}]".repeat(depth)}}`;

const cases: readonly Case[] = [
  { request: "PUT /v1/kv/", code: "key_empty", says: /no key behind \/v1\/kv\// },
  { request: "PUT /v1/kv", code: "key_empty", says: /at least one byte/ },
  { request: "GET /v1/kv?key=", code: "key_empty", says: /parameter key is empty/ },
  { request: "GET /v1/kv/%zz", code: "invalid_argument", says: /write a percent sign as %25/ },
  { request: "DELETE /v1/kv/a%4", code: "invalid_argument", says: /two hexadecimal digits/ },
  { request: "PUT /v1/kv/%", code: "invalid_argument", says: /two hexadecimal digits/ },
  { request: `PUT /v1/kv/${longKey}`, code: "key_too_large", says: /32769 bytes.*32768/ },
  { request: `GET /v1/kv?key=${longKey}`, code: "key_too_large", says: /32769/ },
  { request: `GET /v1/kv?prefix=${longKey}`, code: "key_too_large", says: /32769/ },
  { request: "GET /v1/kv/a?key=b", code: "invalid_argument", says: /both name a key/ },

  {
    request: "PUT /v1/kv/a?leese=1",
    code: "unknown_parameter",
    says: /"leese"; it takes key, lease, prev, redirect/,
  },
  {
    request: "GET /v1/kv/a?consistancy=serializable",
    code: "unknown_parameter",
    says: /"consistancy".*consistency/,
  },
  { request: "GET /v1/kv?prefx=a", code: "unknown_parameter", says: /"prefx".*prefix/ },
  { request: "GET /v1/kv?__proto__=a", code: "unknown_parameter", says: /__proto__/ },
  { request: "DELETE /v1/kv?prefix=a&limit=1", code: "unknown_parameter", says: /"limit"/ },
  { request: "GET /v1/members?x=1", code: "unknown_parameter", says: /"x"; it takes none/ },
  { request: "GET /version?x=1", code: "unknown_parameter", says: /it takes none/ },
  {
    request: "GET /v1/kv/a?revision=1&revision=2",
    code: "invalid_argument",
    says: /revision is given twice/,
  },
  { request: "PUT /v1/kv/a?prev&prev", code: "invalid_argument", says: /prev is given twice/ },

  {
    request: "PUT /v1/kv/a?lease=abc",
    code: "invalid_argument",
    says: /lease must be a lease's id, .* not "abc"/,
  },
  { request: "PUT /v1/kv/a?lease=0", code: "invalid_argument", says: /other than 0, not "0"/ },
  {
    request: "PUT /v1/kv/a?lease=9223372036854775808",
    code: "invalid_argument",
    says: /9223372036854775808/,
  },
  { request: "PUT /v1/kv/a?lease=%zz", code: "invalid_argument", says: /lease has a %/ },
  {
    request: "PUT /v1/kv/a?prev=yes",
    code: "invalid_argument",
    says: /prev must be true or false, not "yes"/,
  },
  { request: "GET /v1/kv/a?revision=-1", code: "invalid_argument", says: /not "-1"/ },
  { request: "GET /v1/kv/a?revision=1.5", code: "invalid_argument", says: /not "1.5"/ },
  { request: "GET /v1/kv/a?revision=", code: "invalid_argument", says: /not ""/ },
  {
    request: "GET /v1/kv/a?consistency=eventual",
    code: "invalid_argument",
    says: /linearizable or serializable, not "eventual"/,
  },
  { request: "GET /v1/kv/a?max_stale_ms=1s", code: "invalid_argument", says: /max_stale_ms .* not "1s"/ },
  {
    request: "GET /v1/kv/a?consistency=linearizable&max_stale_ms=1",
    code: "invalid_argument",
    says: /never stale/,
  },
  { request: "GET /v1/kv?limit=0", code: "invalid_argument", says: /from 1 to 10000, not "0"/ },
  { request: "GET /v1/kv?limit=10001", code: "invalid_argument", says: /not "10001"/ },
  { request: "GET /v1/kv?prefix=a&start=b", code: "invalid_argument", says: /not by both/ },
  { request: "GET /v1/kv?start=a&end=", code: "invalid_argument", says: /end of the range is empty/ },
  { request: "GET /v1/kv?cursor=zzz", code: "invalid_argument", says: /cursor is none that a listing gave/ },
  { request: "GET /v1/kv?cursor=5.YQ.Y!", code: "invalid_argument", says: /start the listing again/ },
  { request: "GET /v1/kv?cursor=5.YQA.&revision=4", code: "invalid_argument", says: /revision 5/ },
  { request: "GET /v1/kv?cursor=5.YQA.Yg&prefix=c", code: "invalid_argument", says: /another range/ },
  { request: "DELETE /v1/kv", code: "invalid_argument", says: /all=true/ },
  { request: "DELETE /v1/kv?prefix=", code: "invalid_argument", says: /all=true/ },
  { request: "DELETE /v1/kv?prefix=a&all=true", code: "invalid_argument", says: /all=true alone/ },
  {
    request: "DELETE /v1/kv?prefix=a",
    headers: { "if-match": '"1"' },
    code: "invalid_argument",
    says: /for one key/,
  },

  {
    request: "PUT /v1/kv/a",
    headers: { "if-match": "5" },
    code: "invalid_argument",
    says: /If-Match has "5".*double quotes/,
  },
  {
    request: "PUT /v1/kv/a",
    headers: { "if-match": '"abc"' },
    code: "invalid_argument",
    says: /no revision/,
  },
  { request: "PUT /v1/kv/a", headers: { "if-match": '"0"' }, code: "invalid_argument", says: /no revision/ },
  {
    request: "PUT /v1/kv/a",
    headers: { "if-match": "" },
    code: "invalid_argument",
    says: /If-Match is empty/,
  },
  {
    request: "DELETE /v1/kv/a",
    headers: { "if-none-match": '"1", x' },
    code: "invalid_argument",
    says: /If-None-Match has "x"/,
  },
  {
    request: "GET /v1/kv/a",
    headers: { "if-none-match": '"9007199254740993"' },
    code: "invalid_argument",
    says: /no revision/,
  },
  {
    request: "PUT /v1/kv/a",
    headers: { "if-match": Array.from({ length: 17 }, (_, tag) => `"${tag + 1}"`).join() },
    code: "invalid_argument",
    says: /17 tags; at most 16/,
  },
  {
    request: "PUT /v1/kv/a",
    headers: { "idempotency-key": "x".repeat(257) },
    code: "invalid_argument",
    says: /1 to 256/,
  },
  {
    request: "PUT /v1/kv/a",
    headers: { "content-encoding": "gzip" },
    code: "unsupported_media_type",
    says: /"gzip"/,
  },
  {
    request: "PUT /v1/kv/a",
    headers: { "content-range": "bytes 0-1/2" },
    code: "invalid_argument",
    says: /Content-Range/,
  },
  {
    request: "PUT /v1/kv/a",
    headers: { "content-length": "99999999" },
    code: "value_too_large",
    says: /--value-bytes-max/,
  },
  {
    request: "PUT /v1/kv/a",
    headers: { accept: "application/octet-stream" },
    code: "not_acceptable",
    says: /application\/json/,
  },
  {
    request: "GET /v1/kv/a",
    headers: { accept: "text/html" },
    code: "not_acceptable",
    says: /application\/octet-stream/,
  },
  {
    request: "GET /v1/status",
    headers: { accept: "text/plain" },
    code: "not_acceptable",
    says: /application\/cbor/,
  },

  {
    request: "POST /v1/txn",
    body: "{}",
    code: "unsupported_media_type",
    says: /send application\/json or application\/cbor/,
  },
  {
    request: "POST /v1/txn",
    body: "a=b",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    code: "unsupported_media_type",
    says: /x-www-form-urlencoded.*application\/json/,
  },
  {
    request: "POST /v1/txn",
    headers: asJson,
    body: "{",
    code: "malformed_body",
    says: /not well-formed JSON/,
  },
  { request: "POST /v1/txn", headers: asJson, body: "", code: "malformed_body", says: /JSON/ },
  {
    request: "POST /v1/txn",
    headers: asJson,
    body: new Uint8Array([0x22, 0xff, 0x22]),
    code: "malformed_body",
    says: /JSON/,
  },
  {
    request: "POST /v1/txn",
    headers: asCbor,
    body: new Uint8Array([0x9f]),
    code: "malformed_body",
    says: /not well-formed CBOR/,
  },
  {
    request: "POST /v1/txn",
    headers: asCbor,
    body: new Uint8Array([0xa0, 0xa0]),
    code: "malformed_body",
    says: /CBOR/,
  },
  {
    request: "POST /v1/txn",
    headers: asJson,
    body: nested(20_000),
    code: "malformed_body",
    says: /nested more than/,
  },
  {
    request: "POST /v1/txn",
    headers: asJson,
    body: `{"success":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    code: "malformed_body",
    says: /nested|JSON/,
  },
  {
    request: "POST /v1/txn",
    headers: asJson,
    body: " ".repeat(3_276_801),
    code: "request_too_large",
    says: /3276800/,
  },
  { request: "POST /v1/txn", ...cbor(new Map([[1, 2]])), code: "malformed_body", says: /CBOR/ },
  // Tags on which a CBOR library acts while it reads: a cycle (28, 29), a big integer (2).
  {
    request: "POST /v1/txn",
    headers: asCbor,
    body: Uint8Array.from([0xa1, 0x67, ...utf8("success"), 0xd8, 28, 0x82, 0xd8, 29, 0, 0xd8, 29, 0]),
    code: "malformed_body",
    says: /CBOR/,
  },
  {
    request: "POST /v1/txn",
    headers: asCbor,
    body: Uint8Array.from([0xc2, 0x5a, 0, 3, 0, 0, ...new Uint8Array(3 << 16)]),
    code: "malformed_body",
    says: /CBOR/,
  },
  // A hundred thousand lists, one inside the other.
  {
    request: "POST /v1/txn",
    headers: asCbor,
    body: new Uint8Array(100_000).fill(0x81),
    code: "malformed_body",
    says: /CBOR/,
  },
  txnCase([], /must be an object/),
  txnCase({ sucess: [] }, /sucess/),
  txnCase({ success: {} }, /success: must be a list/),
  txnCase({ success: [5] }, /success\.0: must be an operation/),
  txnCase({ success: [{ type: "get" }] }, /put, delete, range or txn/),
  txnCase({ success: [{ type: "put", key: "a" }] }, /needs value or value_base64/),
  txnCase({ success: [{ type: "put", value: "a" }] }, /no key/),
  txnCase(
    { success: [{ type: "put", key: "a", key_base64: "YQ==", value: "" }] },
    /key and key_base64 are both given/,
  ),
  txnCase(
    { success: [{ type: "put", key_base64: "YQ", value: "" }] },
    /success\.0\.key_base64: must be base64 with padding, not "YQ"/,
  ),
  txnCase({ success: [{ type: "put", key: "a", value: 5 }] }, /success\.0\.value: must be text/),
  txnCase({ success: [{ type: "put", key: "a", value: "", lease: "-" }] }, /lease: must be a lease's id/),
  txnCase({ success: [{ type: "put", key: "a", value: "", lease: 1.5 }] }, /lease: must be a lease's id/),
  txnCase(
    { success: [{ type: "put", key: "a", value: "", lease: 1, keep_lease: true }] },
    /both lease and keep_lease/,
  ),
  txnCase({ success: [{ type: "put", key: "a", value: "", extra: 1 }] }, /extra/),
  txnCase({ bogus: 1 }, /bogus: there is no such field/),
  txnCase({ success: [{ type: "delete" }] }, /names no keys/),
  txnCase({ success: [{ type: "delete", prefix: "" }] }, /every key; say so by all: true/),
  txnCase({ success: [{ type: "delete", start: "", all: false }] }, /every key; say so by all: true/),
  txnCase({ failure: [{ type: "delete", prefix: "a", all: true }] }, /all beside key, prefix/),
  txnCase({ success: [{ type: "delete", key: "a", prefix: "b" }] }, /one key or one range/),
  txnCase({ success: [{ type: "range", prefix: "a", end: "b" }] }, /not by both/),
  txnCase(
    { success: [{ type: "range", key: "a", limit: 10_001 }] },
    /limit: must be a whole number from 1 to 10000/,
  ),
  txnCase({ compare: [{ key: "a" }] }, /exactly one of version/),
  txnCase({ compare: [{ key: "a", version: 1, value: "x" }] }, /exactly one of version/),
  txnCase({ compare: [{ key: "a", version: 1, result: "equals" }] }, /result: must be equal, not_equal/),
  {
    ...txn({ success: [{ type: "put", key: "", value: "" }] }),
    code: "key_empty",
    says: /at least one byte/,
  },
  { ...txn({ success: [{ type: "put", key: longKey, value: "" }] }), code: "key_too_large", says: /32769/ },
  {
    ...txn({ success: Array.from({ length: 129 }, (_, key) => ({ type: "put", key: `${key}`, value: "" })) }),
    code: "too_many_operations",
    says: /129 entries, but 128 are allowed/,
  },
  {
    ...txn({
      success: [
        { type: "put", key: "a", value: "x".repeat(1_572_864) },
        { type: "put", key: "b".repeat(2), value: "x".repeat(65_536) },
      ],
    }),
    code: "request_too_large",
    says: /1638403 bytes together, more than 1638400/,
  },

  {
    request: "DELETE /v1/members/nobody",
    code: "member_not_found",
    says: /"nobody"; the members are n1, n2, n3/,
  },
  { request: "DELETE /v1/members/%zz", code: "invalid_argument", says: /hexadecimal/ },
  { request: "POST /v1/members/99/promote", code: "member_not_found", says: /"99"/ },
  { request: "POST /v1/leader", ...json({ member: "zz" }), code: "member_not_found", says: /"zz"/ },
  { request: "POST /v1/leader", ...json({ membr: "n2" }), code: "invalid_argument", says: /membr/ },
  { request: "POST /v1/leader", ...json({ member: [] }), code: "invalid_argument", says: /name or id/ },
  { request: "POST /v1/leader", ...json(5), code: "invalid_argument", says: /must be an object/ },
  { request: "POST /v1/leader", ...json({ member: "n3" }), code: "bad_transferee", says: /learner/ },
  {
    request: "POST /v1/leader",
    body: "n2",
    headers: { "content-type": "text/plain" },
    code: "unsupported_media_type",
    says: /text\/plain/,
  },
  {
    request: "POST /v1/leave",
    headers: { host: "a:1", origin: "http://evil.example" },
    code: "forbidden",
    says: /evil\.example/,
  },
  {
    request: "POST /v1/leave",
    headers: { "sec-fetch-site": "cross-site" },
    code: "forbidden",
    says: /another site/,
  },

  { request: "GET /nowhere", code: "not_found", says: /"\/nowhere"/ },
  { request: "GET /v1/members/n1/x", code: "not_found", says: /nothing at the path/ },
  { request: "GET /errors/zzz", code: "not_found", says: /no error code "zzz"/ },
  {
    request: "POST /v1/kv/a",
    code: "method_not_allowed",
    says: /GET, HEAD, PUT, DELETE, OPTIONS, not "POST"/,
  },
  { request: "GET /v1/txn", code: "method_not_allowed", says: /takes POST, OPTIONS/ },
  { request: "PATCH /v1/leader", code: "method_not_allowed", says: /GET, HEAD, POST, OPTIONS/ },
  { request: "DELETE /metrics", code: "method_not_allowed", says: /GET, HEAD, OPTIONS/ },
];

function txnCase(body: unknown, says: RegExp): Case {
  return { ...txn(body), code: "invalid_argument", says };
}

describe("bad input is refused with one clear sentence, and changes nothing", () => {
  for (const { request, headers, body, code, says } of cases) {
    const shown = `${request.slice(0, 60)} ${JSON.stringify(headers ?? {}).slice(0, 60)} ${String(body ?? "").slice(0, 60)}`;
    test(`${shown} is ${code}`, async () => {
      const { service, send } = testApp();
      const [method = "", path = ""] = request.split(" ");
      const before = service.revision;
      const answer = await send(method, path, {
        ...(headers && { headers }),
        ...(body !== undefined && { body }),
      });
      assert.equal(answer.document?.code, code, answer.text);
      assert.equal(answer.status, errorFaces[code].status);
      assert.equal(answer.document.status, answer.status);
      assert.match(answer.document.detail, says);
      assert.match(answer.document.detail, /^[A-Z][^\n]*\.$/, "one sentence");
      assert.ok(answer.document.detail.length < 400, "a short one");
      assert.equal(service.revision, before);
      assert.equal(service.commands.length, 0);
      assert.equal(service.cluster.left, false);
    });
  }
});
