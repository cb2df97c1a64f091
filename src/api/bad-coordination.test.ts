import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ErrorCode } from "../base/errors.ts";
import { asJson, testApp } from "./app.test-support.ts";
import { errorFaces } from "./errors.ts";

interface Case {
  readonly request: string;
  /** JSON, unless headers say otherwise. */
  readonly body?: string;
  readonly headers?: Record<string, string>;
  readonly code: ErrorCode;
  readonly says: RegExp;
}

const bad = (request: string, body: string, says: RegExp, code: ErrorCode = "invalid_argument"): Case => {
  return { request, body, code, says };
};
const lock = (body: string, says: RegExp) => bad("POST /v1/locks/a", body, says);
const campaign = (body: string, says: RegExp) => bad("POST /v1/elections/a", body, says);
const plain = (request: string, says: RegExp, code: ErrorCode = "invalid_argument"): Case => {
  return { request, code, says };
};

/** Of requests that take only certain parameters, headers and methods. */
const common: readonly Case[] = [
  "POST /v1/leases?x=1",
  "GET /v1/leases?keys=true",
  "GET /v1/leases/7?key=true",
  "POST /v1/leases/7/keep-alive?ttl=3",
  "DELETE /v1/leases/7?force=true",
  "POST /v1/locks/a?ttl=30",
  "GET /v1/locks/a?wait=1",
  "DELETE /v1/locks/a?lease=7&leese=8",
  "POST /v1/elections/a?value=x",
  "GET /v1/elections/a?x=1",
  "PUT /v1/elections/a?lease=7",
  "DELETE /v1/elections/a?leas=7",
  "POST /v1/compact?revision=3",
].map((request) => plain(request, /This route has no parameter "\w+"; it takes/, "unknown_parameter"));

