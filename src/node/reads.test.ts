import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CoracleError } from "../base/errors.ts";
import { seededRandom } from "../base/prng.ts";
import { TransactionLost } from "../kv/state-machine.ts";
import { nobody, type RaftEvent } from "../raft/types.ts";
import { FakeClock } from "./fake-clock.test-support.ts";
import type { Blocked } from "./part.ts";
import { Reads } from "./reads.ts";

function setUp() {
  const clock = new FakeClock();
  const asked: number[] = [];
  const world: { leader: number; applied: number; blocked?: Blocked; held?: Promise<void> } = {
    leader: 1,
    applied: 5,
  };
  const reads = new Reads({
    clock,
    random: seededRandom(1),
    leader: () => world.leader,
    step(event: RaftEvent) {
      assert.ok(event.type === "read");
      asked.push(event.context);
    },
    applied: () => world.applied,
    stateHeld: () => world.held,
    readTogether: (each) => each(),
    wake: () => {},
    blocked: () => world.blocked,
    leaderWaitMs: 3000,
    retryAfterMs: 200,
  });
  const settle = async (): Promise<void> => {
    for (let at = 0; at < 20; at++) {
      clock.advance(0);
      await Promise.resolve();
    }
  };
  return { clock, asked, world, reads, settle };
}

/** What became of a promise, looked at without waiting for it. */
function watch(promise: Promise<unknown>): { end: string } {
  const seen = { end: "waits" };
  promise.then(
    () => {
      seen.end = "ready";
    },
    (error: unknown) => {
      seen.end = error instanceof CoracleError ? error.code : "thrown";
    },
  );
  return seen;
}

const fresh = (reads: Reads, maxStaleMs: number): Promise<number> =>
  reads.run({ mode: "serializable", maxStaleMs }, () => 1);

describe("linearizable reads", () => {
  test("that find the state gone back are asked for anew", async () => {
    const { reads, asked, world, settle } = setUp();
    let lost = true;
    const read = (): number => {
      if (!lost) return world.applied;
      lost = false;
      world.applied = 3;
      throw new TransactionLost();
    };
    const answer = reads.run({ mode: "linearizable" }, read);
    for (let round = 0; round < 2; round++) {
      reads.flush();
      reads.confirmed([{ context: asked[round] ?? 0, index: 5 }]);
      await settle();
    }
    world.applied = 5;
    reads.applied();
    await settle();
    assert.equal(await answer, 5);
  });

  test("of one turn share one confirmation", async () => {
    const { reads, asked, settle } = setUp();
    const seen = [watch(reads.current()), watch(reads.current())];
    reads.flush();
    assert.equal(asked.length, 1);
    reads.confirmed([{ context: asked[0] ?? 0, index: 5 }]);
    await settle();
    assert.deepEqual(
      seen.map(({ end }) => end),
      ["ready", "ready"],
    );
  });

  test("wait until the confirmed index is applied", async () => {
    const { reads, asked, world, settle } = setUp();
    const seen = watch(reads.current());
    reads.flush();
    reads.confirmed([{ context: asked[0] ?? 0, index: 7 }]);
    await settle();
    assert.equal(seen.end, "waits");
    world.applied = 7;
    reads.applied();
    await settle();
    assert.equal(seen.end, "ready");
  });

  test("that come while a round is under way are not confirmed by it", async () => {
    const { reads, asked, settle } = setUp();
    reads.current();
    reads.flush();
    const late = watch(reads.current());
    reads.confirmed([{ context: asked[0] ?? 0, index: 5 }]);
    await settle();
    assert.equal(late.end, "waits");
    reads.flush();
    assert.equal(asked.length, 2);
  });

  test("wait again when the state goes back in the turn that confirmed them", async () => {
    const { reads, asked, world, settle } = setUp();
    const linearizable = reads.run({ mode: "linearizable" }, () => world.applied);
    const bounded = fresh(reads, 1000);
    const seen = [watch(linearizable), watch(bounded), watch(reads.current())];
    const waiting = (): string[] => seen.map(({ end }) => end);
    reads.flush();
    reads.confirmed([{ context: asked[0] ?? 0, index: 5 }]);
    world.applied = 3;
    await settle();
    assert.deepEqual(waiting(), ["waits", "waits", "waits"]);
    reads.flush();
    reads.confirmed([{ context: asked[1] ?? 0, index: 6 }]);
    world.applied = 6;
    reads.applied();
    await settle();
    assert.deepEqual(waiting(), ["ready", "ready", "ready"]);
    assert.equal(await linearizable, 6);
  });

  test("that wait for another turn look again at what is applied", async () => {
    const { reads, asked, world, settle } = setUp();
    let end = (): void => {};
    world.held = new Promise((resolve) => {
      end = resolve;
    });
    const seen = watch(reads.run({ mode: "linearizable" }, () => world.applied));
    reads.flush();
    reads.confirmed([{ context: asked[0] ?? 0, index: 5 }]);
    await settle();
    world.applied = 4;
    delete world.held;
    end();
    await settle();
    assert.equal(seen.end, "waits");
  });

  test("are asked for again when refused or lost, and end with the reason", async () => {
    const { reads, asked, world, clock, settle } = setUp();
    const seen = watch(reads.current());
    reads.flush();
    reads.refused([asked[0] ?? 0]);
    reads.flush();
    assert.equal(asked.length, 2);
    clock.advance(250);
    reads.sweep();
    reads.flush();
    assert.equal(asked.length, 3);
    world.leader = nobody;
    reads.refused([asked[2] ?? 0]);
    clock.advance(3000);
    reads.sweep();
    await settle();
    assert.equal(seen.end, "no_leader");
  });

  test("that cannot be served since the disk is full say so", async () => {
    const { reads, clock, world } = setUp();
    world.blocked = { reason: "No.", growthOnly: false, unready: "the disk of this member is full" };
    const read = reads.current();
    reads.flush();
    clock.advance(3000);
    reads.sweep();
    await assert.rejects(read, {
      code: "not_proposed",
      message: /disk of this member is full; .*serializable/,
    });
  });

  test("end when the member shuts down", async () => {
    const { reads, settle } = setUp();
    const seen = watch(reads.current());
    reads.close();
    await settle();
    assert.equal(seen.end, "shutting_down");
    const after = watch(reads.current());
    await settle();
    assert.equal(after.end, "shutting_down");
  });
});

describe("reads of bounded staleness", () => {
  test("are served without a round while the last one is recent, counted from its start", async () => {
    const { reads, asked, clock, settle } = setUp();
    reads.current();
    reads.flush();
    clock.advance(50);
    reads.confirmed([{ context: asked[0] ?? 0, index: 5 }]);
    const recent = watch(fresh(reads, 50));
    await settle();
    assert.equal(recent.end, "ready");
    const tooOld = watch(fresh(reads, 49));
    await settle();
    assert.equal(tooOld.end, "waits");
  });

  test("are not served from what has gone back since", async () => {
    const { reads, asked, world, settle } = setUp();
    reads.current();
    reads.flush();
    reads.confirmed([{ context: asked[0] ?? 0, index: 5 }]);
    world.applied = 4;
    const seen = watch(fresh(reads, 1000));
    await settle();
    assert.equal(seen.end, "waits");
  });

  test("are not fresh while the confirmed index is not applied", async () => {
    const { reads, asked, settle } = setUp();
    reads.current();
    reads.flush();
    reads.confirmed([{ context: asked[0] ?? 0, index: 9 }]);
    const seen = watch(fresh(reads, 1000));
    await settle();
    assert.equal(seen.end, "waits");
  });
});
