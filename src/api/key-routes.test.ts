import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { utf8 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import { asCbor, testApp } from "./app.test-support.ts";
import { keyPath } from "./percent.ts";

describe("one key", () => {
  test("is written, read, and deleted", async () => {
    const { send } = testApp();
    const put = await send("PUT", "/v1/kv/a/b", { body: "hello" });
    assert.equal(put.status, 200);
    assert.deepEqual(put.document, { revision: 2 });
    assert.equal(put.headers.get("etag"), '"2"');
    assert.equal(put.headers.get("coracle-revision"), "2");
    const got = await send("GET", "/v1/kv/a/b");
    assert.equal(got.text, "hello");
    assert.equal(got.headers.get("content-type"), "application/octet-stream");
    assert.equal(got.headers.get("etag"), '"2"');
    const gone = await send("DELETE", "/v1/kv/a/b?prev=true");
    assert.equal(gone.document.deleted, 1);
    assert.equal(gone.document.previous[0].value_base64, "aGVsbG8=");
    assert.equal((await send("GET", "/v1/kv/a/b")).status, 404);
    assert.deepEqual((await send("DELETE", "/v1/kv/a/b")).document, { revision: 3, deleted: 0 });
  });

  test("of any bytes comes back, by path and by query", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 40 }), async (key) => {
        const { service, send } = testApp();
        assert.equal((await send("PUT", keyPath(key), { body: "v" })).status, 200);
        const { body } = service.commands[0] ?? {};
        assert.ok(body?.type === "put");
        assert.deepEqual([...body.key], [...key]);
        const document = await send("GET", keyPath(key), { headers: { accept: "application/json" } });
        assert.equal(document.document.key_base64, key.toBase64());
      }),
    );
  });

  const paths: readonly (readonly [string, readonly number[]])[] = [
    ["/v1/kv/%00", [0]],
    ["/v1/kv/%ff%FE", [255, 254]],
    ["/v1/kv/a%2Fb/c", [...utf8("a/b/c")]],
    ["/v1/kv//", [...utf8("/")]],
    ["/v1/kv/a//b/", [...utf8("a//b/")]],
    ["/v1/kv/a+b", [...utf8("a+b")]],
    ["/v1/kv/%2E%2E%2Fa", [...utf8("../a")]],
    ["/v1/kv/.hidden/..x/a.b", [...utf8(".hidden/..x/a.b")]],
    ["/v1/kv/a%2F..%2Fb", [...utf8("a/../b")]],
    ["/v1/kv/ä", [...utf8("ä")]],
    ["/v1/kv/%3F%23%25", [...utf8("?#%")]],
    ["/v1/kv?key=..", [...utf8("..")]],
    ["/v1/kv?key=%2E", [...utf8(".")]],
    ["/v1/kv?key=a+b%2B", [...utf8("a b+")]],
    ["/v1/kv/?key=x", [...utf8("x")]],
  ];
  for (const [path, key] of paths) {
    test(`${path} names the bytes ${key.join(" ")}`, async () => {
      const { service, send } = testApp();
      for (const method of ["PUT", "DELETE"]) {
        assert.equal((await send(method, path, method === "PUT" ? { body: "v" } : {})).status, 200);
        const body = service.commands.at(-1)?.body;
        assert.ok(body?.type === "put" || body?.type === "delete");
        assert.deepEqual([...body.key], key);
      }
      assert.equal((await send("GET", path)).status, 404);
      assert.deepEqual([...(service.reads.at(-1)?.request.key ?? [])], key);
    });
  }

  test("holds an empty value, and one of the limit but not of a byte more", async () => {
    const { send } = testApp();
    assert.equal((await send("PUT", "/v1/kv/empty")).status, 200);
    assert.equal((await send("GET", "/v1/kv/empty")).bytes.length, 0);
    const value = crypto.getRandomValues(new Uint8Array(65_536));
    const large = new Uint8Array(limits.valueBytesMax);
    for (let offset = 0; offset < large.length; offset += value.length) large.set(value, offset);
    assert.equal((await send("PUT", "/v1/kv/large", { body: large })).status, 200);
    assert.deepEqual((await send("GET", "/v1/kv/large")).bytes, large);
    const over = await send("PUT", "/v1/kv/large", { body: new Uint8Array(limits.valueBytesMax + 1) });
    assert.equal(over.status, 413);
    assert.equal(over.document.limit, limits.valueBytesMax);
    assert.match(over.document.detail, /--value-bytes-max/);
  });

  test("answers 201 when the key is known to be new", async () => {
    const { send } = testApp();
    assert.equal((await send("PUT", "/v1/kv/a?prev=true", { body: "1" })).status, 201);
    assert.equal((await send("PUT", "/v1/kv/a?prev=true", { body: "1" })).status, 200);
    assert.equal(
      (await send("PUT", "/v1/kv/b", { body: "1", headers: { "if-none-match": "*" } })).status,
      201,
    );
  });

  test("passes lease and idempotency key on", async () => {
    const { service, send } = testApp();
    const headers = { "idempotency-key": "order-17" };
    service.leases.granted.set(77, 60);
    const first = await send("PUT", "/v1/kv/a?lease=77", { body: "1", headers });
    const again = await send("PUT", "/v1/kv/a?lease=77", { body: "1", headers });
    assert.deepEqual(again.document, first.document);
    const command = service.commands[0];
    assert.equal(command?.idempotencyKey, "order-17");
    assert.equal(command?.body.type === "put" && command.body.lease, 77);
  });
});

