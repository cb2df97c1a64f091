import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { pause } from "../base/pause.ts";
import { FakeClock } from "../node/fake-clock.test-support.ts";
import { Client } from "./client.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import { type CannedAnswer, FakeMember } from "./fake-member.test-support.ts";
import { type HeldLease, holdLease } from "./lease-holder.ts";

const open: (HeldLease | FakeMember)[] = [];
afterEach(() => {
  for (const item of open.splice(0)) item.stop();
});

async function member(answer: () => CannedAnswer) {
  const fake = await FakeMember.start(answer);
  open.push(fake);
  return { fake, client: new Client({ endpoints: [`http://${fake.endpoint}`], timeoutMs: 1000 }) };
}

function held(lease: HeldLease): HeldLease {
  open.push(lease);
  return lease;
}

function lostWith(lease: HeldLease): Promise<unknown> {
  return new Promise((resolve) => {
    lease.lost.addEventListener("abort", () => resolve(lease.lost.reason), { once: true });
  });
}

describe("a lease that a command holds", () => {
  test("of a century is neither lost nor renewed in its first moments", async () => {
    const { fake, client } = await member(() => ({ status: 500, body: {} }));
    const lease = held(holdLease(client, "7", 3_000_000_000, performance.now()));
    // A timer that is too long for `setTimeout` fires at once, before this one.
    await pause(systemClock, 20);
    assert.equal(lease.lost.aborted, false);
    assert.equal(fake.seen.length, 0);
  });

  test("is renewed after a third of its time, and lives on from when that was sent", async () => {
    const clock = new FakeClock();
    const { fake, client } = await member(() => ({ status: 200, body: { id: 7, ttl: 30 } }));
    const renewals: number[] = [];
    const renewed = Promise.withResolvers<void>();
    const onRenewed = (ttl: number): void => {
      renewals.push(ttl);
      renewed.resolve();
    };
    const lease = held(holdLease(client, "7", 30, clock.nowMs(), { clock, onRenewed }));
    clock.advance(9_999);
    assert.equal(fake.seen.length, 0);
    clock.advance(1);
    await renewed.promise;
    assert.deepEqual([renewals, fake.seen.map(({ path }) => path)], [[30], ["/v1/leases/7/keep-alive"]]);
    assert.equal(lease.lost.aborted, false);
  });

  test("is lost when there is no such lease any more", async () => {
    const clock = new FakeClock();
    const problem = { status: 404, code: "lease_not_found", detail: "The lease 7 does not exist." };
    const body = new TextEncoder().encode(JSON.stringify(problem));
    const { client } = await member(() => ({ status: 404, body }));
    const lost = lostWith(held(holdLease(client, "7", 30, clock.nowMs(), { clock })));
    clock.advance(10_000);
    const reason = await lost;
    assert.ok(reason instanceof CommandFailure);
    assert.equal(reason.exitCode, exitCodes.failed);
    assert.match(reason.message, /^The lease 7 is lost: \S.*[^.]\.$/);
  });

  test("is taken for ended when no renewal is answered in its time", async () => {
    const clock = new FakeClock();
    const { client } = await member(() => ({ status: 503, body: {}, hangUp: true }));
    const lost = lostWith(held(holdLease(client, "7", 30, clock.nowMs(), { clock })));
    clock.advance(30_000);
    assert.match(String(await lost), /could not be renewed within its TTL of 30 s/);
  });
});
