import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeService } from "../api/fake-service.test-support.ts";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import type { LeaseId } from "../kv/types.ts";
import { claimKeyOf, standing } from "./claim.ts";
import { Elections } from "./elections.ts";
import { hold } from "./holding.ts";
import { Locks } from "./locks.ts";

const name = utf8("jobs");

function world() {
  const service = new FakeService();
  const deps = {
    kv: service.kv,
    leases: service.leases,
    watches: service.watches,
    clock: systemClock,
  };
  const lease = (id: LeaseId): LeaseId => {
    service.leases.granted.set(id, 60);
    return id;
  };
  const keys = async (): Promise<string[]> => {
    const all = { type: "range", key: utf8("jobs/"), end: utf8("jobs0"), revision: 0, limit: 0 } as const;
    return (await service.kv.range(all, { mode: "linearizable" })).keys.map(({ key }) => fromUtf8(key));
  };
  return { service, deps, lease, keys, locks: new Locks(deps), elections: new Elections(deps) };
}

/** Runs what is waiting in the event loop until the condition holds. */
async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const startMs = performance.now();
  while (performance.now() - startMs < 20_000) {
    if (await condition()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.fail(`waited in vain: ${what}`);
}

/** A stranger's put: without a lease. */
async function strange(service: FakeService, key: string): Promise<void> {
  const put = { type: "put", key: utf8(key), value: utf8(""), lease: 0, previous: false } as const;
  await service.kv.propose({ body: put });
}

const coded = (code: string) => (error: unknown) => error instanceof CoracleError && error.code === code;

describe("a lock", () => {
  test("is free: the claim's key, its revision, the lease", async () => {
    const { locks, lease } = world();
    const claim = await locks.acquire({ name, lease: lease(0x1da3) });
    assert.equal(fromUtf8(claim.key), "jobs/1da3");
    assert.equal(claim.createRevision, 2);
    assert.equal(claim.revision, 2);
    assert.equal(claim.ttlSeconds, undefined);
  });

  test("is given in the order of asking, each waiter woken by its predecessor alone", async () => {
    const { service, locks, lease } = world();
    const order: LeaseId[] = [];
    const first = await locks.acquire({ name, lease: lease(1) });
    const waiting = [2, 3, 4].map(async (id) => {
      lease(id);
      await until(() => service.revision === id, "its turn to ask");
      const claim = await locks.acquire({ name, lease: id });
      order.push(id);
      await locks.release(claim.key);
    });
    await until(() => service.watches.active.size === 6, "three waiters with two watches each");
    const opened = service.watches.opened;
    await locks.release(first.key);
    await Promise.all(waiting);
    assert.deepEqual(order, [2, 3, 4]);
    assert.equal(service.watches.opened, opened, "nobody looked twice");
    assert.equal(service.watches.active.size, 0);
  });

  test("whose key a stranger wrote without its lease is not held when the lease has ended", async () => {
    const { service, deps, locks, lease } = world();
    const strange = async (id: number): Promise<void> => {
      const put = {
        type: "put",
        key: claimKeyOf(name, id),
        value: utf8(""),
        lease: 0,
        previous: false,
      } as const;
      await service.kv.propose({ body: put });
    };
    const held = await locks.acquire({ name, lease: lease(1) });
    await strange(1);
    const again = await locks.acquire({ name, lease: 1 });
    assert.ok(again.createRevision > held.createRevision, "at the end of the queue");
    assert.equal((await locks.holder(name)).holder?.lease, 1, "it hangs on the lease again");

    const waiting = locks.acquire({ name, lease: lease(2) });
    await until(() => service.watches.active.size === 2, "a waiter");
    await strange(2);
    await deps.leases.revoke(2);
    await locks.release(held.key);
    await assert.rejects(waiting, coded("lease_not_found"));
  });

  test("passes by the keys of strangers, which hang on no lease and name none that lives", async () => {
    const { service, locks, lease, keys } = world();
    await strange(service, "jobs/readme");
    await strange(service, "jobs/77");
    const held = await locks.acquire({ name, lease: lease(1), waitMs: 0 });
    assert.equal((await locks.holder(name)).holder?.lease, 1);
    await assert.rejects(locks.acquire({ name, lease: lease(2), waitMs: 0 }), coded("lock_held"));
    assert.deepEqual(await keys(), ["jobs/1", "jobs/77", "jobs/readme"]);
    const next = locks.acquire({ name, lease: 2 });
    await until(() => service.watches.active.size === 2, "the next waits");
    await locks.release(held.key);
    assert.equal((await next).lease, 2);
  });

  test("waits behind more strangers than are looked through", async () => {
    const { service, locks, lease } = world();
    for (let at = 0; at < 129; at++) await strange(service, `jobs/x${at}`);
    await assert.rejects(locks.acquire({ name, lease: lease(1), waitMs: 5 }), coded("lock_held"));
    assert.equal(fromUtf8((await locks.holder(name)).holder?.key ?? utf8("")), "jobs/x0");
  });

  test("whose key was taken off its lease is taken for held until that lease ends", async () => {
    const { service, locks, lease } = world();
    await locks.acquire({ name, lease: lease(1) });
    let given = false;
    const next = locks.acquire({ name, lease: lease(2) }).then((claim) => {
      given = true;
      return claim;
    });
    await until(() => service.watches.active.size === 2, "the next waits");
    service.leases.granted.set(1, 0.5);
    await strange(service, "jobs/1");
    await until(() => service.watches.opened > 2, "it looks again");
    assert.equal((await locks.holder(name)).holder?.createRevision, 2);
    assert.equal(given, false);
    service.leases.expire(1);
    assert.equal((await next).lease, 2);
    assert.equal((await locks.holder(name)).holder?.lease, 2);
    // The name's lease is there again: its claim must not come before the one that passed its key by.
    lease(1);
    await assert.rejects(locks.acquire({ name, lease: 1, waitMs: 5 }), coded("lock_held"));
  });

  test("of a waiter that leaves goes on to the next", async () => {
    const { service, locks, lease, keys } = world();
    const first = await locks.acquire({ name, lease: lease(1) });
    const leaving = new AbortController();
    const second = locks.acquire({ name, lease: lease(2), signal: leaving.signal });
    await until(() => service.watches.active.size === 2, "the second waits");
    const third = locks.acquire({ name, lease: lease(3) });
    await until(() => service.watches.active.size === 4, "the third waits");
    leaving.abort(new Error("gone"));
    await assert.rejects(second, /gone/);
    assert.deepEqual(await keys(), ["jobs/1", "jobs/3"]);
    await locks.release(first.key);
    assert.equal((await third).lease, 3);
  });

  test("not free in time: the place is given up", async () => {
    const { locks, lease, keys } = world();
    await locks.acquire({ name, lease: lease(1) });
    await assert.rejects(locks.acquire({ name, lease: lease(2), waitMs: 5 }), coded("lock_held"));
    assert.deepEqual(await keys(), ["jobs/1"]);
  });

  test("asked for without waiting leaves no trace when it is held", async () => {
    const { service, locks, lease, keys } = world();
    await locks.acquire({ name, lease: lease(1) });
    const { revision } = service;
    await assert.rejects(locks.acquire({ name, lease: lease(2), waitMs: 0 }), coded("lock_held"));
    assert.equal(service.revision, revision);
    assert.equal((await locks.acquire({ name, lease: 1, waitMs: 0 })).createRevision, 2, "it is ours");
    await locks.release(claimKeyOf(name, 1));
    assert.equal((await locks.acquire({ name, lease: 2, waitMs: 0 })).lease, 2);
    assert.deepEqual(await keys(), ["jobs/2"]);
  });

  test("of a lease that ends while it waits is never answered", async () => {
    const { service, locks, lease } = world();
    await locks.acquire({ name, lease: lease(1) });
    const second = locks.acquire({ name, lease: lease(2) });
    await until(() => service.watches.active.size === 2, "it waits");
    service.leases.expire(2);
    await assert.rejects(second, coded("lease_not_found"));
  });

  test("of a lease that ends together with the holder's is never answered", async () => {
    const { service, locks, lease, keys } = world();
    await locks.acquire({ name, lease: lease(1) });
    const second = locks.acquire({ name, lease: lease(2) });
    await until(() => service.watches.active.size === 2, "it waits");
    service.leases.expire(1);
    service.leases.expire(2);
    await assert.rejects(second, coded("lease_not_found"));
    assert.deepEqual(await keys(), []);
  });

  test("whose waiting key is deleted joins the queue again", async () => {
    const { service, locks, lease } = world();
    const first = await locks.acquire({ name, lease: lease(1) });
    const second = locks.acquire({ name, lease: lease(2) });
    await until(() => service.watches.active.size === 2, "it waits");
    await locks.release(claimKeyOf(name, 2));
    await until(() => service.revision === 5, "it is there again");
    await locks.release(first.key);
    assert.equal((await second).createRevision, 5);
  });

  test("survives a watch that is compacted, refused or ended", async () => {
    const { service, locks, lease } = world();
    const first = await locks.acquire({ name, lease: lease(1) });
    const second = locks.acquire({ name, lease: lease(2) });
    await until(() => service.watches.active.size === 2, "it waits");
    service.watches.endAll(new CoracleError("revision_compacted", "Compacted."));
    await until(() => service.watches.active.size === 2, "it watches again");
    service.watches.failWith = new CoracleError("not_proposed", "Not now.");
    service.watches.endAll(new CoracleError("revision_compacted", "Compacted."));
    await locks.release(first.key);
    service.failWith = new CoracleError("no_leader", "No leader.");
    assert.equal((await second).lease, 2);
  });

  test("ends its wait when the member stops, and leaves the claim to a repetition elsewhere", async () => {
    const { service, locks, lease, keys } = world();
    await locks.acquire({ name, lease: lease(1) });
    const second = locks.acquire({ name, lease: lease(2) });
    await until(() => service.watches.active.size === 2, "it waits");
    service.watches.endAll(new CoracleError("shutting_down", "Stopping."));
    await assert.rejects(second, coded("shutting_down"));
    assert.deepEqual(await keys(), ["jobs/1", "jobs/2"]);
  });

  test("whose request is repeated is not taken away by the abort of the first request", async () => {
    const { service, locks, lease, keys } = world();
    const holder = await locks.acquire({ name, lease: lease(1) });
    const broken = new AbortController();
    const first = locks.acquire({ name, lease: lease(2), takeOver: true, signal: broken.signal });
    await until(() => service.watches.active.size === 2, "it waits");
    const again = locks.acquire({ name, lease: 2, takeOver: true });
    await until(() => service.watches.active.size === 4, "both wait");
    broken.abort(new Error("gone"));
    await assert.rejects(first, /gone/);
    assert.deepEqual(await keys(), ["jobs/1", "jobs/2"]);
    await locks.release(holder.key);
    assert.equal((await again).createRevision, 3);
  });

  test("withdraws its key later when it cannot do so now", async () => {
    const { service, locks, lease, keys } = world();
    await locks.acquire({ name, lease: lease(1) });
    const leaving = new AbortController();
    const second = locks.acquire({ name, lease: lease(2), signal: leaving.signal });
    await until(() => service.watches.active.size === 2, "it waits");
    service.failWith = new CoracleError("no_leader", "No leader.");
    leaving.abort(new Error("gone"));
    await assert.rejects(second, /gone/);
    await until(async () => (await keys()).length === 1, "it is withdrawn");
    assert.deepEqual(await keys(), ["jobs/1"]);
  });

  test("whose claim has an unknown outcome is claimed again", async () => {
    const { service, locks, lease } = world();
    const { propose } = service.kv;
    let lost = 2;
    service.kv.propose = async (command) => {
      const result = await propose(command);
      if (lost-- > 0) throw new CoracleError("outcome_unknown", "Lost.");
      return result;
    };
    const claim = await locks.acquire({ name, lease: lease(1) });
    assert.equal(claim.createRevision, 2);
  });
});

describe("a lease granted for a claim", () => {
  test("is told, kept alive while the claim waits, and revoked when it is given up", async () => {
    const { service, locks, lease, keys } = world();
    await locks.acquire({ name, lease: lease(1) });
    const leaving = new AbortController();
    const second = locks.acquire({ name, lease: 0, ttlSeconds: 0.03, signal: leaving.signal });
    await until(() => service.leases.renewals.length >= 2, "renewals");
    assert.deepEqual(await keys(), ["jobs/1", "jobs/3e9"]);
    leaving.abort(new Error("gone"));
    await assert.rejects(second, /gone/);
    assert.deepEqual([...service.leases.granted.keys()], [1]);
    assert.deepEqual(await keys(), ["jobs/1"]);
  });

  test("has 60 s unless told otherwise", async () => {
    const { locks } = world();
    const claim = await locks.acquire({ name, lease: 0 });
    assert.equal(claim.ttlSeconds, 60);
    assert.equal(claim.lease, 1001);
  });
});

describe("a claim held for a client", () => {
  test("tells of renewals, and of the end of the lease", async () => {
    const { service, deps, locks } = world();
    const claim = await locks.acquire({ name, lease: 0 });
    service.leases.granted.set(claim.lease, 0.01);
    const told: number[] = [];
    const end = new AbortController();
    await assert.rejects(async () => {
      for await (const ttl of hold(deps, claim, end.signal)) {
        told.push(ttl);
        if (told.length === 3) service.leases.expire(claim.lease);
      }
    }, CoracleError);
    assert.deepEqual(told.slice(0, 3), [0.01, 0.01, 0.01]);
    assert.equal(service.watches.active.size, 0);
  });

  test("is lost when somebody deletes its key", async () => {
    const { service, deps, locks, lease } = world();
    const claim = await locks.acquire({ name, lease: lease(1) });
    const holding = hold(deps, claim, new AbortController().signal);
    await holding.next();
    const lost = holding.next();
    await locks.release(claim.key);
    await assert.rejects(lost, coded("not_found"));
    assert.equal(service.watches.active.size, 0);
  });

  test("is lost when somebody writes its key without the lease", async () => {
    const { service, deps, locks, lease } = world();
    const claim = await locks.acquire({ name, lease: lease(1) });
    const holding = hold(deps, claim, new AbortController().signal);
    await holding.next();
    const lost = holding.next();
    await strange(service, "jobs/1");
    await assert.rejects(lost, coded("not_found"));
  });

  test("ends quietly with its signal", async () => {
    const { service, deps, locks, lease } = world();
    const claim = await locks.acquire({ name, lease: lease(1) });
    const end = new AbortController();
    const holding = hold(deps, claim, end.signal);
    await holding.next();
    const next = holding.next();
    end.abort();
    assert.equal((await next).done, true);
    assert.equal(service.watches.active.size, 0);
  });
});

describe("an election", () => {
  const value = (text: string) => ({ name, value: utf8(text) });

  test("campaign, proclaim, leader, resign", async () => {
    const { elections, lease } = world();
    assert.equal((await elections.leader(name)).leader, undefined);
    const claim = await elections.campaign({ ...value("a"), lease: lease(1) });
    assert.equal(fromUtf8((await elections.leader(name)).leader?.value ?? utf8("")), "a");
    assert.deepEqual(await elections.proclaim(claim, utf8("b")), { revision: 3 });
    const { leader } = await elections.leader(name);
    assert.equal(fromUtf8(leader?.value ?? utf8("")), "b");
    assert.equal(leader?.createRevision, claim.createRevision);
    assert.deepEqual(await elections.resign(claim), { revision: 4, resigned: true });
    assert.deepEqual(await elections.resign(claim), { revision: 4, resigned: false });
    assert.equal(await elections.proclaim(claim, utf8("c")), undefined);
  });

  test("a campaign repeated takes on the new value, and keeps its place", async () => {
    const { service, elections, lease } = world();
    const claim = await elections.campaign({ ...value("a"), lease: lease(1) });
    const same = await elections.campaign({ ...value("a"), lease: 1 });
    assert.equal(service.revision, 2, "the same value costs nothing, as in etcd");
    const other = await elections.campaign({ ...value("b"), lease: 1 });
    assert.equal(same.createRevision, claim.createRevision);
    assert.equal(other.createRevision, claim.createRevision);
    assert.equal(fromUtf8((await elections.leader(name)).leader?.value ?? utf8("")), "b");
  });

  test("observed: none yet, the first, what it proclaims, the next", async () => {
    const { service, elections, lease } = world();
    const end = new AbortController();
    const seen: string[] = [];
    const observing = (async () => {
      for await (const { leader } of elections.observe(name, end.signal)) seen.push(fromUtf8(leader.value));
    })();
    await until(() => service.watches.active.size === 1, "it watches");
    const first = await elections.campaign({ ...value("a"), lease: lease(1) });
    await until(() => seen.length === 1, "the first");
    await elections.proclaim(first, utf8("a2"));
    await until(() => seen.length === 2, "its proclamation");
    const second = elections.campaign({ ...value("b"), lease: lease(2) });
    await until(() => service.watches.active.size === 3, "the second waits");
    await elections.resign(first);
    await second;
    await until(() => seen.length === 3, "the second");
    service.watches.endAll(new CoracleError("revision_compacted", "Compacted."));
    await until(() => service.watches.active.size === 1, "it watches again");
    await elections.proclaim(await second, utf8("b2"));
    await until(() => seen.length === 4, "after a break");
    end.abort();
    await observing;
    assert.deepEqual(seen, ["a", "a2", "b", "b2"]);
    assert.equal(service.watches.active.size, 0);
  });

  test("observed through a member that stops ends with its reason", async () => {
    const { service, elections, lease } = world();
    await elections.campaign({ ...value("a"), lease: lease(1) });
    const observer = elections.observe(name, new AbortController().signal)[Symbol.asyncIterator]();
    await observer.next();
    const next = observer.next();
    await until(() => service.watches.active.size === 1, "it watches");
    service.watches.endAll(new CoracleError("shutting_down", "Stopping."));
    await assert.rejects(next, coded("shutting_down"));
  });
});

describe("the place of a claim", () => {
  const key = (text: string, createRevision: number) => ({
    key: utf8(text),
    value: utf8(""),
    createRevision,
    modRevision: createRevision,
    version: 1,
    lease: 0,
  });

  test("is decided by age, then by key", () => {
    const mine = key("jobs/2", 7);
    assert.equal(standing([mine], mine), "first");
    assert.equal(standing([key("jobs/3", 7), mine], mine), "first");
    assert.equal(standing([], mine), "gone");
    assert.equal(standing([key("jobs/2", 6)], mine), "gone", "another life of the key");
    const before = standing([key("jobs/3", 7), mine, key("jobs/1", 7), key("jobs/9", 3)], mine);
    assert.ok(typeof before === "object");
    assert.equal(fromUtf8(before.before.key), "jobs/1");
  });

  test("keys of negative and long leases are etcd's", () => {
    assert.equal(fromUtf8(claimKeyOf(utf8("a"), 2n ** 63n - 1n)), "a/7fffffffffffffff");
    assert.equal(fromUtf8(claimKeyOf(utf8("a"), -255)), "a/-ff");
  });
});
