import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CoracleError } from "../base/errors.ts";
import { seededRandom } from "../base/prng.ts";
import { Bench, del, put, range } from "../kv/builders.test-support.ts";
import type { Command } from "../kv/types.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { Compactor, type Retention, wantedRevision } from "./compactor.ts";
import { FakeClock } from "./fake-clock.test-support.ts";
import type { NodeAccess } from "./part.ts";
import { RevisionClock } from "./revision-clock.ts";

const hourMs = 3_600_000;

function codeOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof CoracleError) return error.code;
    throw error;
  }
  return "no error";
}

/** A member whose clock, log and disk obey the test. */
class Member {
  readonly clock = new FakeClock();
  readonly kv: Bench;
  readonly compactor: Compactor;
  readonly proposed: number[] = [];
  readonly counts = { rows: 0, pages: 0, slices: 0 };
  fill = 0;
  writable = true;
  leads = true;

  constructor(retention: Retention, db = openSqlite(":memory:")) {
    this.kv = new Bench([], db);
    this.compactor = new Compactor(this.#access(), {
      retention,
      fill: () => this.fill,
      metrics: {
        proposed: () => {},
        removed: (rows) => {
          this.counts.rows += rows;
          this.counts.slices++;
        },
        released: (pages) => {
          this.counts.pages += pages;
        },
      },
    });
    this.compactor.leading(1);
  }

  write(writes: number): void {
    for (let i = 0; i < writes; i++) this.kv.run(put(`key ${i % 10}`, `${i}`));
    this.compactor.applied();
  }

  /** Lets time go by, with its duties. */
  async pass(milliseconds: number, stepMs = 1000): Promise<void> {
    for (let at = 0; at < milliseconds; at += stepMs) {
      this.clock.advance(stepMs);
      this.compactor.duty();
      await Promise.resolve();
      await Promise.resolve();
    }
  }

  #access(): NodeAccess {
    const none = (): never => assert.fail("not used");
    return {
      self: 1,
      clock: this.clock,
      random: seededRandom(1),
      options: {
        ...{ heartbeatMs: 100, electionMs: 1000, requestTimeoutMs: 5000, leaderWaitMs: 3000 },
        ...{ logEntriesMax: 1000, logBytesMax: 1e6, logTailEntries: 100, valueBytesMax: 1e6 },
      },
      state: () => this.kv.machine,
      raft: none,
      stateTrouble: () => undefined,
      maintain: (work) => {
        if (!this.writable) return false;
        work(this.kv.machine);
        this.kv.machine.commit();
        return true;
      },
      propose: none,
      proposeHere: async ({ body }: Command) => {
        assert.equal(body.type, "compact");
        if (!this.leads) throw new CoracleError("not_proposed", "This member leads no longer.");
        this.proposed.push(body.type === "compact" ? body.revision : 0);
        const result = this.kv.run(body);
        assert.ok(result.type !== "refused");
        this.compactor.applied();
        return result;
      },
      current: none,
      askLeader: none,
      ask: none,
    };
  }
}

describe("the clock of revisions", () => {
  test("never takes a revision for older than it is, and for little younger", () => {
    const clock = new RevisionClock(hourMs);
    assert.equal(clock.oldest(0), 0);
    // One revision a second.
    for (let second = 0; second <= 10_000; second++) {
      clock.note(second * 1000, second);
      const oldest = clock.oldest(second * 1000);
      if (second < 3600) assert.equal(oldest, 0);
      else assert.ok(oldest <= second - 3600 && oldest >= second - 3600 - 31, `${oldest} at ${second}`);
    }
  });
});

describe("what is compacted", () => {
  const retention = { keepAgeMs: hourMs, keepRevisions: 100, revisionsMax: 1000 };

  test("is what is old, but not the newest revisions, and what is too much", () => {
    assert.equal(wantedRevision(retention, 500, 0, 0), 0);
    assert.equal(wantedRevision(retention, 500, 300, 0), 300);
    assert.equal(wantedRevision(retention, 500, 450, 0), 400);
    assert.equal(wantedRevision(retention, 5000, 300, 0), 4000);
    assert.equal(wantedRevision({ ...retention, revisionsMax: 0 }, 5000, 300, 0), 300);
  });

  test("is more when the store is nearly full", () => {
    assert.equal(wantedRevision(retention, 5000, 0, 0.8), 4900);
    assert.equal(wantedRevision({ ...retention, keepRevisions: 500 }, 5000, 0, 0.95), 4900);
    assert.equal(wantedRevision({ ...retention, keepRevisions: 7 }, 5000, 0, 1), 4993);
  });

  test("is nothing when that is turned off, however full the store is", () => {
    assert.equal(wantedRevision({ keepRevisions: 1, revisionsMax: 1 }, 5000, 4000, 1), 0);
  });
});

