import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encode } from "cbor-x/index-no-eval";
import { asCbor, asJson, testApp } from "./app.test-support.ts";

const txn = (body: unknown) => ({ headers: asJson, body: JSON.stringify(body) });

describe("a transaction", () => {
  test("runs the branch that its comparisons choose", async () => {
    const { service, send } = testApp();
    service.leases.granted.set(7, 60);
    const claim = txn({
      compare: [{ key: "lock", version: 0 }],
      success: [
        { type: "put", key: "lock", value: "me" },
        { type: "put", key_base64: "/w==", value_base64: "AAE=", lease: 7 },
      ],
      failure: [{ type: "range", key: "lock" }],
    });
    const won = await send("POST", "/v1/txn", claim);
    assert.equal(won.status, 200);
    assert.deepEqual(won.document, {
      revision: 2,
      succeeded: true,
      responses: [
        { type: "put", revision: 2 },
        { type: "put", revision: 2 },
      ],
    });
    assert.equal(won.headers.get("coracle-revision"), "2");
    const lost = await send("POST", "/v1/txn", claim);
    assert.equal(lost.document.succeeded, false);
    const [found] = lost.document.responses;
    assert.equal(found.type, "range");
    assert.equal(found.count, 1);
    assert.equal(found.keys[0].value_base64, "bWU=");
    assert.deepEqual([...(await send("GET", "/v1/kv/%FF")).bytes], [0, 1]);
  });

  test("may be nested, and answers each operation in its form", async () => {
    const { send } = testApp();
    await send("PUT", "/v1/kv/b", { body: "1" });
    const inner = {
      type: "txn",
      compare: [{ key: "a", value: "1", result: "not_equal" }],
      failure: [{ type: "delete", key: "b", prev: true }],
    };
    const answer = await send(
      "POST",
      "/v1/txn",
      txn({
        success: [
          { type: "put", key: "a", value: "1" },
          { type: "range", prefix: "a", keys_only: true },
          { type: "range", start: "a", count_only: true },
          inner,
        ],
      }),
    );
    const [put, keysOnly, countOnly, nested] = answer.document.responses;
    assert.equal(put.type, "put");
    assert.equal("value_base64" in keysOnly.keys[0], false);
    assert.deepEqual([countOnly.count, "keys" in countOnly], [2, false]);
    assert.equal(nested.succeeded, false);
    assert.equal(nested.responses[0].deleted, 1);
    assert.equal(nested.responses[0].previous[0].value_base64, "MQ==");
  });

  test("is the same in CBOR, with bytes as bytes", async () => {
    const { service, send } = testApp();
    service.leases.granted.set(2 ** 40, 60);
    const body = encode({
      compare: [{ key: new Uint8Array([255]), mod_revision: 2n ** 40n, result: "less" }],
      success: [
        { type: "put", key: new Uint8Array([255]), value: new Uint8Array([0, 255]), lease: 2 ** 40 },
        { type: "range", key: new Uint8Array([255]) },
      ],
    });
    const answer = await send("POST", "/v1/txn", { headers: asCbor, body: Uint8Array.from(body) });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers.get("content-type"), "application/cbor");
    assert.deepEqual([...answer.document.responses[1].keys[0].value], [0, 255]);
    const command = service.commands[0]?.body;
    assert.ok(command?.type === "txn");
    assert.equal(command.compare[0]?.operand, 2 ** 40);
    const put = command.success[0];
    assert.equal(put?.type === "put" && put.lease, 2 ** 40);
  });

  test("becomes the command of the state machine, whole", async () => {
    const { service, send } = testApp();
    const sort = { target: "mod", descending: true };
    await send("POST", "/v1/txn", {
      ...txn({
        compare: [{ prefix: "p", create_revision: 5, result: "greater" }],
        success: [
          { type: "delete", start: "a", end: "c" },
          { type: "delete", all: true },
        ],
        failure: [
          { type: "put", key: "k", keep_value: true, keep_lease: true },
          { type: "range", prefix: "", revision: 1, limit: 3, sort },
        ],
      }),
      headers: { ...asJson, "idempotency-key": "k1" },
    });
    const byte = (text: string) => new TextEncoder().encode(text);
    const empty = new Uint8Array(0);
    assert.deepEqual(service.commands[0], {
      idempotencyKey: "k1",
      body: {
        type: "txn",
        compare: [{ key: byte("p"), end: byte("q"), target: "create", result: "greater", operand: 5 }],
        success: [
          { type: "delete", key: byte("a"), end: byte("c"), previous: false },
          { type: "delete", key: new Uint8Array(1), end: null, previous: false },
        ],
        failure: [
          {
            type: "put",
            key: byte("k"),
            value: empty,
            lease: 0,
            previous: false,
            keepValue: true,
            keepLease: true,
          },
          { type: "range", key: new Uint8Array(1), end: null, revision: 1, limit: 3, sort },
        ],
      },
    });
  });
});