describe("reading", () => {
  test("gives the form that the client accepts", async () => {
    const { send } = testApp();
    await send("PUT", "/v1/kv/a", { body: new Uint8Array([255, 0]) });
    const json = await send("GET", "/v1/kv/a", { headers: { accept: "application/json" } });
    const metadata = { create_revision: 2, mod_revision: 2, version: 1, lease: 0 };
    assert.deepEqual(json.document, {
      revision: 2,
      key: "a",
      key_base64: "YQ==",
      value_base64: "/wA=",
      ...metadata,
    });
    const cbor = await send("GET", "/v1/kv/a", { headers: { accept: "application/cbor" } });
    assert.deepEqual([...cbor.document.value], [255, 0]);
    assert.deepEqual([...cbor.document.key], [97]);
    for (const accept of ["*/*", "application/*", "text/html, */*;q=0.1", "application/octet-stream"]) {
      const raw = await send("GET", "/v1/kv/a", { headers: { accept } });
      assert.equal(raw.headers.get("content-type"), "application/octet-stream", accept);
    }
    const weighed = {
      accept: "application/octet-stream;q=0.2, application/cbor;q=0.9, application/json;q=0.5",
    };
    assert.equal(
      (await send("GET", "/v1/kv/a", { headers: weighed })).headers.get("content-type"),
      "application/cbor",
    );
    const none = await send("GET", "/v1/kv/a", { headers: { accept: "text/html, */*;q=0" } });
    assert.equal(none.status, 406);
  });

  test("takes consistency, staleness and revision", async () => {
    const { service, send } = testApp();
    await send("PUT", "/v1/kv/a", { body: "1" });
    await send("PUT", "/v1/kv/a", { body: "2" });
    assert.equal((await send("GET", "/v1/kv/a?revision=2")).text, "1");
    assert.equal((await send("GET", "/v1/kv/a?revision=99")).document.code, "revision_future");
    const consistency = async (query: string) => {
      assert.equal((await send("GET", `/v1/kv/a?${query}`)).status, 200);
      return service.reads.at(-1)?.consistency;
    };
    assert.deepEqual(await consistency(""), { mode: "linearizable" });
    assert.deepEqual(await consistency("consistency=linearizable"), { mode: "linearizable" });
    assert.deepEqual(await consistency("consistency=serializable"), { mode: "serializable" });
    assert.deepEqual(await consistency("max_stale_ms=50"), { mode: "serializable", maxStaleMs: 50 });
  });

  test("HEAD is GET without the body", async () => {
    const { send } = testApp();
    await send("PUT", "/v1/kv/a", { body: "12345" });
    const head = await send("HEAD", "/v1/kv/a");
    assert.equal(head.status, 200);
    assert.equal(head.headers.get("content-length"), "5");
    assert.equal(head.headers.get("etag"), '"2"');
    assert.equal(head.bytes.length, 0);
    assert.equal((await send("HEAD", "/v1/kv/b")).status, 404);
  });
});

