import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CoracleError } from "../base/errors.ts";
import { gate, LessorBench, settle } from "./lessor.test-support.ts";

const unknown = () => Promise.reject(new CoracleError("outcome_unknown", "not confirmed in time"));
const notProposed = () => Promise.reject(new CoracleError("not_proposed", "not now"));

describe("the time of a lease", () => {
  test("runs out at its TTL, and takes its keys along", async () => {
    const bench = new LessorBench();
    bench.lead();
    bench.grant(7, 5);
    bench.put("a", 7);
    await bench.pass(4990);
    assert.ok(bench.exists(7));
    await bench.pass(20);
    assert.ok(!bench.exists(7));
    assert.deepEqual(bench.proposed, [{ type: "lease-revoke", id: 7, term: 1 }]);
    assert.equal(bench.machine.keyCount, 0);
    assert.equal(bench.counts.expired, 1);
  });

  test("begins anew with each renewal", async () => {
    const bench = new LessorBench();
    bench.lead();
    bench.grant(7, 5);
    for (let round = 0; round < 5; round++) {
      await bench.pass(4000);
      assert.deepEqual(await bench.lessor.renew([7]), [5]);
    }
    const left = await bench.lessor.left(7);
    assert.deepEqual(left, { ttlSeconds: 5, remainingMs: 5000 });
    await bench.pass(4990);
    assert.ok(bench.exists(7));
    await bench.pass(20);
    assert.ok(!bench.exists(7));
    assert.deepEqual([bench.proposed.length, bench.counts.renewed], [1, 5]);
  });

  test("is not asked for when a client ended the lease, or when its id was granted again", async () => {
    const bench = new LessorBench();
    bench.lead();
    bench.grant(7, 5);
    await bench.pass(3000);
    bench.apply({ type: "lease-revoke", id: 7 }, { type: "lease-grant", id: 7, ttlSeconds: 10 });
    await bench.pass(9900);
    assert.deepEqual(bench.proposed, []);
    await bench.pass(200);
    assert.ok(!bench.exists(7));
    assert.deepEqual(await bench.lessor.renew([7, 8]), [0, 0]);
    assert.equal(await bench.lessor.left(7), undefined);
  });
});

describe("a renewal", () => {
  test("that comes while leadership is being proved is early enough", async () => {
    const bench = new LessorBench();
    bench.lead();
    bench.grant(7, 5);
    const proof = gate();
    bench.proof = () => proof.promise;
    await bench.pass(5100);
    const renewal = bench.lessor.renew([7]);
    const ended = bench.lessor.renew([7]);
    proof.open();
    assert.deepEqual([await renewal, await ended], [[5], [5]]);
    await bench.pass(4800);
    assert.deepEqual(bench.proposed, []);
    await bench.pass(400);
    assert.ok(!bench.exists(7));
  });

  test("helps no more when the revocation is on its way, not even when its outcome is unknown", async () => {
    const bench = new LessorBench();
    bench.lead();
    bench.grant(7, 5);
    let apply = (): unknown => assert.fail("nothing was proposed");
    const outcome = gate<never>();
    bench.outcome = (own) => {
      apply = own;
      return outcome.promise;
    };
    await bench.pass(5100);
    assert.deepEqual(await bench.lessor.renew([7]), [0]);
    assert.equal(await bench.lessor.left(7), undefined);
    outcome.fail(new CoracleError("outcome_unknown", "not confirmed in time"));
    await bench.pass(10_000);
    assert.deepEqual(await bench.lessor.renew([7]), [0]);
    assert.equal(bench.proposed.length, 1, "it stands in the log, and is not proposed twice");
    apply();
    assert.ok(!bench.exists(7));
    assert.deepEqual(await bench.lessor.renew([7]), [0]);
  });

  test("helps again when the revocation was surely not proposed", async () => {
    const bench = new LessorBench();
    bench.lead();
    bench.grant(7, 5);
    bench.outcome = notProposed;
    await bench.pass(5100);
    assert.equal(bench.proposed.length, 1);
    assert.deepEqual(await bench.lessor.renew([7]), [5]);
    bench.outcome = (apply) => Promise.resolve(apply());
    await bench.pass(4900);
    assert.ok(bench.exists(7));
    await bench.pass(200);
    assert.ok(!bench.exists(7));
  });

  test("is not confirmed without a proof of leadership after it was asked", async () => {
    const bench = new LessorBench();
    bench.lead();
    bench.grant(7, 5);
    const proof = gate();
    bench.proof = () => proof.promise;
    let answered = false;
    const renewal = bench.lessor.renew([7]).finally(() => {
      answered = true;
    });
    await settle();
    assert.equal(answered, false);
    bench.leads = false;
    proof.open();
    await assert.rejects(renewal, (error) => error instanceof CoracleError && error.code === "not_proposed");
  });

  test("is refused by a member that does not lead, or has begun another term meanwhile", async () => {
    const bench = new LessorBench();
    bench.grant(7, 5);
    await assert.rejects(bench.lessor.renew([7]), /does not lead/);
    bench.lead();
    const proof = gate();
    bench.proof = () => proof.promise;
    const renewal = bench.lessor.renew([7]);
    bench.term = 2;
    bench.lead();
    proof.open();
    await assert.rejects(renewal, /does not lead/);
  });
});

