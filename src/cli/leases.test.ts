import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import type { Command, LeaseId } from "../kv/types.ts";
import { FakeClock } from "../node/fake-clock.test-support.ts";
import { TestCluster, type TestMember } from "./test-cluster.test-support.ts";

const put = (key: string, lease: LeaseId): Command => ({
  body: { type: "put", key: utf8(key), value: utf8("1"), lease, previous: false },
});

/** Three members on a clock that moves only as the test says. */
class World {
  readonly clock = new FakeClock();
  readonly cluster = new TestCluster({
    members: 3,
    clock: this.clock,
    options: { heartbeatMs: 100, electionMs: 1000 },
  });

  async pass(milliseconds: number): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += 5) {
      this.clock.advance(5);
      for (let at = 0; at < 20; at++) await Promise.resolve();
    }
  }

  async until(what: string, condition: () => boolean, limitMs = 30_000): Promise<void> {
    for (let passed = 0; passed < limitMs; passed += 5) {
      if (condition()) return;
      await this.pass(5);
    }
    assert.fail(`not reached: ${what}; ${this.cluster.fatal.map(String).join()}`);
  }

  async end<T>(promise: Promise<T>): Promise<T> {
    let ended = false;
    const note = (): void => {
      ended = true;
    };
    promise.then(note, note);
    await this.until("an answer", () => ended);
    return promise;
  }

  async leader(): Promise<TestMember> {
    const found = (): TestMember | undefined => {
      const { leading } = this.cluster;
      return leading?.service.cluster.readiness().ready === true ? leading : undefined;
    };
    await this.until("a leader", () => found() !== undefined);
    const leader = found();
    assert.ok(leader !== undefined);
    return leader;
  }

  followers(leader: TestMember): TestMember[] {
    return this.cluster.members.filter((member) => member !== leader && !this.cluster.cut.has(member.id));
  }

  async close(): Promise<void> {
    const closing = this.cluster.close();
    await this.end(closing);
    assert.deepEqual(this.cluster.fatal, []);
  }
}

async function inWorld(
  run: (world: World, leader: TestMember, follower: TestMember) => Promise<void>,
): Promise<void> {
  const world = new World();
  const leader = await world.leader();
  const [follower] = world.followers(leader);
  assert.ok(follower !== undefined);
  await run(world, leader, follower);
  await world.close();
}

const code = (wanted: string) => (error: unknown) => error instanceof CoracleError && error.code === wanted;
const kept = (member: TestMember, id: LeaseId) => member.node.state.leases.get(id) !== undefined;

describe("leases of a cluster", () => {
  test("are granted, renewed, told and revoked through any member", () =>
    inWorld(async (world, leader, follower) => {
      for (const { service } of [leader, follower]) {
        const { leases, kv } = service;
        const { id, ttlSeconds } = await world.end(leases.grant(0, 30));
        assert.ok(typeof id === "number" && id > 0);
        assert.equal(ttlSeconds, 30);
        await world.end(kv.propose(put("b", id)));
        await world.end(kv.propose(put("a", id)));
        await world.pass(10_000);
        const told = await world.end(leases.timeToLive(id, true));
        assert.equal(told.grantedSeconds, 30);
        assert.ok(told.remainingSeconds > 19 && told.remainingSeconds < 20.1, `${told.remainingSeconds}`);
        assert.deepEqual(told.keys.map(fromUtf8), ["a", "b"]);
        assert.deepEqual(await world.end(leases.keepAlive(id)), { ttlSeconds: 30 });
        const renewed = await world.end(leases.timeToLive(id, false));
        assert.ok(renewed.remainingSeconds > 29 && renewed.keys.length === 0);
        assert.deepEqual(await world.end(leases.list()), [id]);
        const { revision } = await world.end(leases.revoke(id));
        assert.equal(revision, leader.node.revision);
        for (const call of [leases.revoke(id), leases.keepAlive(id), leases.timeToLive(id, false)])
          await assert.rejects(world.end<unknown>(call), code("lease_not_found"));
        assert.deepEqual(await world.end(leases.list()), []);
      }
    }));

  test("may have any id of 64 bits, once, and a TTL between two limits", () =>
    inWorld(async (world, _, { service: { leases } }) => {
      const ids = [-(2n ** 63n), -5, 2 ** 53 - 1, 2n ** 53n];
      for (const id of ids) assert.equal((await world.end(leases.grant(id, 30))).id, id);
      assert.deepEqual(await world.end(leases.list()), ids);
      for (const id of ids) assert.deepEqual(await world.end(leases.keepAlive(id)), { ttlSeconds: 30 });
      await assert.rejects(world.end(leases.grant(-5, 30)), code("lease_exists"));
      for (const ttl of [-7, 0, 1, 2]) assert.equal((await world.end(leases.grant(0, ttl))).ttlSeconds, 2);
      await assert.rejects(world.end(leases.grant(0, 9_000_000_001)), code("lease_ttl_too_large"));
      assert.equal((await world.end(leases.grant(0, 9_000_000_000))).ttlSeconds, 9_000_000_000);
      await assert.rejects(world.end(leases.grant(0, 2.5)), code("invalid_argument"));
    }));

  test("are granted once by a repeated request", () =>
    inWorld(async (world, leader, follower) => {
      const first = await world.end(leader.service.leases.grant(0, 30, "once"));
      assert.deepEqual(await world.end(follower.service.leases.grant(0, 30, "once")), first);
      assert.deepEqual(await world.end(leader.service.leases.list()), [first.id]);
      const { revision } = await world.end(follower.service.leases.revoke(first.id, "gone"));
      assert.deepEqual(await world.end(leader.service.leases.revoke(first.id, "gone")), { revision });
    }));

  test("end on every member when nobody renews them, with their keys at one revision", () =>
    inWorld(async (world, leader, follower) => {
      const { id } = await world.end(follower.service.leases.grant(0, 5));
      await world.end(follower.service.kv.propose(put("a", id)));
      await world.pass(4900);
      assert.ok(kept(leader, id));
      await world.until("the end", () => world.cluster.members.every((member) => !kept(member, id)), 300);
      assert.equal(leader.node.state.keyCount, 0);
      assert.match(await leader.registry.metrics(), /^coracle_leases_expired_total 1$/m);
    }));
});