describe("the compactor", () => {
  const retention = { keepAgeMs: 60_000, keepRevisions: 50, revisionsMax: 100_000 };

  test("has the leader compact what is older than the age to keep", async () => {
    const member = new Member(retention);
    member.write(300);
    await member.pass(59_000);
    assert.deepEqual(member.proposed, []);
    await member.pass(2000);
    // The newest 50 stay, although all are as old.
    assert.deepEqual(member.proposed, [301 - 50]);
    await member.pass(600_000);
    assert.deepEqual(member.proposed, [251], "nothing is compacted twice");
    assert.equal(member.kv.machine.compactionPending, false);
    assert.equal(member.counts.rows, 239, "all but the ten that a key still has");
    assert.equal(
      codeOf(() => member.kv.machine.range(range("", null, { revision: 251 }))),
      "no error",
    );
    assert.equal(
      codeOf(() => member.kv.machine.range(range("", null, { revision: 250 }))),
      "revision_compacted",
    );
    member.kv.machine.verify();
  });

  test("proposes once a minute at most, unless it is worth it", async () => {
    const member = new Member({ keepAgeMs: 600_000, keepRevisions: 0, revisionsMax: 5000 });
    for (let turn = 0; turn < 900; turn++) {
      member.write(1);
      await member.pass(1000);
    }
    assert.ok(member.proposed.length >= 5 && member.proposed.length <= 6, `${member.proposed}`);
    await member.pass(3000);
    const before = member.proposed.length;
    member.write(16_000);
    await member.pass(3000);
    assert.equal(member.proposed.length, before + 1);
  });

  test("compacts by count without waiting for the age", async () => {
    const member = new Member({ keepAgeMs: hourMs, keepRevisions: 50, revisionsMax: 200 });
    member.write(1000);
    await member.pass(1000);
    assert.deepEqual(member.proposed, [801]);
  });

  test("leaves it to the leader, and knows the time of what was written before it led", async () => {
    const member = new Member(retention);
    member.compactor.leading(undefined);
    member.write(300);
    await member.pass(100_000);
    assert.deepEqual(member.proposed, []);
    member.compactor.leading(2);
    await member.pass(1000);
    assert.deepEqual(member.proposed, [251]);
  });

  test("goes on when a proposal fails", async () => {
    const member = new Member(retention);
    member.leads = false;
    member.write(300);
    await member.pass(100_000);
    member.leads = true;
    await member.pass(61_000);
    assert.deepEqual(member.proposed, [251]);
  });

  test("removes rows in slices with pauses between them, whoever asked for the compaction", async () => {
    const member = new Member({ keepRevisions: 1, revisionsMax: 1 });
    member.compactor.leading(undefined);
    member.write(1000);
    member.kv.run({ type: "compact", revision: 900 });
    member.compactor.applied();
    member.clock.advance(3);
    assert.equal(member.counts.slices, 1);
    assert.ok(member.counts.rows <= 50);
    member.clock.advance(100);
    assert.equal(member.kv.machine.compactionPending, false);
    assert.ok(member.counts.slices >= 18);
    assert.equal(member.clock.planned, 0, "it rests when nothing is left");
  });

  test("tries again when the state cannot be written, and after a restart", async () => {
    const member = new Member({ keepRevisions: 1, revisionsMax: 1 });
    member.write(200);
    member.kv.run({ type: "compact", revision: 150 });
    member.writable = false;
    member.compactor.applied();
    await member.pass(3000);
    assert.equal(member.counts.slices, 0);
    member.writable = true;
    await member.pass(1000);
    assert.equal(member.kv.machine.compactionPending, false);

    const other = new Member({ keepRevisions: 1, revisionsMax: 1 });
    other.kv.run(put("a", "1"));
    for (let i = 0; i < 200; i++) other.kv.run(put("a", `${i}`));
    other.kv.run({ type: "compact", revision: 150 });
    await other.pass(2000);
    assert.equal(other.kv.machine.compactionPending, false, "its duty finds what nobody told");
  });

  test("gives pages back that the store does not need", async () => {
    const db = openSqlite(":memory:");
    db.exec("PRAGMA auto_vacuum = INCREMENTAL");
    const member = new Member({ keepRevisions: 1, revisionsMax: 1 }, db);
    const value = "v".repeat(20_000);
    for (let i = 0; i < 2000; i++) member.kv.run(put(`key ${i % 5}`, value));
    member.kv.run(del("key 1"));
    member.kv.run({ type: "compact", revision: member.kv.machine.revision });
    const before = member.kv.machine.pages();
    await member.pass(20_000, 100);
    const after = member.kv.machine.pages();
    assert.equal(member.kv.machine.compactionPending, false);
    assert.ok(after.all < before.all / 2, `${before.all} pages, then ${after.all}`);
    assert.ok(after.free <= Math.max(1024, after.all * 0.1));
    assert.equal(member.counts.pages, before.all - after.all);
    member.kv.machine.verify();
  });

  test("changes nothing that members could disagree about", async () => {
    const members = [0, 1, 2].map(() => new Member({ keepRevisions: 1, revisionsMax: 1 }));
    const random = seededRandom(5);
    for (let turn = 0; turn < 400; turn++) {
      const key = `key ${random.below(12)}`;
      const body =
        turn % 100 === 99
          ? ({ type: "compact", revision: turn - 60 } as const)
          : random.below(4) === 0
            ? del(key)
            : put(key, `${turn}`);
      for (const [at, member] of members.entries()) {
        member.kv.run(body);
        member.compactor.applied();
        // One removes rows at once, one late, one not at all.
        if (at === 0) member.clock.advance(20);
        if (at === 1 && turn % 130 === 0) member.clock.advance(50);
      }
      const [first, ...others] = members.map(({ kv }) => kv.machine);
      const { revision, compactRevision } = first ?? assert.fail();
      const at = Math.max(1, compactRevision) + random.below(revision - Math.max(1, compactRevision) + 1);
      const contents = first?.range(range("", null, { revision: at }));
      for (const other of others) {
        assert.equal(other.hash(), first?.hash());
        assert.deepEqual(other.range(range("", null, { revision: at })), contents);
      }
    }
    for (const { kv } of members) kv.machine.verify();
  });
});