describe("a leader", () => {
  test("that cannot prove that it leads ends nothing, and tries again", async () => {
    const bench = new LessorBench();
    bench.lead();
    bench.grant(7, 5);
    bench.proof = () => Promise.reject(new CoracleError("no_leader", "nobody answers"));
    await bench.pass(8000);
    assert.deepEqual(bench.proposed, []);
    bench.proof = () => Promise.resolve();
    await bench.pass(700);
    assert.ok(!bench.exists(7));
  });

  test("that was deposed ends nothing, also when the proof was under way", async () => {
    const bench = new LessorBench();
    bench.lead();
    for (const id of [1, 2]) bench.grant(id, 5);
    const proof = gate();
    bench.proof = () => proof.promise;
    await bench.pass(5100);
    bench.leads = false;
    bench.lessor.leading(undefined);
    proof.open();
    await bench.pass(20_000);
    assert.deepEqual(bench.proposed, []);
    assert.ok(bench.exists(1) && bench.exists(2));
  });

  test("that begins gives each lease what the log says, and an election on top", async () => {
    const bench = new LessorBench();
    bench.grant(1, 60);
    bench.grant(2, 60);
    bench.apply({ type: "lease-checkpoint", term: 1, leases: [{ id: 2, remainingSeconds: 10 }] });
    bench.term = 2;
    bench.lead();
    assert.deepEqual(await bench.lessor.left(2), { ttlSeconds: 60, remainingMs: 11_000 });
    await bench.pass(10_900);
    assert.ok(bench.exists(2));
    await bench.pass(200);
    assert.ok(!bench.exists(2));
    assert.ok(bench.exists(1));
    await bench.pass(49_800);
    assert.ok(bench.exists(1));
    await bench.pass(200);
    assert.ok(!bench.exists(1));
    assert.deepEqual(bench.proposed.at(-1), { type: "lease-revoke", id: 1, term: 2 });
  });

  test("knows all leases, also while it still reads them", async () => {
    const bench = new LessorBench();
    for (let id = 1; id <= 5000; id++) bench.apply({ type: "lease-grant", id, ttlSeconds: 60 });
    bench.lead();
    assert.deepEqual(await bench.lessor.renew([5000]), [60]);
    bench.apply({ type: "lease-revoke", id: 4999 });
    await bench.pass(100);
    assert.deepEqual(await bench.lessor.renew([4998, 4999]), [60, 0]);
  });

  test("ends many in portions, and all of them", async () => {
    const bench = new LessorBench();
    for (let id = 1; id <= 3000; id++) bench.apply({ type: "lease-grant", id, ttlSeconds: 10 });
    bench.lead();
    await bench.pass(11_000);
    const before = bench.proposed.length;
    await bench.pass(1000);
    const inSecond = bench.proposed.length - before;
    assert.ok(inSecond >= 900 && inSecond <= 1000, `${inSecond} a second`);
    await bench.pass(2200);
    assert.equal(bench.machine.leases.count, 0);
    assert.equal(bench.counts.expired, 3000);
  });
});

