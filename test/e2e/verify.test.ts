import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { Load } from "./load.ts";
import { freePort } from "./ports.ts";
import { verify, verifyListing } from "./verify.ts";

/** A store that can forget and change what it acknowledged. */
const kept = new Map<string, Buffer>();
const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://localhost");
  const key = decodeURIComponent(url.pathname.slice("/v1/kv/".length));
  if (url.pathname === "/v1/kv") {
    const keys = [...kept]
      .sort()
      .map(([name, value]) => ({ key: name, value_base64: value.toString("base64") }));
    response.end(JSON.stringify({ more: false, keys }));
  } else if (request.method === "PUT") {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      kept.set(key, Buffer.concat(chunks));
      response.end("{}");
    });
  } else {
    const value = kept.get(key);
    response.statusCode = value === undefined ? 404 : 200;
    response.end(value ?? "{}");
  }
});
const member = { name: "fake", endpoint: "" };

before(async () => {
  const port = await freePort();
  member.endpoint = `127.0.0.1:${port}`;
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
});
after(() => server.closeAllConnections());

test("a lost and a changed value are found, by single reads and by listing", async () => {
  const names = Array.from({ length: 50 }, (_, i) => `key ${String(i).padStart(2, "0")}/ü`);
  const load = new Load({
    endpoints: [member.endpoint],
    clients: 4,
    next: () => {
      const key = names.shift();
      return key === undefined ? undefined : { key, value: Buffer.from(`value of ${key}`) };
    },
  });
  await load.done();
  assert.equal(load.acknowledged.size, 50);
  assert.equal((await verify(member, load.acknowledged, "linearizable")).wrong, 0);
  assert.equal((await verifyListing(member, "key", load.acknowledged)).wrong, 0);

  kept.delete("key 07/ü");
  kept.set("key 11/ü", Buffer.from("value of key 11/u"));
  const found = await verify(member, load.acknowledged, "linearizable");
  assert.deepEqual([found.checked, found.wrong], [50, 2]);
  assert.equal((await verify(member, load.acknowledged, "linearizable", { mayBeAbsent: true })).wrong, 1);
  assert.equal((await verifyListing(member, "key", load.acknowledged)).wrong, 2);
});

test("the longest gap is the one around the kill, and endless when nothing came after it", () => {
  const load = new Load({ endpoints: ["127.0.0.1:1"], clients: 0, next: () => undefined });
  load.acknowledgedAtMs.push(0, 5000, 5010, 5020, 5820, 5830, 9000);
  assert.equal(load.longestGapMs(5015, 6000), 3170);
  assert.equal(load.longestGapMs(5015, 5825), 800);
  assert.equal(load.longestGapMs(9001), Number.POSITIVE_INFINITY);
});
