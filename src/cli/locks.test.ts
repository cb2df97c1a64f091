import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import { seededRandom } from "../base/prng.ts";
import { Elections } from "../concurrency/elections.ts";
import { Locks } from "../concurrency/locks.ts";
import { FakeClock } from "../node/fake-clock.test-support.ts";
import type { Service } from "../service/service.ts";
import { TestCluster } from "./test-cluster.test-support.ts";

/** Locks and elections over real members: log, leases and watches. */

const name = utf8("jobs");
const locksOf = ({ kv, leases, watches }: Service, clock: Clock = systemClock) =>
  new Locks({ kv, leases, watches, clock });

async function with3(body: (cluster: TestCluster) => Promise<void>): Promise<void> {
  const cluster = new TestCluster({ members: 3, options: { heartbeatMs: 20, electionMs: 200 } });
  try {
    await cluster.ready();
    await body(cluster);
  } finally {
    await cluster.close();
  }
  assert.deepEqual(cluster.fatal, []);
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const startMs = performance.now();
  while (!(await condition())) {
    assert.ok(performance.now() - startMs < 10_000, `waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function claims(service: Service): Promise<string[]> {
  const all = { type: "range", key: utf8("jobs/"), end: utf8("jobs0"), revision: 0, limit: 0 } as const;
  const { keys } = await service.kv.range(all, { mode: "serializable" });
  return keys.map(({ key }) => fromUtf8(key));
}

describe("locks over members", () => {
  test("are waited for through any member, and go on when the leader is cut off", () =>
    with3(async (cluster) => {
      const leader = cluster.leading?.id ?? 0;
      const [one, two] = cluster.members.filter(({ id }) => id !== leader);
      assert.ok(one !== undefined && two !== undefined);
      const held = await locksOf(one.service).acquire({ name, lease: 0, ttlSeconds: 60 });
      const waiting = locksOf(two.service).acquire({ name, lease: 0, ttlSeconds: 60 });
      await until(async () => (await claims(two.service)).length === 2, "the second waits");
      cluster.cut.add(leader);
      const released = locksOf(one.service).release(held.key);
      const next = await waiting;
      assert.equal((await released).released, true);
      assert.ok(next.createRevision > held.createRevision);
      assert.equal((await claims(two.service)).length, 1);
    }));

  test("are not answered by a member that is cut off, and the waiter's lease ends", async () => {
    const clock = new FakeClock();
    const cluster = new TestCluster({ members: 3, clock });
    const pass = async (ms: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 5) {
        clock.advance(5);
        for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      }
    };
    const done = async <T>(promise: Promise<T>): Promise<T> => {
      let ended = false;
      promise.then(
        () => (ended = true),
        () => (ended = true),
      );
      for (let rounds = 0; !ended && rounds < 20_000; rounds++) await pass(5);
      return promise;
    };
    try {
      await done(cluster.ready());
      const leader = cluster.leading?.id ?? 0;
      const [one, two] = cluster.members.filter(({ id }) => id !== leader);
      assert.ok(one !== undefined && two !== undefined);
      const { id: lease } = await done(two.service.leases.grant(0, 5));
      const held = await done(locksOf(one.service, clock).acquire({ name, lease: 0, ttlSeconds: 600 }));
      let answered = false;
      const waiting = locksOf(two.service, clock).acquire({ name, lease });
      waiting.then(
        () => (answered = true),
        () => {},
      );
      while ((await done(claims(one.service))).length < 2) await pass(5);
      cluster.cut.add(two.id);
      await done(locksOf(one.service, clock).release(held.key));
      // Nobody renews the waiter's lease; its end deletes its key on the side of the majority.
      while ((await done(claims(one.service))).length > 0) await pass(50);
      assert.equal(answered, false, "it could not know");
      cluster.cut.clear();
      await assert.rejects(
        done(waiting),
        (error: unknown) => error instanceof CoracleError && error.code === "lease_not_found",
      );
    } finally {
      const closed = cluster.close();
      for (let rounds = 0; rounds < 200; rounds++) await pass(5);
      await closed;
    }
  });

  test("exclude each other under contention, with cancellations and ends of leases at random", () => {
    const seed = Number(process.env.SEED ?? Math.floor(performance.now() * 1000) % 1_000_000);
    const random = seededRandom(seed);
    return with3(async (cluster) => {
      let holder: string | undefined;
      let lastFencing = 0;
      let acquired = 0;
      const work = async (at: number): Promise<void> => {
        for (let round = 0; round < 12; round++) {
          const member = cluster.members[(at + round) % 3];
          assert.ok(member !== undefined);
          const { service } = member;
          const { id: lease } = await service.leases.grant(0, 60);
          const giveUp = new AbortController();
          const fate = random.below(4);
          if (fate === 0)
            setTimeout(() => giveUp.abort(new CoracleError("lock_held", "Given up.")), random.below(20));
          if (fate === 1)
            setTimeout(() => void service.leases.revoke(lease).catch(() => {}), random.below(20));
          try {
            const claim = await locksOf(service).acquire({ name, lease, signal: giveUp.signal });
            // With a lease that may end meanwhile, only the fencing revision excludes.
            assert.ok(claim.createRevision > lastFencing || fate === 1, `fencing rises (SEED=${seed})`);
            lastFencing = Math.max(lastFencing, claim.createRevision);
            acquired++;
            if (fate !== 1) {
              const me = fromUtf8(claim.key);
              assert.equal(holder, undefined, `${me} holds it beside ${holder} (SEED=${seed})`);
              holder = me;
              await new Promise((resolve) => setTimeout(resolve, random.below(5)));
              holder = undefined;
            }
            await locksOf(service).release(claim.key);
          } catch (error) {
            const code = error instanceof CoracleError ? error.code : String(error);
            assert.ok(["lock_held", "lease_not_found"].includes(code), `${code} (SEED=${seed})`);
          } finally {
            await service.leases.revoke(lease).catch(() => {});
          }
        }
      };
      await Promise.all([0, 1, 2, 3, 4, 5].map(work));
      assert.ok(acquired > 20, `some were acquired: ${acquired}`);
      await until(
        async () => (await claims(cluster.member(1).service)).length === 0,
        "nothing is left behind",
      );
    });
  });

  test("an election goes to the next when the leader's lease ends", () =>
    with3(async (cluster) => {
      const [one, two, three] = cluster.members;
      assert.ok(one !== undefined && two !== undefined && three !== undefined);
      const on = ({ service: { kv, leases, watches } }: typeof one) =>
        new Elections({ kv, leases, watches, clock: systemClock });
      const end = new AbortController();
      const seen: string[] = [];
      const observing = (async () => {
        for await (const { leader } of on(three).observe(name, end.signal)) seen.push(fromUtf8(leader.value));
      })();
      const first = await on(one).campaign({ name, lease: 0, value: utf8("a") });
      const second = on(two).campaign({ name, lease: 0, value: utf8("b") });
      await until(() => seen.includes("a"), "the first is seen");
      await one.service.leases.revoke(first.lease);
      await second;
      await until(() => seen.includes("b"), "the second is seen");
      end.abort();
      await observing;
      assert.deepEqual(seen, ["a", "b"]);
    }));
});
