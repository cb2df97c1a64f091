import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import { seededRandom } from "../base/prng.ts";
import type { CommandBody } from "../kv/types.ts";
import type { RaftStatus } from "../raft/types.ts";
import type { DiskSpace } from "../storage/disk-space.ts";
import { diskGuard } from "./disk-guard.ts";
import { FakeClock } from "./fake-clock.test-support.ts";
import { grows } from "./growth.ts";
import type { DiskReport } from "./hand-over.ts";
import type { NodeAccess, NodePart } from "./part.ts";

const mebibyte = 1024 * 1024;
const never = (): never => {
  throw new Error("not expected");
};

/** A guard on member 1 of three, which leads, with all around it to be set. */
class Bench {
  readonly clock = new FakeClock();
  readonly own = { full: undefined as string | undefined, writeMs: 1 };
  readonly others = new Map<number, DiskReport>([
    [2, { full: false, low: false, writeMs: 1 }],
    [3, { full: false, low: false, writeMs: 2 }],
  ]);
  space: DiskSpace = { freeBytes: 1000 * mebibyte, totalBytes: 2000 * mebibyte };
  usedBytes = 0;
  trouble: string | undefined;
  behindEntries = 0;
  uncommitted = 0;
  readonly state = { revision: 10, compactRevision: 4, compactionPending: false };
  readonly transfers: unknown[] = [];
  readonly guard: NodePart;

  constructor(quotaBytes = 0) {
    const access: NodeAccess = {
      self: 1,
      clock: this.clock,
      random: seededRandom(1),
      options: undefined as never,
      state: () => this.state as never,
      raft: () => this.#status(),
      maintain: () => false,
      stateTrouble: () => this.trouble,
      propose: never,
      proposeHere: never,
      current: never,
      askLeader: async (name, body) => {
        assert.equal(name, "admin");
        this.transfers.push(body);
        return { leader: 2 };
      },
      ask: async (member, name) => {
        assert.equal(name, "disk");
        const report = this.others.get(member);
        if (report === undefined) throw new Error("no answer");
        return report;
      },
    };
    const create = diskGuard({
      log: { health: () => this.own },
      store: { usedBytes: () => this.usedBytes },
      quotaBytes,
      diskSpace: async () => this.space,
      name: "n1",
    });
    this.guard = create(access);
    this.guard.leading?.(5);
  }

  /** So many seconds of duty. */
  async run(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.clock.advance(1000);
      this.guard.duty?.();
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    }
  }

  #status(): RaftStatus {
    const peer = { next: 11, state: "replicate" as const, inFlight: 0, active: true, learner: false };
    return {
      id: 1,
      role: "leader",
      term: 5,
      leader: 1,
      commit: 9000 - this.uncommitted,
      applied: 9000,
      lastIndex: 9000,
      stable: 9000,
      conf: { voters: [1, 2, 3], learners: [] },
      transferee: 0,
      progress: [2, 3].map((member) => ({ ...peer, member, match: 9000 - this.behindEntries })),
    };
  }
}

describe("what makes the store grow", () => {
  const put: CommandBody = { type: "put", key: utf8("k"), value: utf8("v"), lease: 0, previous: false };
  const remove: CommandBody = { type: "delete", key: utf8("k"), previous: false };
  test("is a put, wherever it stands", () => {
    assert.ok(grows(put));
    assert.ok(!grows(remove));
    assert.ok(!grows({ type: "compact", revision: 5 }));
    assert.ok(!grows({ type: "txn", compare: [], success: [remove], failure: [] }));
    assert.ok(grows({ type: "txn", compare: [], success: [], failure: [put] }));
    const inner = { type: "txn" as const, compare: [], success: [put], failure: [] };
    assert.ok(grows({ type: "txn", compare: [], success: [remove, inner], failure: [] }));
  });
});

describe("the quota", () => {
  test("stops growth when it is reached, and lets it go on when there is room", async () => {
    const bench = new Bench(10 * mebibyte);
    assert.equal(bench.guard.blocked?.(), undefined);
    bench.usedBytes = 10 * mebibyte;
    bench.clock.advance(60);
    bench.guard.applied?.();
    const blocked = bench.guard.blocked?.();
    assert.equal(blocked?.growthOnly, true);
    assert.match(blocked?.reason ?? "", /10\.0 MiB.+--quota/);
    assert.equal(blocked?.unready, undefined);
    bench.usedBytes = 9 * mebibyte;
    await bench.run(1);
    assert.equal(bench.guard.blocked?.(), undefined);
  });

  test("takes one write when only another revision makes room", async () => {
    const bench = new Bench(10 * mebibyte);
    bench.usedBytes = 11 * mebibyte;
    await bench.run(1);
    assert.equal(bench.guard.blocked?.()?.exceptOne, false);
    bench.state.compactRevision = 10;
    assert.equal(bench.guard.blocked?.()?.exceptOne, true);
    bench.state.compactionPending = true;
    assert.equal(bench.guard.blocked?.()?.exceptOne, false);
  });

  test("of 0 is none", () => {
    const bench = new Bench(0);
    bench.usedBytes = 1e15;
    bench.clock.advance(60);
    bench.guard.applied?.();
    assert.equal(bench.guard.blocked?.(), undefined);
  });
});