describe("renewals", () => {
  test("of one turn share one question and one proof of leadership", () =>
    inWorld(async (world, leader, follower) => {
      const ids: LeaseId[] = [];
      for (let at = 0; at < 20; at++) ids.push((await world.end(leader.service.leases.grant(0, 30))).id);
      const asked: unknown[] = [];
      const receive = leader.node.onMessage.bind(leader.node);
      leader.node.onMessage = (from, message) => {
        if (message.type === "request") asked.push(message.name);
        receive(from, message);
      };
      const renewals = ids.map((id) => follower.service.leases.keepAlive(id));
      const missing = follower.service.leases.keepAlive(4);
      await world.end(Promise.allSettled([...renewals, missing]));
      for (const renewal of renewals) assert.deepEqual(await renewal, { ttlSeconds: 30 });
      await assert.rejects(missing, code("lease_not_found"));
      assert.deepEqual(asked, ["lease-renew"]);
    }));

  test("that are malformed are refused, and harm nobody", () =>
    inWorld(async (world, leader, follower) => {
      const answers: unknown[] = [];
      const receive = follower.node.onMessage.bind(follower.node);
      follower.node.onMessage = (from, message) => {
        if (message.type === "response" || message.type === "request-failed") answers.push(message);
        else receive(from, message);
      };
      const bodies = [null, 5, {}, [1.5], ["7"], [[7]], [new Uint8Array(7)], [new Uint8Array(8)]];
      const asked = bodies.flatMap((body, at) => [
        { type: "request", id: at, name: "lease-renew", body } as const,
        {
          type: "request",
          id: 100 + at,
          name: "lease-left",
          body: Array.isArray(body) ? body[0] : "x",
        } as const,
      ]);
      for (const request of asked) leader.node.onMessage(follower.id, request);
      await world.until("all answers", () => answers.length === asked.length);
      for (const answer of answers) {
        const { type, code: told } = answer as { type: string; code?: string };
        assert.deepEqual([type, told], ["request-failed", "invalid_argument"]);
      }
    }));

  test("are not answered by a leader that is cut off, and go to the next one", () =>
    inWorld(async (world, leader, follower) => {
      const { id } = await world.end(leader.service.leases.grant(0, 60));
      world.cluster.cut.add(leader.id);
      const stuck = leader.service.leases.keepAlive(id);
      await assert.rejects(world.end(stuck), (error) => error instanceof CoracleError);
      assert.deepEqual(await world.end(follower.service.leases.keepAlive(id)), { ttlSeconds: 60 });
    }));
});

describe("a change of leader", () => {
  test("shortens no lease, and a leader that was cut off ends none", () =>
    inWorld(async (world, old, follower) => {
      const { id } = await world.end(old.service.leases.grant(0, 5));
      const { id: other } = await world.end(old.service.leases.grant(0, 5));
      await world.pass(3000);
      world.cluster.cut.add(old.id);
      const next = await world.leader();
      assert.notEqual(next.id, old.id);
      // Renewed at the next leader, while the clock of the one before runs out.
      for (let at = 0; at < 10; at++) {
        await world.end(follower.service.leases.keepAlive(id));
        await world.pass(1000);
      }
      assert.ok(kept(old, id) && kept(old, other), "the old leader ended nothing");
      assert.ok(kept(next, id));
      assert.ok(!kept(next, other), "what nobody renewed is over");
      world.cluster.cut.delete(old.id);
      await world.end(follower.service.leases.keepAlive(id));
      await world.until("the old leader follows", () => !kept(old, other));
      await world.pass(2000);
      assert.ok(kept(old, id) && kept(next, id));
      await world.until("the end", () => world.cluster.members.every((member) => !kept(member, id)), 6000);
    }));

  test("by hand leaves the leases to the next one", () =>
    inWorld(async (world, leader, follower) => {
      const { id } = await world.end(leader.service.leases.grant(0, 5));
      await world.pass(3000);
      await world.end(leader.service.cluster.transferLeadership(follower.id));
      await world.pass(4500);
      assert.ok(kept(follower, id), "it has all of its time again");
      await world.until("the end", () => world.cluster.members.every((member) => !kept(member, id)), 3000);
    }));
});
