import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CoracleError } from "../../base/errors.ts";
import { asJson, testApp } from "../app.test-support.ts";
import { gatewayPaths } from "./paths.ts";

interface Case {
  readonly path: string;
  readonly body: unknown;
  readonly status: number;
  readonly code: number;
  readonly says: string | RegExp;
}

const a = "YQ==";
const keyEmpty = { status: 400, code: 3, says: "etcdserver: key is not provided" } as const;
const noLease = { status: 404, code: 5, says: "etcdserver: requested lease not found" } as const;
const noMember = { status: 404, code: 5, says: "etcdserver: member not found" } as const;
const authOff = { status: 412, code: 9, says: "etcdserver: authentication is not enabled" } as const;
const put = (key = a): unknown => ({ request_put: { key } });

/** A request of each path that is well-formed and refused. */
const cases: readonly Case[] = [
  { path: "/kv/range", body: {}, ...keyEmpty },
  { path: "/kv/range", body: { range_end: "AA==" }, ...keyEmpty },
  {
    path: "/kv/range",
    body: { key: a, revision: 99 },
    status: 400,
    code: 11,
    says: "etcdserver: mvcc: required revision is a future revision",
  },
  {
    path: "/kv/range",
    body: { key: a, sort_target: 9 },
    status: 400,
    code: 3,
    says: "etcdserver: invalid sort option",
  },
  { path: "/kv/put", body: { value: a }, ...keyEmpty },
  {
    path: "/kv/put",
    body: { key: a, value: a, ignore_value: true },
    status: 400,
    code: 3,
    says: "etcdserver: value is provided",
  },
  {
    path: "/kv/put",
    body: { key: a, lease: 7, ignore_lease: true },
    status: 400,
    code: 3,
    says: "etcdserver: lease is provided",
  },
  { path: "/kv/put", body: { key: a, lease: "7" }, ...noLease },
  {
    path: "/kv/put",
    body: { key: Buffer.alloc(40_000, "k").toString("base64") },
    status: 400,
    code: 3,
    says: "etcdserver: request is too large",
  },
  {
    path: "/kv/put",
    body: { key: a, value: Buffer.alloc(1_600_000).toString("base64") },
    status: 400,
    code: 3,
    says: "etcdserver: request is too large",
  },
  {
    path: "/kv/put",
    body: { key: a, value: Buffer.alloc(2_200_000).toString("base64") },
    status: 429,
    code: 8,
    says: /^grpc: received message larger than max \(22000\d\d vs\. 2097152\)$/,
  },
  { path: "/kv/deleterange", body: {}, ...keyEmpty },
  {
    path: "/kv/txn",
    body: { success: [{}] },
    status: 400,
    code: 3,
    says: "etcdserver: key not found",
  },
  { path: "/kv/txn", body: { compare: [{ target: "MOD" }] }, ...keyEmpty },
  {
    path: "/kv/txn",
    body: { success: [put(), put()] },
    status: 400,
    code: 3,
    says: "etcdserver: duplicate key given in txn request",
  },
  {
    path: "/kv/txn",
    body: { success: Array.from({ length: 129 }, (_, i) => put(Buffer.from(`k${i}`).toString("base64"))) },
    status: 400,
    code: 3,
    says: "etcdserver: too many operations in txn request",
  },
  {
    path: "/kv/txn",
    body: { success: [{ request_txn: { failure: [{ request_range: {} }] } }] },
    ...keyEmpty,
  },
  {
    path: "/lease/grant",
    body: { TTL: "9000000001" },
    status: 400,
    code: 11,
    says: "etcdserver: too large lease TTL",
  },
  { path: "/lease/revoke", body: { ID: 7 }, ...noLease },
  { path: "/kv/lease/revoke", body: { ID: "8" }, ...noLease },
  { path: "/cluster/member/remove", body: { ID: 9 }, ...noMember },
  { path: "/cluster/member/promote", body: { ID: "9" }, ...noMember },
  { path: "/cluster/member/update", body: { ID: 9, peerURLs: ["http://a:1"] }, ...noMember },
  {
    path: "/cluster/member/update",
    body: { ID: 1, peerURLs: ["nonsense"] },
    status: 400,
    code: 3,
    says: "etcdserver: given member URLs are invalid",
  },
  {
    path: "/cluster/member/update",
    body: { ID: 1, peerURLs: ["http://127.0.0.1:1"] },
    status: 501,
    code: 12,
    says: /--advertise-peer/,
  },
  {
    path: "/cluster/member/add",
    body: {},
    status: 400,
    code: 3,
    says: "etcdserver: given member URLs are invalid",
  },
  {
    path: "/cluster/member/add",
    body: { peerURLs: ["http://127.0.0.1:1"] },
    status: 501,
    code: 12,
    says: /--join/,
  },
  {
    path: "/cluster/member/promote",
    body: { ID: 2 },
    status: 412,
    code: 9,
    says: "etcdserver: can only promote a learner member",
  },
  {
    path: "/maintenance/transfer-leadership",
    body: { targetID: 77 },
    status: 412,
    code: 9,
    says: "etcdserver: bad leader transferee",
  },
  { path: "/maintenance/downgrade", body: {}, status: 501, code: 12, says: /older release/ },
  { path: "/lock/lock", body: { name: a, lease: 7 }, ...noLease, status: 500, code: 2 },
  { path: "/lock/unlock", body: {}, ...keyEmpty, status: 500, code: 2 },
  { path: "/election/leader", body: { name: a }, status: 500, code: 2, says: "election: no leader" },
  { path: "/election/campaign", body: { name: a, lease: 7 }, ...noLease, status: 500, code: 2 },
  { path: "/election/proclaim", body: {}, status: 500, code: 2, says: '"leader" field must be provided' },
  { path: "/election/resign", body: {}, status: 500, code: 2, says: '"leader" field must be provided' },
  {
    path: "/election/proclaim",
    body: { leader: { name: a, key: a, rev: 1 } },
    status: 500,
    code: 2,
    says: "election: not leader",
  },
  ...gatewayPaths
    .filter(([path]) => path.startsWith("/auth/") && path !== "/auth/status")
    .map(([path]) => ({ path, body: {}, ...authOff })),
];

