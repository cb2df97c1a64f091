// Checks of the npm package etcd3 (gRPC). Arguments: endpoints. See script-client.ts for what it prints.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { Etcd3 } from "etcd3";

const hosts = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function ask(what) {
  console.log(JSON.stringify({ ask: what }));
  await lines.next();
}

async function until(what, condition, timeoutMs = 20_000) {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await pause(20);
  }
}

async function check(name, run) {
  const client = new Etcd3({ hosts });
  try {
    await run(client.namespace(`${name}/`), client);
    console.log(JSON.stringify({ check: name, ok: true }));
  } catch (error) {
    console.log(
      JSON.stringify({ check: name, ok: false, error: String(error?.message ?? error).slice(0, 400) }),
    );
  } finally {
    client.close();
  }
}

await check("keys", async (ns) => {
  await ns.put("a").value("1");
  assert.equal(await ns.get("a").string(), "1");
  assert.equal(await ns.get("none").string(), null);
  await ns.put("b").value(Buffer.from([0, 255, 1]));
  assert.deepEqual(await ns.get("b").buffer(), Buffer.from([0, 255, 1]));
  assert.deepEqual(await ns.getAll().keys(), ["a", "b"]);
  assert.equal(
    await ns
      .getAll()
      .sort("Key", "Descend")
      .limit(1)
      .keys()
      .then((keys) => keys[0]),
    "b",
  );
  assert.equal(await ns.getAll().count(), 2);
  assert.equal(await ns.get("a").exists(), true);
  const { header } = await ns.get("a").exec();
  await ns.put("a").value("2");
  assert.equal(await ns.get("a").revision(header.revision).string(), "1");
  const deleted = await ns.delete().all().getPrevious();
  assert.equal(deleted.length, 2);
  await assert.rejects(ns.put("a").value("x").ignoreValue?.() ?? ns.put("x").lease("123456").value("1"));
});

await check("transactions", async (ns) => {
  await ns.put("k").value("1");
  const run = () => ns.if("k", "Value", "==", "1").then(ns.put("k").value("2")).else(ns.get("k")).commit();
  assert.equal((await run()).succeeded, true);
  const second = await run();
  assert.equal(second.succeeded, false);
  assert.equal(second.responses[0].response_range.kvs[0].value.toString(), "2");
  const missing = await ns.if("none", "Version", "==", 0).then(ns.put("none").value("x")).commit();
  assert.equal(missing.succeeded, true);
});

await check("software transactions under contention", async (ns) => {
  await ns.put("sum").value("0");
  const add = () =>
    ns.stm({ retries: 100 }).transact(async (tx) => {
      await tx.put("sum").value(String(Number(await tx.get("sum").number()) + 1));
    });
  await Promise.all(Array.from({ length: 12 }, add));
  assert.equal(await ns.get("sum").number(), 12);
  const isolated = ns.stm({ isolation: 0 }).transact(async (tx) => {
    const value = await tx.get("sum").number();
    await tx.delete().key("sum");
    return value;
  });
  assert.equal(await isolated, 12);
  assert.equal(await ns.get("sum").string(), null);
});

await check("leases", async (ns) => {
  const lease = ns.lease(5);
  await lease.put("a").value("1");
  assert.ok(Number((await lease.keepaliveOnce()).TTL) >= 4);
  assert.equal(await ns.get("a").string(), "1");
  await lease.revoke();
  assert.equal(await ns.get("a").string(), null);
  const dying = ns.lease(2, { autoKeepAlive: false });
  await dying.put("b").value("1");
  await until("the end of the lease", async () => (await ns.get("b").string()) === null);
  const kept = ns.lease(2);
  await kept.put("c").value("1");
  await pause(4_000);
  assert.equal(await ns.get("c").string(), "1", "kept alive by the client");
  await kept.revoke();
});

await check("locks under contention", async (ns) => {
  let inside = 0;
  let most = 0;
  let done = 0;
  const work = async () => {
    for (;;) {
      try {
        await ns
          .lock("l")
          .ttl(10)
          .do(async () => {
            inside++;
            most = Math.max(most, inside);
            await pause(10);
            inside--;
            done++;
          });
        return;
      } catch (error) {
        if (!/lock/i.test(String(error?.constructor?.name))) throw error;
        await pause(10);
      }
    }
  };
  await Promise.all(Array.from({ length: 10 }, work));
  assert.equal(most, 1, "one holder at a time");
  assert.equal(done, 10);
});

await check("elections", async (ns) => {
  const other = new Etcd3({ hosts });
  try {
    const one = ns.election("e", 5);
    const two = other.namespace("elections/").election("e", 5);
    const seen = [];
    const observer = await one.observe();
    observer.on("change", (value) => seen.push(value));
    const first = one.campaign("one");
    await until("the first leader", async () => (await one.leader()) === "one");
    const second = two.campaign("two");
    second.on("error", () => {});
    first.on("error", () => {});
    await pause(200);
    assert.equal(await two.leader(), "one");
    await first.proclaim("uno");
    await until("what was proclaimed", async () => (await two.leader()) === "uno");
    await first.resign();
    await until("the second leader", async () => (await one.leader()) === "two");
    await until("the observer's view", async () => seen.at(-1) === "two");
    await second.resign();
    await observer.cancel();
  } finally {
    other.close();
  }
});

await check("watch", async (ns) => {
  const watcher = await ns.watch().prefix("w").withPreviousKV().create();
  const events = [];
  watcher.on("put", (kv, previous) => events.push(`put ${kv.key} ${kv.value} ${previous?.value ?? ""}`));
  watcher.on("delete", (kv, previous) => events.push(`del ${kv.key} ${previous?.value ?? ""}`));
  await ns.put("wa").value("1");
  await ns.put("wa").value("2");
  await ns.put("other").value("x");
  await ns.delete().key("wa");
  await until("three events", () => events.length >= 3);
  assert.deepEqual(events, ["put wa 1 ", "put wa 2 1", "del wa 2"]);
  await watcher.cancel();
});

await check("watch through the death of the leader", async (ns) => {
  const watcher = await ns.watch().prefix("").create();
  const seen = [];
  watcher.on("put", (kv) => seen.push(kv.value.toString()));
  // Sends one put until it is acknowledged; each value is one.
  const put = async (value) => {
    await until(
      `put ${value}`,
      () =>
        ns
          .put("k")
          .value(value)
          .then(
            () => true,
            () => false,
          ),
      30_000,
    );
  };
  for (let i = 0; i < 20; i++) await put(`before-${i}`);
  await ask("kill-leader");
  for (let i = 0; i < 20; i++) await put(`after-${i}`);
  await until("the last event", () => seen.includes("after-19"), 30_000);
  // A put whose answer was lost may have happened twice, at two revisions; order holds all the same.
  const order = seen.filter((value, at) => value !== seen[at - 1]);
  const expected = [...Array(20).keys()].map((i) => `before-${i}`);
  expected.push(...[...Array(20).keys()].map((i) => `after-${i}`));
  assert.deepEqual(order, expected);
  await ask("restart");
  await watcher.cancel();
});

await check("members and maintenance", async (_ns, client) => {
  const { members } = await client.cluster.memberList({});
  assert.equal(members.length, 3);
  const status = await client.maintenance.status();
  assert.match(status.version, /^\d+\.\d+\.\d+$/);
  assert.ok(Number(status.raftTerm) > 0);
});

process.exit(0);