describe("what is left of a lease", () => {
  const checkpointMs = 10_000;

  test("is recorded now and then, so that the next leader does not begin it anew", async () => {
    const bench = new LessorBench({ checkpointMs });
    bench.lead();
    bench.grant(1, 100);
    bench.grant(2, 3);
    await bench.pass(50_000, 50);
    const recorded = bench.machine.leases.get(1)?.remainingSeconds ?? 0;
    assert.ok(recorded >= 50 && recorded <= 70, `${recorded} s`);
    const commands = bench.proposed.filter(({ type }) => type === "lease-checkpoint");
    assert.ok(commands.length <= 10, `${commands.length} commands`);
    assert.deepEqual([bench.exists(1), bench.exists(2)], [true, false]);
  });

  test("is all of it again before a renewal is answered", async () => {
    const bench = new LessorBench({ checkpointMs });
    bench.lead();
    bench.grant(1, 100);
    await bench.pass(40_000, 50);
    assert.ok((bench.machine.leases.get(1)?.remainingSeconds ?? 0) < 100);
    const restored = gate();
    bench.outcome = async (apply) => {
      await restored.promise;
      return apply();
    };
    let answered = false;
    const renewal = bench.lessor.renew([1]).finally(() => {
      answered = true;
    });
    await settle();
    assert.deepEqual(bench.proposed.at(-1), {
      type: "lease-checkpoint",
      term: 1,
      leases: [{ id: 1, remainingSeconds: 100 }],
    });
    await bench.pass(30_000, 100);
    assert.equal(answered, false);
    restored.open();
    assert.deepEqual(await renewal, [100]);
    assert.equal(bench.machine.leases.get(1)?.remainingSeconds, 100);
    const count = bench.proposed.length;
    await bench.lessor.renew([1]);
    assert.equal(bench.proposed.length, count, "what is recorded already is not recorded again");
  });

  test("counts as recorded from when it was proposed, whatever became of it", async () => {
    const bench = new LessorBench({ checkpointMs });
    bench.lead();
    bench.grant(1, 100);
    bench.outcome = unknown;
    await bench.pass(20_000, 50);
    assert.ok(bench.proposed.length > 0);
    await assert.rejects(
      bench.lessor.renew([1]),
      (error) => error instanceof CoracleError && error.code === "outcome_unknown",
    );
    bench.outcome = (apply) => Promise.resolve(apply());
    assert.deepEqual(await bench.lessor.renew([1]), [100]);
  });
});

/** 100,000 with LEASES=100000; what each step costs is printed then. */
const leaseCount = Number(process.env.LEASES ?? 10_000);

test(`${leaseCount} leases are renewed and ended, and leave nothing behind`, {
  timeout: 60_000,
}, async () => {
  const bench = new LessorBench();
  const ids = Array.from({ length: leaseCount }, (_, at) => at + 1);
  for (let at = 0; at < ids.length; at += 1000) {
    bench.apply(
      ...ids.slice(at, at + 1000).map((id) => ({ type: "lease-grant", id, ttlSeconds: 600 }) as const),
    );
  }
  const measure = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    const startMs = performance.now();
    await work();
    if (process.env.LEASES !== undefined)
      console.log(`${what}: ${(performance.now() - startMs).toFixed(0)} ms`);
  };
  await measure("begin to lead", async () => {
    bench.lead();
    for (let turn = 0; turn <= ids.length / 1000; turn++) await bench.pass(1, 1);
  });
  await measure("ten renewals of each", async () => {
    for (let round = 0; round < 10; round++) {
      for (let at = 0; at < ids.length; at += 4096) await bench.lessor.renew(ids.slice(at, at + 4096));
    }
  });
  await measure("590 quiet seconds", () => bench.pass(590_000, 1000));
  assert.deepEqual(
    bench.proposed.filter(({ type }) => type === "lease-revoke"),
    [],
  );
  await measure("the end of all", () => bench.pass(12_000 + 1.2 * leaseCount, 20));
  assert.equal(bench.machine.leases.count, 0);
  assert.equal(bench.counts.expired, leaseCount);
  assert.equal(bench.clock.planned, 0, "no timer goes on");
});
