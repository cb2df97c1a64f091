import assert from "node:assert/strict";
import { test } from "node:test";
import { Entrance } from "./entrance.ts";

const get = (path: string): Request => new Request(`http://127.0.0.1:2379${path}`);
const served = (): Response => new Response("served");

test("a request that comes while the member starts is answered when it serves", async () => {
  const entrance = new Entrance(60_000);
  const early = entrance.answer(get("/v1/kv/a"));
  entrance.open(served);
  assert.equal(await (await early).text(), "served");
  assert.equal(await (await entrance.answer(get("/v1/kv/a"))).text(), "served");
});

test("a start that takes longer than a request waits is told", async () => {
  const { status, headers } = await new Entrance(1).answer(get("/v1/kv/a"));
  assert.equal(status, 503);
  assert.equal(headers.get("retry-after"), "1");
  assert.equal((await new Entrance(1).answer(get("/v3/kv/range"))).status, 503);
});

test("a member that stops while it starts lets nobody wait", async () => {
  const entrance = new Entrance(60_000);
  const early = [entrance.answer(get("/v1/kv/a")), entrance.answer(get("/v3/kv/range"))];
  entrance.giveUp();
  for (const answer of await Promise.all(early)) {
    assert.equal(answer.status, 503);
    assert.match(await answer.text(), /shutting_down|stopped/);
  }
});

test("what a client has given up is not done when the member serves", async () => {
  const entrance = new Entrance(60_000);
  const leaving = new AbortController();
  const request = new Request("http://127.0.0.1:2379/v1/kv/a", { signal: leaving.signal });
  const early = entrance.answer(request);
  leaving.abort();
  entrance.open(served);
  assert.equal((await early).status, 503);
});

test("how the member does is told at once", async () => {
  const entrance = new Entrance(60_000);
  assert.equal(await (await entrance.answer(get("/livez"))).text(), "ok\n");
  assert.equal((await entrance.answer(get("/readyz"))).status, 503);
});