describe("conditions", () => {
  const at = (revision: number) => `"${revision}"`;

  test("compare and set", async () => {
    const { send } = testApp();
    await send("PUT", "/v1/kv/a", { body: "1" });
    const set = await send("PUT", "/v1/kv/a", { body: "2", headers: { "if-match": at(2) } });
    assert.equal(set.status, 200);
    assert.equal(set.headers.get("etag"), at(3));
    const late = await send("PUT", "/v1/kv/a", { body: "3", headers: { "if-match": at(2) } });
    assert.equal(late.status, 412);
    assert.equal(late.headers.get("etag"), at(3));
    assert.equal(late.document.current_revision, 3);
    const missing = await send("PUT", "/v1/kv/b", { body: "3", headers: { "if-match": "*" } });
    assert.equal(missing.status, 412);
    assert.equal(missing.headers.get("etag"), null);
    assert.equal(missing.document.current_revision, 0);
    assert.equal((await send("GET", "/v1/kv/a")).text, "2");
  });

  test("put if absent, delete if unchanged", async () => {
    const { send } = testApp();
    const absent = { "if-none-match": "*" };
    assert.equal((await send("PUT", "/v1/kv/a", { body: "1", headers: absent })).status, 201);
    assert.equal((await send("PUT", "/v1/kv/a", { body: "2", headers: absent })).status, 412);
    assert.equal((await send("DELETE", "/v1/kv/a", { headers: { "if-match": at(9) } })).status, 412);
    const gone = await send("DELETE", "/v1/kv/a", { headers: { "if-match": at(2) } });
    assert.equal(gone.status, 200);
    assert.equal(gone.document.deleted, 1);
    assert.equal((await send("PUT", "/v1/kv/a", { body: "2", headers: absent })).status, 201);
  });

  test("agree, as written and as read, with RFC 9110 on random headers and states", async () => {
    const tag = fc.record({ weak: fc.boolean(), revision: fc.integer({ min: 1, max: 4 }) });
    const tags = fc.oneof(fc.constant("*" as const), fc.array(tag, { minLength: 1, maxLength: 4 }));
    const header = fc.option(tags, { nil: undefined });
    type Tags = "*" | { weak: boolean; revision: number }[];
    const written = (list: Tags) =>
      list === "*" ? "*" : list.map(({ weak, revision }) => `${weak ? "W/" : ""}"${revision}"`).join(" , ");
    await fc.assert(
      fc.asyncProperty(header, header, fc.integer({ min: 1, max: 3 }), async (match, noneMatch, revision) => {
        const exists = revision > 1;
        const strong =
          match === "*" ? exists : match?.some((one) => !one.weak && exists && one.revision === revision);
        const weak =
          noneMatch === "*" ? exists : noneMatch?.some((one) => exists && one.revision === revision);
        const passes = strong !== false && weak !== true;
        const headers: Record<string, string> = {};
        if (match !== undefined) headers["if-match"] = written(match);
        if (noneMatch !== undefined) headers["if-none-match"] = written(noneMatch);
        const { send } = testApp();
        for (let put = 1; put < revision; put++) await send("PUT", "/v1/kv/a", { body: "old" });
        const read = await send("GET", "/v1/kv/a", { headers });
        const expected = strong === false ? 412 : weak === true ? 304 : exists ? 200 : 404;
        assert.equal(read.status, expected);
        const put = await send("PUT", "/v1/kv/a", { body: "new", headers });
        assert.equal(put.status < 300, passes);
        const value = await send("GET", "/v1/kv/a");
        assert.equal(value.text === "new", passes);
      }),
    );
  });
});

describe("redirect", () => {
  test("sends a write to the leader when asked, and only then", async () => {
    const { service, send } = testApp();
    service.cluster.leaderId = 2;
    const redirected = await send("PUT", "/v1/kv/a%2Fb?redirect=true&lease=4", { body: "x" });
    assert.equal(redirected.status, 307);
    assert.equal(
      redirected.headers.get("location"),
      "http://127.0.0.1:20002/v1/kv/a%2Fb?redirect=true&lease=4",
    );
    assert.equal(service.commands.length, 0);
    assert.equal((await send("PUT", "/v1/kv/a", { body: "x" })).status, 200);
    assert.equal((await send("PUT", "/v1/kv/a?redirect=false", { body: "x" })).status, 200);
    service.cluster.leaderId = 1;
    assert.equal((await send("DELETE", "/v1/kv/a?redirect=true")).status, 200);
  });
});

test("CBOR answers carry wide integers as integers", async () => {
  const { send } = testApp();
  const answer = await send("GET", "/v1/members", { headers: asCbor });
  assert.equal(answer.document.cluster_id, 7_000_000_000_000_000n);
  // Major type 0 with eight bytes, not a float.
  assert.ok(answer.bytes.toHex().includes("1b0018de76816d8000"));
});

test("a remembered answer that was too long to remember says so, and claims nothing it does not know", async () => {
  const { service, send } = testApp();
  const propose = service.kv.propose;
  const answer = async (result: Awaited<ReturnType<typeof propose>>, path: string, headers = {}) => {
    service.kv.propose = async () => result;
    return send("PUT", path, { body: "x", headers });
  };
  const put = { type: "put", revision: 5, abridged: true } as const;
  const repeated = await answer(put, "/v1/kv/a?prev=true");
  assert.equal(repeated.status, 200, "not known to be created");
  assert.deepEqual(repeated.document, { revision: 5, abridged: true });
  const range = { type: "range", revision: 5, keys: [], count: 1, more: false, abridged: true } as const;
  const failed = { type: "txn", revision: 5, succeeded: false, responses: [range] } as const;
  const refused = await answer(failed, "/v1/kv/a", { "if-match": '"4"' });
  assert.equal(refused.status, 412);
  assert.equal("current_revision" in refused.document, false);
  assert.equal(refused.headers.get("etag"), null);
});