const streams = new Set(["/watch", "/lease/keepalive"]);

describe("a bad request to the gateway", () => {
  for (const { path, body, status, code, says } of cases) {
    test(`${path} ${JSON.stringify(body).slice(0, 60)} is ${status}`, async () => {
      const answer = await testApp().send("POST", `/v3${path}`, {
        body: JSON.stringify(body),
        headers: asJson,
      });
      const { error, message, ...rest } = answer.document;
      assert.deepEqual([answer.status, rest], [status, { code }], answer.text);
      assert.equal(error, message);
      if (typeof says === "string") assert.equal(message, says);
      else assert.match(message, says);
    });
  }

  for (const [path] of gatewayPaths) {
    test(`${path} refuses what is no document, and other methods`, async () => {
      const { send } = testApp();
      const [status, code] = streams.has(path) ? [500, 2] : [400, 3];
      for (const [body, says] of [
        ["{", "unexpected EOF"],
        ["5", "json: cannot unmarshal number into Go value of type map[string]json.RawMessage"],
      ]) {
        for (const root of ["/v3", "/v3beta"]) {
          const answer = await send("POST", root + path, { body: body ?? "" });
          assert.deepEqual([answer.status, answer.document], [status, { error: says, message: says, code }]);
        }
      }
      for (const method of ["GET", "PUT", "DELETE"]) {
        const answer = await send(method, `/v3${path}`);
        assert.deepEqual([answer.status, answer.text], [405, "Method Not Allowed\n"]);
      }
    });
  }

  test("a larger value is taken where values may be larger", async () => {
    const { send } = testApp({ valueBytesMax: 3_000_000 });
    const body = JSON.stringify({ key: a, value: Buffer.alloc(2_500_000).toString("base64") });
    // The fake keeps the limit of the state machine.
    assert.equal(
      (await send("POST", "/v3/kv/put", { body })).document.message,
      "etcdserver: request is too large",
    );
    const larger = JSON.stringify({ key: a, value: Buffer.alloc(3_600_000).toString("base64") });
    assert.equal((await send("POST", "/v3/kv/put", { body: larger })).status, 429);
  });

  test("a transaction nested without end is refused", async () => {
    for (const levels of [200, 20_000, 50_000]) {
      const body = `${'{"success":[{"request_txn":'.repeat(levels)}{}${"}]}".repeat(levels)}`;
      const { status, document } = await testApp().send("POST", "/v3/kv/txn", { body });
      assert.deepEqual([status, document.code], [400, 3]);
    }
  });

  test("an unknown path is 404, OPTIONS is 200 and permits no origin", async () => {
    const { send } = testApp();
    for (const path of ["/v3/", "/v3/kv", "/v3/kv/put/x", "/v3beta/nothing"]) {
      const answer = await send("POST", path, { body: "{}" });
      assert.deepEqual([answer.status, answer.text], [404, "Not Found\n"], path);
    }
    const options = await send("OPTIONS", "/v3/kv/put");
    assert.equal(options.status, 200);
    assert.match(options.headers.get("access-control-allow-methods") ?? "", /POST/);
    assert.equal(options.headers.get("access-control-allow-origin"), null);
  });

  test("a page of another site is refused, whatever its Content-Type", async () => {
    const { send, service } = testApp();
    const headers = { "sec-fetch-site": "cross-site", "content-type": "text/plain" };
    const answer = await send("POST", "/v3/kv/put", { body: JSON.stringify({ key: a }), headers });
    assert.deepEqual([answer.status, answer.document.code], [403, 7]);
    assert.deepEqual(service.commands, []);
  });

  test("what cannot be done now is 503 with code 14, so that clients try again", async () => {
    for (const [thrown, status, code, says] of [
      ["no_leader", 503, 14, "etcdserver: no leader"],
      ["not_proposed", 503, 14, "etcdserver: leader changed"],
      ["shutting_down", 503, 14, "etcdserver: server stopped"],
      ["outcome_unknown", 503, 14, "etcdserver: request timed out"],
      ["overloaded", 429, 8, "etcdserver: too many requests"],
      ["quota_exceeded", 429, 8, "etcdserver: mvcc: database space exceeded"],
    ] as const) {
      const { send, service } = testApp();
      service.failWith = new CoracleError(thrown, "Not now.");
      const answer = await send("POST", "/v3/kv/put", { body: JSON.stringify({ key: a }) });
      assert.deepEqual([answer.status, answer.document], [status, { error: says, message: says, code }]);
      // Whoever is told when to try again sends the put a second time, though it may have taken effect.
      assert.equal(answer.headers.get("retry-after"), thrown === "outcome_unknown" ? null : "1", thrown);
    }
  });

  test("a bug is told as no more than that", async () => {
    const { send, service } = testApp();
    service.failWith = new TypeError("x is not a function");
    const answer = await send("POST", "/v3/kv/put", { body: JSON.stringify({ key: a }) });
    assert.equal(answer.status, 500);
    assert.equal(answer.document.message, "etcdserver: internal error");
  });
});
