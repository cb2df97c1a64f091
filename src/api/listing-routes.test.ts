import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { compareBytes, utf8 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import { Bench, put } from "../kv/builders.test-support.ts";
import { type TestApp, testApp } from "./app.test-support.ts";
import { encodePercent, keyPath } from "./percent.ts";

async function filled(...keys: string[]): Promise<TestApp> {
  const app = testApp();
  for (const key of keys) await app.send("PUT", keyPath(utf8(key)), { body: `value of ${key}` });
  return app;
}

async function keysOf(app: TestApp, query: string): Promise<string[]> {
  const answer = await app.send("GET", `/v1/kv${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.document.keys.map((found: { key: string }) => found.key);
}

describe("listing", () => {
  test("is by prefix, by range, or of everything, sorted by key", async () => {
    const app = await filled("b/2", "a", "b/1", "c", "b0");
    assert.deepEqual(await keysOf(app, ""), ["a", "b/1", "b/2", "b0", "c"]);
    assert.deepEqual(await keysOf(app, "?prefix=b/"), ["b/1", "b/2"]);
    assert.deepEqual(await keysOf(app, "?prefix=b%2F"), ["b/1", "b/2"]);
    assert.deepEqual(await keysOf(app, "?prefix="), ["a", "b/1", "b/2", "b0", "c"]);
    assert.deepEqual(await keysOf(app, "?start=b/2&end=c"), ["b/2", "b0"]);
    assert.deepEqual(await keysOf(app, "?start=b0"), ["b0", "c"]);
    assert.deepEqual(await keysOf(app, "?end=b"), ["a"]);
    assert.deepEqual(await keysOf(app, "?start=z&end=a"), []);
    assert.deepEqual(await keysOf(app, "?prefix=b&consistency=serializable&limit=2"), ["b/1", "b/2"]);
  });

  test("tells keys alone, or the count alone", async () => {
    const app = await filled("a", "b");
    const keysOnly = await app.send("GET", "/v1/kv?keys_only=true");
    const metadata = { create_revision: 2, mod_revision: 2, version: 1, lease: 0 };
    assert.deepEqual(keysOnly.document.keys[0], { key: "a", key_base64: "YQ==", ...metadata });
    assert.deepEqual((await app.send("GET", "/v1/kv?count_only=true&limit=1")).document, {
      revision: 3,
      count: 2,
    });
  });

  test("has no text for a key that is no UTF-8", async () => {
    const app = testApp();
    await app.send("PUT", "/v1/kv/%FF", { body: "" });
    await app.send("PUT", "/v1/kv/%EF%BB%BFa", { body: "" });
    const [bom, odd] = (await app.send("GET", "/v1/kv")).document.keys;
    assert.equal("key" in odd, false);
    assert.equal(odd.key_base64, "/w==");
    assert.equal(odd.value_base64, "");
    assert.equal(bom.key, "\ufeffa");
  });

  test("by pages shows each key once, as of one revision, whatever is written between", async () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 3 });
    const keys = fc.uniqueArray(key, {
      minLength: 1,
      maxLength: 20,
      comparator: (a, b) => compareBytes(a, b) === 0,
    });
    await fc.assert(
      fc.asyncProperty(keys, fc.integer({ min: 1, max: 5 }), fc.boolean(), async (all, limit, repeat) => {
        const app = testApp();
        for (const one of all) await app.send("PUT", keyPath(one), { body: "old" });
        const range = `start=${encodePercent(all[0] as Uint8Array)}`;
        const seen: string[] = [];
        let query = `?limit=${limit}&${range}`;
        for (;;) {
          const page = await app.send("GET", `/v1/kv${query}`);
          assert.equal(page.status, 200, page.text);
          for (const found of page.document.keys) {
            assert.equal(found.value_base64, "b2xk");
            seen.push(found.key_base64);
          }
          assert.equal(page.document.more, "cursor" in page.document);
          if (!page.document.more) break;
          await app.send("PUT", keyPath(all.at(-1) as Uint8Array), { body: "new" });
          await app.send("PUT", "/v1/kv/%80%80%80%80", { body: "new" });
          query = `?limit=${limit}&cursor=${page.document.cursor}${repeat ? `&${range}` : ""}`;
        }
        const expected = all
          .filter((one) => compareBytes(one, all[0] as Uint8Array) >= 0)
          .sort(compareBytes)
          .map((one) => one.toBase64());
        assert.deepEqual(seen, expected);
      }),
    );
  });
});

describe("a listing that would be too large", () => {
  test("goes on behind a cursor, as one behind its limit does", async () => {
    const app = testApp();
    const bench = new Bench();
    app.service.kv.range = async (request) => bench.machine.range(request);
    const value = new Uint8Array(limits.valueBytesMax);
    const names = Array.from({ length: 12 }, (_, i) => `k${10 + i}`);
    for (const name of names) bench.run({ ...put(name, ""), value });
    const seen: string[][] = [];
    let query = "?prefix=k";
    for (let more = true; more; ) {
      const { document } = await app.send("GET", `/v1/kv${query}`);
      seen.push(document.keys.map((found: { key: string }) => found.key));
      more = document.more;
      query = `?cursor=${document.cursor}`;
    }
    assert.deepEqual(seen.flat(), names);
    assert.deepEqual(
      seen.map((page) => page.length),
      [5, 5, 2],
    );
    assert.equal((await app.send("GET", "/v1/kv?keys_only=true")).document.keys.length, names.length);
    assert.equal((await app.send("GET", "/v1/kv?count_only=true")).document.count, names.length);
  });

  test("of keys alone does so too", async () => {
    const app = testApp();
    const bench = new Bench();
    app.service.kv.range = async (request) => bench.machine.range(request);
    const total = 300;
    const long = "k".repeat(limits.keyBytesMax - 4);
    bench.commands(...Array.from({ length: total }, (_, i) => ({ body: put(`${1000 + i}${long}`, "") })));
    const first = (await app.send("GET", "/v1/kv?keys_only=true&limit=1000")).document;
    assert.equal(first.more, true);
    const second = (await app.send("GET", `/v1/kv?keys_only=true&limit=1000&cursor=${first.cursor}`))
      .document;
    assert.equal(first.keys.length + second.keys.length, total);
    assert.equal(second.more, false);
  });
});

describe("deleting many", () => {
  test("is by prefix, by range, or of everything by name", async () => {
    const app = await filled("a/1", "a/2", "b", "c", "d");
    const prefix = await app.send("DELETE", "/v1/kv?prefix=a/&prev=true");
    assert.equal(prefix.document.deleted, 2);
    assert.deepEqual(
      prefix.document.previous.map((found: { key: string }) => found.key),
      ["a/1", "a/2"],
    );
    assert.equal((await app.send("DELETE", "/v1/kv?start=c&end=d")).document.deleted, 1);
    assert.deepEqual(await keysOf(app, ""), ["b", "d"]);
    assert.equal((await app.send("DELETE", "/v1/kv?all=true")).document.deleted, 2);
    assert.deepEqual(await keysOf(app, ""), []);
  });
});