describe("a full disk", () => {
  test("refuses growth before it is full, everything when it is, and nothing afterwards", async () => {
    const bench = new Bench();
    bench.others.clear();
    bench.space = { freeBytes: mebibyte, totalBytes: 100 * mebibyte };
    await bench.run(2);
    assert.equal(bench.guard.blocked?.()?.growthOnly, true);
    bench.own.full = "database or disk is full";
    assert.equal(bench.guard.blocked?.()?.growthOnly, false);
    assert.match(bench.guard.blocked?.()?.unready ?? "", /full/);
    bench.own.full = undefined;
    bench.space = { freeBytes: 50 * mebibyte, totalBytes: 100 * mebibyte };
    await bench.run(2);
    assert.equal(bench.guard.blocked?.(), undefined);
    assert.deepEqual(bench.transfers, [], "nobody was there to take over");
  });

  test("under so many voters that nothing is committed is said before anything is proposed", async () => {
    const bench = new Bench();
    bench.others.set(2, { full: true, low: true, writeMs: 0 });
    bench.others.set(3, { full: true, low: true, writeMs: 0 });
    await bench.run(3);
    assert.equal(bench.guard.blocked?.(), undefined, "as long as nothing is stuck nobody asks");
    bench.uncommitted = 5;
    await bench.run(3);
    assert.equal(bench.guard.blocked?.()?.growthOnly, false);
    bench.others.set(3, { full: false, low: false, writeMs: 1 });
    bench.uncommitted = 0;
    await bench.run(1);
    assert.equal(bench.guard.blocked?.(), undefined);
  });

  test("has leadership handed to a member with room at once", async () => {
    const bench = new Bench();
    bench.others.set(2, { full: true, low: false, writeMs: 0 });
    bench.own.full = "database or disk is full";
    await bench.run(1);
    assert.deepEqual(bench.transfers, [], "one healthy voter of three elects nobody");
    bench.others.set(2, { full: false, low: true, writeMs: 1 });
    await bench.run(6);
    assert.deepEqual(bench.transfers, [], "a voter without room is none to count on");
    bench.others.set(2, { full: false, low: false, writeMs: 1 });
    await bench.run(1);
    assert.deepEqual(bench.transfers, [{ op: "transfer", to: 2 }]);
  });

  test("of the state alone counts as well", async () => {
    const bench = new Bench();
    bench.trouble = "database or disk is full";
    await bench.run(1);
    assert.equal(bench.transfers.length, 1);
  });
});

describe("a slow disk", () => {
  test("has leadership handed to the fastest after a while, and not again for a minute", async () => {
    const bench = new Bench();
    bench.own.writeMs = 500;
    await bench.run(2);
    assert.deepEqual(bench.transfers, []);
    await bench.run(2);
    assert.deepEqual(bench.transfers, [{ op: "transfer", to: 2 }]);
    await bench.run(50);
    assert.equal(bench.transfers.length, 1);
    await bench.run(15);
    assert.equal(bench.transfers.length, 2);
  });

  test("keeps leadership where it is when the others are as slow, unknown, behind or gone", async () => {
    const bench = new Bench();
    bench.own.writeMs = 500;
    bench.others.set(2, { full: false, low: false, writeMs: 400 });
    bench.others.set(3, { full: false, low: false, writeMs: 0 });
    await bench.run(10);
    bench.others.clear();
    await bench.run(10);
    bench.others.set(2, { full: false, low: false, writeMs: 1 });
    bench.behindEntries = 5000;
    await bench.run(10);
    assert.deepEqual(bench.transfers, []);
  });

  test("is no matter of a moment, nor of a follower", async () => {
    const bench = new Bench();
    for (let time = 0; time < 10; time++) {
      bench.own.writeMs = time % 3 === 2 ? 1 : 500;
      await bench.run(1);
    }
    bench.own.writeMs = 500;
    bench.guard.leading?.(undefined);
    await bench.run(10);
    assert.deepEqual(bench.transfers, []);
  });
});