const wrongMethod: readonly Case[] = [
  "PUT /v1/leases",
  "POST /v1/leases/7",
  "GET /v1/leases/7/keep-alive",
  "PUT /v1/locks/a",
  "PATCH /v1/elections/a",
  "GET /v1/compact",
].map((request) => plain(request, /^The path .* takes [A-Z, ]*, not "/, "method_not_allowed"));

const forms: readonly Case[] = [
  "POST /v1/leases",
  "POST /v1/locks/a",
  "POST /v1/elections/a",
  "POST /v1/compact",
].flatMap((request): Case[] => [
  bad(request, "{", /not well-formed JSON/, "malformed_body"),
  bad(request, "[]", /must be an object/),
  bad(request, '{"bogus": 1}', /^The body's bogus: there is no such field here\.$/),
  {
    request,
    body: "ttl=3",
    headers: { "content-type": "text/plain" },
    code: "unsupported_media_type",
    says: /text\/plain/,
  },
  {
    request,
    body: "{}",
    headers: { ...asJson, accept: "image/png" },
    code: "not_acceptable",
    says: /allows none of/,
  },
  {
    request,
    body: "{}",
    headers: { ...asJson, "sec-fetch-site": "cross-site" },
    code: "forbidden",
    says: /another site/,
  },
]);

const cases: readonly Case[] = [
  ...common,
  ...wrongMethod,
  ...forms,
  bad("POST /v1/leases", "{}", /no ttl, in seconds/),
  plain("POST /v1/leases", /no ttl, in seconds/),
  bad("POST /v1/leases", '{"ttl": 0}', /ttl: must be a whole number from 1/),
  bad("POST /v1/leases", '{"ttl": 1.5}', /ttl: must be a whole number/),
  bad("POST /v1/leases", '{"ttl": "60"}', /ttl: must be a whole number/),
  bad("POST /v1/leases", '{"ttl": 9000000001}', /too large/, "lease_ttl_too_large"),
  bad("POST /v1/leases", '{"ttl": 5, "id": "x"}', /id: must be a lease's id/),
  bad("POST /v1/leases", '{"ttl": 5, "id": 9223372036854775808}', /id: must be a lease's id/),
  plain("GET /v1/leases/abc", /the lease "abc"; a lease's id is an integer of 64 bits/),
  plain("GET /v1/leases/0", /other than 0/),
  plain("GET /v1/leases/9223372036854775808", /64 bits/),
  plain("GET /v1/leases/7?keys=perhaps", /keys must be true or false, not "perhaps"/),
  plain("GET /v1/leases/7", /Lease 7 does not exist/, "lease_not_found"),
  plain("DELETE /v1/leases/7", /Lease 7 does not exist/, "lease_not_found"),
  plain("POST /v1/leases/7/keep-alive", /Lease 7 does not exist/, "lease_not_found"),
  {
    request: "POST /v1/leases/7/keep-alive",
    headers: { "idempotency-key": "k" },
    code: "invalid_argument",
    says: /may be sent again as it is: leave the header Idempotency-Key out/,
  },
  plain("POST /v1/locks/", /no name behind \/v1\/locks\//, "key_empty"),
  plain("GET /v1/locks/%zz", /two hexadecimal digits/),
  lock('{"ttl": 5, "lease": 7}', /lease and ttl; give the one that exists/),
  lock('{"lease": 1.5}', /lease: must be a lease's id/),
  lock('{"ttl": -1}', /ttl: must be a whole number from 1/),
  lock('{"wait_ms": -1}', /wait_ms: must be a whole number from 0 to 86400000/),
  lock('{"wait_ms": 86400001}', /from 0 to 86400000/),
  lock('{"wait_ms": null}', /wait_ms: must be a whole number/),
  bad("POST /v1/locks/a", '{"lease": 7}', /Lease 7 does not exist/, "lease_not_found"),
  {
    request: "POST /v1/locks/a",
    headers: { "idempotency-key": "k" },
    code: "invalid_argument",
    says: /takes a lease of your own .*leave the header Idempotency-Key out/,
  },
  plain("DELETE /v1/locks/a", /by its lease, or by its key; by one of them/),
  plain("DELETE /v1/locks/a?lease=7&key=a%2F7", /by one of them/),
  plain("DELETE /v1/locks/a?lease=x", /lease must be a lease's id, .* not "x"/),
  plain("DELETE /v1/locks/a?key=b%2F7", /must begin with its name and a slash/),
  plain("DELETE /v1/locks/a?key=a%2F", /must begin with its name and a slash/),
  plain("GET /v1/elections/", /no name behind/, "key_empty"),
  plain("GET /v1/elections/a", /no leader at revision 1/, "not_found"),
  campaign('{"value": "a", "value_base64": "YQ=="}', /value and value_base64; give one/),
  campaign('{"value_base64": "Y"}', /value_base64: must be base64 with padding/),
  campaign('{"value": 5}', /value: must be text/),
  bad("PUT /v1/elections/a", "{}", /lease: is missing/),
  bad("PUT /v1/elections/a", '{"lease": 7, "fencing_revision": 2}', /no value to proclaim/),
  bad("PUT /v1/elections/a", '{"lease": 7, "value": "x"}', /fencing_revision: is missing/),
  bad(
    "PUT /v1/elections/a",
    '{"lease": 7, "fencing_revision": 2, "value": "x"}',
    /does not lead/,
    "precondition_failed",
  ),
  plain("DELETE /v1/elections/a?lease=7", /lease and fencing_revision; by both/),
  plain("DELETE /v1/elections/a?lease=7&fencing_revision=0", /whole number from 1/),
  bad("POST /v1/compact", "{}", /no revision; give the first one to keep/),
  bad("POST /v1/compact", '{"revision": 0}', /revision: must be a whole number from 1/),
  bad("POST /v1/compact", '{"revision": 2, "physical": 1}', /physical: must be true or false/),
];

describe("bad requests about leases, locks and elections are refused with one clear sentence", () => {
  for (const { request, body, headers = body === undefined ? undefined : asJson, code, says } of cases) {
    test(`${request} ${body ?? ""} is ${code}`, async () => {
      const { service, send } = testApp();
      const [method = "", path = ""] = request.split(" ");
      const answer = await send(method, path, {
        ...(headers && { headers }),
        ...(body !== undefined && { body }),
      });
      assert.equal(answer.document?.code, code, answer.text);
      assert.equal(answer.status, errorFaces[code].status);
      assert.match(answer.document.detail, says);
      assert.match(answer.document.detail, /^[A-Z][^\n]*\.$/, "one sentence");
      assert.ok(answer.document.detail.length < 400, "a short one");
      assert.equal(service.revision, 1);
      assert.equal(service.leases.granted.size, 0);
    });
  }
});
