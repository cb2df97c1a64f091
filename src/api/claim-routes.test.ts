import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asCbor, asJson, type TestApp, testApp } from "./app.test-support.ts";

const body = (document: unknown) => ({ headers: asJson, body: JSON.stringify(document) });
const ndjson = { accept: "application/x-ndjson" };

function appWithLeases(...ids: number[]): TestApp {
  const test = testApp();
  for (const id of ids) test.service.leases.granted.set(id, 60);
  return test;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const startMs = performance.now();
  while (!condition()) {
    assert.ok(performance.now() - startMs < 20_000, `waited in vain: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Reads a stream event by event. */
function linesOf(response: Response): { next(): Promise<string | undefined>; cancel(): Promise<void> } {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const separator = response.headers.get("content-type") === "text/event-stream" ? "\n\n" : "\n";
  let text = "";
  return {
    async next() {
      for (;;) {
        const end = text.indexOf(separator);
        if (end >= 0) {
          const line = text.slice(0, end);
          text = text.slice(end + separator.length);
          return line;
        }
        const { done, value } = await reader.read();
        if (done) return undefined;
        text += new TextDecoder().decode(value);
      }
    },
    cancel: () => reader.cancel(),
  };
}

describe("a lock", () => {
  test("is acquired on a new lease, seen, and released", async () => {
    const { send, service } = testApp();
    const held = await send("POST", "/v1/locks/jobs", body({ ttl: 30, wait_ms: 100 }));
    assert.equal(held.status, 200, held.text);
    const key = { key: "jobs/3e9", key_base64: btoa("jobs/3e9"), lease: 1001 };
    assert.deepEqual(held.document, { ...key, ttl: 30, fencing_revision: 2, revision: 2 });
    assert.equal(service.leases.granted.get(1001), 30);
    const seen = await send("GET", "/v1/locks/jobs");
    assert.deepEqual(seen.document, { revision: 2, holder: { ...key, fencing_revision: 2 } });
    const released = await send("DELETE", "/v1/locks/jobs?lease=1001");
    assert.deepEqual(released.document, { revision: 3, released: true });
    assert.deepEqual((await send("DELETE", "/v1/locks/jobs?key=jobs%2F3e9")).document, {
      revision: 3,
      released: false,
    });
    assert.deepEqual((await send("GET", "/v1/locks/jobs")).document, { revision: 3, holder: null });
  });

  test("needs no body, and speaks CBOR", async () => {
    const { send } = testApp();
    const held = await send("POST", "/v1/locks/a%2Fb", { headers: asCbor });
    assert.equal(new TextDecoder().decode(held.document.key), "a/b/3e9");
    assert.equal(held.document.ttl, 60);
  });

  test("held by another: 409 when the time is over", async () => {
    const { send } = appWithLeases(1, 2);
    await send("POST", "/v1/locks/jobs", body({ lease: 1 }));
    for (const wait_ms of [0, 5]) {
      const refused = await send("POST", "/v1/locks/jobs", body({ lease: 2, wait_ms }));
      assert.equal(refused.status, 409);
      assert.equal(refused.document.code, "lock_held");
    }
  });

  test("is waited for, and given when it comes free", async () => {
    const { send, service } = appWithLeases(1, 2);
    await send("POST", "/v1/locks/jobs", body({ lease: 1 }));
    const waiting = send("POST", "/v1/locks/jobs", body({ lease: 2 }));
    await until(() => service.watches.active.size === 2, "it waits");
    await send("DELETE", "/v1/locks/jobs?lease=1");
    assert.equal((await waiting).document.fencing_revision, 3);
  });

  test("is given up when the client goes away", async () => {
    const { app, send, service } = appWithLeases(1, 2);
    await send("POST", "/v1/locks/jobs", body({ lease: 1 }));
    const gone = new AbortController();
    const request = new Request("http://localhost/v1/locks/jobs", {
      method: "POST",
      ...body({ lease: 2 }),
      signal: gone.signal,
    });
    const waiting = app.fetch(request);
    await until(() => service.watches.active.size === 2, "it waits");
    gone.abort();
    assert.equal((await waiting).status, 499);
    assert.equal(service.keysOf(2).length, 0);
  });

  test("ends its wait with 503 when the member stops", async () => {
    const stopping = new AbortController();
    const { send, service } = testApp({ stopping: stopping.signal });
    await send("POST", "/v1/locks/jobs");
    const waiting = send("POST", "/v1/locks/jobs");
    await until(() => service.watches.active.size === 2, "it waits");
    stopping.abort();
    const answer = await waiting;
    assert.equal(answer.status, 503);
    assert.equal(answer.document.code, "shutting_down");
  });
});

describe("a lock held by the connection", () => {
  test("waits, is held, and is released when the client goes away", async () => {
    const { app, send, service } = appWithLeases(1);
    await send("POST", "/v1/locks/jobs", body({ lease: 1 }));
    const lines = linesOf(await app.request("/v1/locks/jobs", { method: "POST", headers: ndjson }));
    assert.equal(await lines.next(), '{"type":"waiting"}');
    const held = lines.next();
    await until(() => service.watches.active.size === 2, "it waits");
    await send("DELETE", "/v1/locks/jobs?lease=1");
    const { type, fencing_revision, ttl } = JSON.parse((await held) ?? "");
    assert.deepEqual({ type, fencing_revision, ttl }, { type: "held", fencing_revision: 3, ttl: 60 });
    assert.equal(service.leases.granted.size, 2);
    await lines.cancel();
    await until(() => service.leases.granted.size === 1, "its lease is revoked");
    assert.equal((await send("GET", "/v1/locks/jobs")).document.holder, null);
  });

  test("on a lease of the client's own gives up the claim, not the lease", async () => {
    const { app, send, service } = appWithLeases(1);
    const lines = linesOf(
      await app.request("/v1/locks/jobs", {
        method: "POST",
        headers: { ...asJson, ...ndjson },
        body: '{"lease":1}',
      }),
    );
    await lines.next();
    await lines.next();
    await lines.cancel();
    await until(() => service.keysOf(1).length === 0, "its claim is given up");
    assert.equal(service.leases.granted.size, 1);
    assert.equal((await send("GET", "/v1/locks/jobs")).document.holder, null);
  });

  test("says when it is lost", async () => {
    const { app, service } = testApp();
    const headers = { accept: "text/event-stream" };
    const lines = linesOf(await app.request("/v1/locks/jobs", { method: "POST", headers }));
    assert.equal(await lines.next(), "event: waiting\ndata: {}");
    assert.match((await lines.next()) ?? "", /^event: held\ndata: \{"key":"jobs\/3e9"/);
    service.leases.expire(1001);
    assert.match((await lines.next()) ?? "", /^event: error\ndata: \{"status":404,.*"code":"not_found"/);
    assert.equal(await lines.next(), undefined);
  });

  test("is left its lease when the member stops", async () => {
    const stopping = new AbortController();
    const { app, service } = testApp({ stopping: stopping.signal });
    const lines = linesOf(await app.request("/v1/locks/jobs", { method: "POST", headers: ndjson }));
    await lines.next();
    await lines.next();
    stopping.abort();
    assert.equal(JSON.parse((await lines.next()) ?? "").code, "shutting_down");
    assert.equal(service.keysOf(1001).length, 1);
  });
});

describe("an election", () => {
  test("campaign, leader, proclaim, resign", async () => {
    const { send } = appWithLeases(7);
    const none = await send("GET", "/v1/elections/e");
    assert.equal(none.status, 404);
    const won = await send("POST", "/v1/elections/e", body({ lease: 7, value: "me" }));
    assert.equal(won.document.fencing_revision, 2, won.text);
    const leader = await send("GET", "/v1/elections/e");
    assert.equal(leader.document.leader.value_base64, btoa("me"));
    const proclaim = { lease: 7, fencing_revision: 2, value_base64: btoa("me2") };
    assert.equal((await send("PUT", "/v1/elections/e", body(proclaim))).document.revision, 3);
    const stale = await send("PUT", "/v1/elections/e", body({ ...proclaim, fencing_revision: 1 }));
    assert.equal(stale.status, 412);
    const resign = "/v1/elections/e?lease=7&fencing_revision=2";
    assert.deepEqual((await send("DELETE", resign)).document, { revision: 4, resigned: true });
    assert.deepEqual((await send("DELETE", resign)).document, { revision: 4, resigned: false });
  });

  test("is observed as events", async () => {
    const { app, send } = appWithLeases(7);
    await send("POST", "/v1/elections/e", body({ lease: 7, value: "a" }));
    const lines = linesOf(await app.request("/v1/elections/e", { headers: { accept: "text/event-stream" } }));
    assert.match(
      (await lines.next()) ?? "",
      /^id: 2\nevent: leader\ndata: \{"revision":2,"leader":\{"key":"e\/7"/,
    );
    await send("PUT", "/v1/elections/e", body({ lease: 7, fencing_revision: 2, value: "b" }));
    assert.match((await lines.next()) ?? "", /^id: 3\n.*\n.*"value_base64":"Yg=="/);
    await lines.cancel();
    const head = await send("HEAD", "/v1/elections/e", { headers: { accept: "application/json" } });
    assert.equal(head.status, 200);
  });
});
