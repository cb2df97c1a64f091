import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encode } from "cbor-x/index-no-eval";
import { asCbor, asJson, testApp } from "./app.test-support.ts";

const body = (document: unknown) => ({ headers: asJson, body: JSON.stringify(document) });

describe("leases", () => {
  test("are granted, listed, shown, renewed and revoked", async () => {
    const { send, service } = testApp();
    const granted = await send("POST", "/v1/leases", body({ ttl: 60 }));
    assert.equal(granted.status, 201);
    assert.deepEqual(granted.document, { id: 1001, ttl: 60 });
    assert.equal(granted.headers.get("location"), "/v1/leases/1001");
    await send("PUT", "/v1/kv/a?lease=1001", { body: "x" });
    assert.deepEqual((await send("GET", "/v1/leases")).document, { leases: [{ id: 1001 }] });
    const shown = await send("GET", "/v1/leases/1001?keys=true");
    const keys = [{ key: "a", key_base64: "YQ==" }];
    assert.deepEqual(shown.document, { id: 1001, ttl: 60, remaining_ms: 59_750, keys });
    assert.equal((await send("GET", "/v1/leases/1001")).document.keys, undefined);
    const renewed = await send("POST", "/v1/leases/1001/keep-alive");
    assert.deepEqual(renewed.document, { id: 1001, ttl: 60 });
    const revoked = await send("DELETE", "/v1/leases/1001");
    assert.deepEqual(revoked.document, { revision: 3 });
    assert.equal(revoked.headers.get("coracle-revision"), "3");
    assert.equal(service.leases.granted.size, 0);
    assert.equal((await send("GET", "/v1/kv/a")).status, 404);
  });

  test("have ids of 64 bits: text in JSON where a number would be rounded", async () => {
    const { send } = testApp();
    const id = "-9223372036854775808";
    const granted = await send("POST", "/v1/leases", body({ ttl: 5, id }));
    assert.equal(granted.document.id, id);
    assert.equal((await send("GET", `/v1/leases/${id}`)).document.id, id);
    assert.equal((await send("DELETE", `/v1/leases/${id}`)).status, 200);
    const cbor = encode({ ttl: 5, id: 2n ** 62n });
    const binary = await send("POST", "/v1/leases", { headers: asCbor, body: Uint8Array.from(cbor) });
    assert.equal(binary.document.id, 2n ** 62n);
  });

  test("are granted once under an idempotency key", async () => {
    const { send, service } = testApp();
    const headers = { ...asJson, "idempotency-key": "k1" };
    const request = { headers, body: '{"ttl": 9}' };
    const first = await send("POST", "/v1/leases", request);
    const again = await send("POST", "/v1/leases", request);
    assert.deepEqual(again.document, first.document);
    assert.equal(service.leases.granted.size, 1);
  });
});

describe("compaction", () => {
  test("moves the compact revision, and removes rows when asked to", async () => {
    const { send, service } = testApp();
    for (const value of ["1", "2", "3"]) await send("PUT", "/v1/kv/a", { body: value });
    const answer = await send("POST", "/v1/compact", body({ revision: 3 }));
    assert.deepEqual(answer.document, { compact_revision: 3, revision: 4 });
    assert.equal(service.physicallyCompacted, 0);
    await send("POST", "/v1/compact", body({ revision: 4, physical: true }));
    assert.equal(service.physicallyCompacted, 4);
  });
});
