import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asJson, testApp } from "./app.test-support.ts";

describe("members and leader", () => {
  test("are shown with the head of the member that was asked", async () => {
    const { send } = testApp();
    const { document } = await send("GET", "/v1/members");
    const { members, ...head } = document;
    assert.deepEqual(head, {
      cluster_id: 7_000_000_000_000_000,
      member_id: 1,
      member_name: "n1",
      term: 2,
      leader_id: 1,
      revision: 1,
      applied_index: 4,
    });
    assert.deepEqual(members[2], {
      id: 3,
      name: "n3",
      peer_address: "127.0.0.1:30003",
      client_urls: ["http://127.0.0.1:20003"],
      grpc_urls: [],
      learner: true,
    });
    assert.equal((await send("GET", "/v1/leader")).document.leader.name, "n1");
    const [first, second] = (await send("GET", "/v1/status")).document.members;
    assert.deepEqual(
      [first.role, first.term, second.reachable, "term" in second],
      ["leader", 2, false, false],
    );
  });

  test("change by id or by name", async () => {
    const { service, send } = testApp();
    assert.equal((await send("POST", "/v1/members/n3/promote")).document.promoted.learner, false);
    assert.equal((await send("DELETE", "/v1/members/2")).document.removed.name, "n2");
    assert.deepEqual(
      service.cluster.records.map((record) => [record.name, record.learner]),
      [
        ["n1", false],
        ["n3", false],
      ],
    );
    const named = await send("POST", "/v1/leader", { headers: asJson, body: '{"member":"n3"}' });
    assert.equal(named.document.leader.id, 3);
    const byId = await send("POST", "/v1/leader", { headers: asJson, body: '{"member":1}' });
    assert.equal(byId.document.leader.id, 1);
    assert.equal((await send("POST", "/v1/leave")).document.left.name, "n1");
    assert.equal(service.cluster.left, true);
  });

  test("without a leader are 503, to be asked again", async () => {
    const { service, send } = testApp();
    service.cluster.leaderId = 0;
    const answer = await send("GET", "/v1/leader");
    assert.deepEqual(
      [answer.status, answer.document.code, answer.headers.get("retry-after")],
      [503, "no_leader", "1"],
    );
    assert.equal((await send("GET", "/v1/members")).document.leader_id, null);
  });
});

describe("what operators ask", () => {
  test("health, version and the landing page", async () => {
    const { service, send } = testApp();
    assert.equal((await send("GET", "/livez?verbose")).text, "ok\n");
    assert.equal((await send("GET", "/readyz")).status, 200);
    service.cluster.ready = { ready: false, reason: "no leader is known" };
    const unready = await send("GET", "/readyz");
    assert.deepEqual([unready.status, unready.text], [503, "not ready: no leader is known\n"]);
    const { document } = await send("GET", "/version");
    const started_at = "1970-01-01T00:00:00.000Z";
    const etcd = { etcdserver: "3.4.23", etcdcluster: "3.4.0" };
    assert.deepEqual(document, { name: "coracle", version: "1.2.3", commit: "abc", started_at, ...etcd });
    const unhealthy = await send("GET", "/health");
    assert.deepEqual([unhealthy.status, unhealthy.text], [503, '{"health":"false"}']);
    assert.match((await send("GET", "/")).text, /^coracle 1\.2\.3, member n1/);
  });

  test("metrics count requests by route and code, and their durations", async () => {
    const { send } = testApp();
    await send("PUT", "/v1/kv/a", { body: "1" });
    await send("PUT", "/v1/kv/b/c", { body: "1" });
    await send("GET", "/v1/kv/nothing");
    await send("GET", "/nowhere");
    const metrics = await send("GET", "/metrics");
    assert.match(metrics.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
    const lines = metrics.text.split("\n");
    const has = (line: string) => assert.ok(lines.includes(line), `${line} is missing in\n${metrics.text}`);
    has('coracle_http_requests_total{route="/v1/kv/{key}",method="PUT",code="200"} 2');
    has('coracle_http_requests_total{route="/v1/kv/{key}",method="GET",code="404"} 1');
    has('coracle_http_requests_total{route="other",method="any",code="404"} 1');
    has('coracle_http_request_duration_seconds_bucket{le="+Inf",route="/v1/kv/{key}",method="PUT"} 2');
    has('coracle_http_request_duration_seconds_count{route="/v1/kv/{key}",method="PUT"} 2');
    assert.equal(
      lines.filter((line) => line.startsWith("# TYPE coracle_http_request_duration_seconds ")).length,
      1,
    );
  });
});

describe("every answer", () => {
  test("carries the request's own id, and a failure always has one", async () => {
    const { send } = testApp();
    const headers = { "x-request-id": "trace-7" };
    assert.equal((await send("GET", "/livez", { headers })).headers.get("x-request-id"), "trace-7");
    assert.equal((await send("GET", "/v1/kv/a", { headers })).document.request_id, "trace-7");
    assert.equal((await send("GET", "/livez")).headers.get("x-request-id"), null);
    const first = (await send("GET", "/v1/kv/a")).headers.get("x-request-id");
    const odd = { "x-request-id": "a b" };
    const second = (await send("GET", "/v1/kv/a", { headers: odd })).headers.get("x-request-id");
    assert.ok(first !== null && second !== null && first !== second && second !== "a b");
  });

  test("to OPTIONS and to a wrong method names what is allowed, and permits no other origin", async () => {
    const { send } = testApp();
    const options = await send("OPTIONS", "/v1/kv/a", { headers: { origin: "http://evil.example" } });
    assert.deepEqual(
      [options.status, options.headers.get("allow")],
      [204, "GET, HEAD, PUT, DELETE, OPTIONS"],
    );
    assert.equal(options.headers.get("access-control-allow-origin"), null);
    assert.equal((await send("OPTIONS", "/nowhere")).status, 404);
    const wrong = await send("PATCH", "/v1/txn");
    assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "POST, OPTIONS"]);
  });

  test("needs a name of this member in the Host header, when names are given", async () => {
    const { send } = testApp({ hostNames: ["node1.example"] });
    const status = async (host: string) => (await send("GET", "/v1/members", { headers: { host } })).status;
    for (const host of [
      "127.0.0.1:2379",
      "[::1]:2379",
      "localhost",
      "localhost:1",
      "NODE1.example:2379",
      "x.localhost",
    ]) {
      assert.equal(await status(host), 200, host);
    }
    for (const host of [
      "evil.example",
      "evil.example:2379",
      "127.0.0.1.evil.example",
      "node1.example.evil",
    ]) {
      assert.equal(await status(host), 403, host);
    }
    const headers = { host: "evil.example:2379" };
    assert.match((await send("GET", "/v1/members", { headers })).document.detail, /--client-host-names/);
    assert.equal((await send("POST", "/v3/kv/range", { headers, body: '{"key":"YQ=="}' })).status, 403);
    for (const path of ["/livez", "/readyz", "/health", "/version", "/metrics"]) {
      assert.equal((await send("GET", path, { headers })).status, 200, path);
    }
    assert.equal((await testApp().send("GET", "/v1/members", { headers })).status, 200);
  });

  test("takes a POST of a page of its own, and of a program", async () => {
    const { send } = testApp();
    const own = { host: "127.0.0.1:2379", origin: "http://127.0.0.1:2379", "sec-fetch-site": "same-origin" };
    assert.equal((await send("POST", "/v1/leader", { headers: own })).status, 200);
    assert.equal((await send("POST", "/v1/leader")).status, 200);
  });
});
