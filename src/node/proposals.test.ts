import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import { seededRandom } from "../base/prng.ts";
import type { Command, CommandResult } from "../kv/types.ts";
import type { PeerMessage } from "../peer/types.ts";
import { nobody, type RaftEvent, type StepResult } from "../raft/types.ts";
import { FakeClock } from "./fake-clock.test-support.ts";
import { Proposals } from "./proposals.ts";
import type { Outcome } from "./waiter.ts";

const self = 1;
const other = 2;

function put(key: string): Command {
  return { body: { type: "put", key: utf8(key), value: utf8("v"), lease: 0, previous: false } };
}

function setUp() {
  const clock = new FakeClock();
  const sent: PeerMessage[] = [];
  const proposed: RaftEvent[] = [];
  const world = { leader: self, committing: false, connected: true, refuse: false, nextIndex: 10, term: 3 };
  const proposals = new Proposals({
    self,
    clock,
    random: seededRandom(1),
    leader: () => world.leader,
    step(event): StepResult {
      if (world.refuse) return { ok: false, reason: "transferring" };
      proposed.push(event);
      return { ok: true, index: world.nextIndex++, term: world.term };
    },
    send(_to, message) {
      if (world.connected) sent.push(message);
      return world.connected;
    },
    wake: () => {},
    committing: () => world.committing,
    observeBatch: () => {},
    blocked: () => undefined,
    requestTimeoutMs: 5000,
    leaderWaitMs: 3000,
  });
  const ends: Outcome[] = [];
  const submit = (key: string, forwarded = false): void => {
    proposals.submit(put(key), forwarded, (outcome) => ends.push(outcome));
  };
  return { clock, sent, proposed, world, proposals, ends, submit };
}

function results(count: number): CommandResult[] {
  return Array.from({ length: count }, (_, at) => ({ type: "put", revision: 2 + at }) as const);
}

describe("proposals on the leader", () => {
  test("while an entry is on its way the next ones gather, for a short time", () => {
    const { clock, proposals, proposed, world, submit } = setUp();
    submit("a");
    proposals.flush();
    world.committing = true;
    submit("b");
    proposals.flush();
    clock.advance(2);
    submit("c");
    proposals.flush();
    assert.equal(proposed.length, 1);
    clock.advance(1);
    proposals.flush();
    assert.equal(proposed.length, 2);
    assert.equal(proposals.proposedBatch(11, 3)?.commands.length, 2);
    assert.equal(clock.planned, 0);
  });

  test("what gathered is proposed when the entry before it is committed", () => {
    const { clock, proposals, proposed, world, submit } = setUp();
    world.committing = true;
    submit("a");
    proposals.flush();
    assert.equal(proposed.length, 0);
    world.committing = false;
    proposals.flush();
    assert.equal(proposed.length, 1);
    assert.equal(clock.planned, 0);
    // The time begins anew.
    world.committing = true;
    clock.advance(10);
    submit("b");
    proposals.flush();
    assert.equal(proposed.length, 1);
  });

  test("an entry that has all it may hold waits for nothing", () => {
    const { proposals, proposed, world, submit } = setUp();
    world.committing = true;
    for (let count = 0; count < 512; count++) submit(`${count}`);
    proposals.flush();
    assert.equal(proposed.length, 1);
  });

  test("all of a turn become one entry, and end with their own results", () => {
    const { proposals, proposed, ends, submit } = setUp();
    submit("a");
    submit("b");
    proposals.flush();
    assert.equal(proposed.length, 1);
    assert.equal(proposals.proposedBatch(10, 3)?.commands.length, 2);
    assert.equal(proposals.proposedBatch(10, 4), undefined);
    proposals.applied(10, 3, { type: "batch", results: results(2) });
    assert.deepEqual(
      ends.map((end) => end.status === "done" && end.result),
      results(2),
    );
    assert.equal(proposals.inFlight, 0);
  });

  test("end as not proposed when another term's entry stands at their index", () => {
    const { proposals, ends, submit } = setUp();
    submit("a");
    proposals.flush();
    proposals.applied(10, 4, { type: "batch", results: [] });
    assert.equal(ends[0]?.status, "not-proposed");
  });

  test("stay pending when leadership is lost, and end by the log", () => {
    const { proposals, world, ends, submit } = setUp();
    submit("a");
    proposals.flush();
    world.leader = other;
    proposals.flush();
    assert.equal(ends.length, 0);
    proposals.applied(10, 3, { type: "batch", results: results(1) });
    assert.equal(ends[0]?.status, "done");
  });

  test("end as unknown at the deadline once they are in the log", () => {
    const { proposals, clock, ends, submit } = setUp();
    submit("a");
    proposals.flush();
    clock.advance(4999);
    proposals.sweep();
    assert.equal(ends.length, 0);
    clock.advance(2);
    proposals.sweep();
    assert.equal(ends[0]?.status, "unknown");
  });

  test("end as unknown when this member proposes at their index again, in a later term", () => {
    const { proposals, world, ends, submit } = setUp();
    submit("old");
    proposals.flush();
    world.term = 5;
    world.nextIndex = 10;
    submit("new");
    proposals.flush();
    assert.equal(ends[0]?.status, "unknown");
    proposals.applied(10, 5, { type: "batch", results: results(1) });
    assert.equal(ends[1]?.status, "done");
    assert.equal(proposals.inFlight, 0);
  });

  test("wait while leadership is being handed over", () => {
    const { proposals, world, proposed, ends, submit } = setUp();
    world.refuse = true;
    submit("a");
    proposals.flush();
    world.refuse = false;
    proposals.flush();
    assert.equal(proposed.length, 1);
    assert.equal(ends.length, 0);
  });

  test("end as unknown when a snapshot jumps over their index", () => {
    const { proposals, ends, submit } = setUp();
    submit("a");
    proposals.flush();
    proposals.skipped(9);
    assert.equal(ends.length, 0);
    proposals.skipped(10);
    assert.equal(ends[0]?.status, "unknown");
  });

  test("are refused beyond the limit, before anything is queued", () => {
    const { proposals, ends, submit } = setUp();
    for (let at = 0; at < limits.proposalsInFlightMax; at++) submit(`k${at}`);
    assert.equal(ends.length, 0);
    submit("one more");
    const end = ends[0];
    assert.equal(end?.status === "not-proposed" && end.code, "overloaded");
    assert.equal(proposals.inFlight, limits.proposalsInFlightMax);
  });
});

describe("proposals on a follower", () => {
  test("travel to the leader as one message, and come back by number", () => {
    const { proposals, world, sent, ends, submit } = setUp();
    world.leader = other;
    submit("a");
    submit("b");
    proposals.flush();
    const message = sent[0];
    assert.equal(sent.length, 1);
    assert.ok(message?.type === "forward");
    assert.equal(message.commands.length, 2);
    proposals.answered([[message.first + 1, { status: "done", result: { type: "put", revision: 7 } }]]);
    assert.deepEqual(ends, [{ status: "done", result: { type: "put", revision: 7 } }]);
  });

  test("end as unknown when the connection breaks after they were sent", () => {
    const { proposals, world, ends, submit } = setUp();
    world.leader = other;
    submit("a");
    proposals.flush();
    proposals.disconnected(3);
    assert.equal(ends.length, 0);
    proposals.disconnected(other);
    assert.equal(ends[0]?.status, "unknown");
  });

  test("stay queued when they could not be sent, and end as not proposed", () => {
    const { proposals, world, clock, ends, submit } = setUp();
    world.leader = other;
    world.connected = false;
    submit("a");
    proposals.flush();
    proposals.disconnected(other);
    assert.equal(ends.length, 0);
    clock.advance(3001);
    proposals.sweep();
    assert.equal(ends[0]?.status, "not-proposed");
  });

  test("are sent again when the member asked did not lead", () => {
    const { proposals, world, sent, ends, submit } = setUp();
    world.leader = other;
    submit("a");
    proposals.flush();
    assert.ok(sent[0]?.type === "forward");
    proposals.answered([[sent[0].first, { status: "not-proposed", code: "not_proposed", message: "no" }]]);
    world.leader = 3;
    proposals.flush();
    assert.equal(sent.length, 2);
    assert.equal(ends.length, 0);
  });

  test("of another member go back to it, and are never forwarded twice", () => {
    const { proposals, world, sent, ends, submit } = setUp();
    world.leader = other;
    submit("theirs", true);
    submit("own");
    proposals.flush();
    assert.equal(ends[0]?.status, "not-proposed");
    assert.ok(sent[0]?.type === "forward" && sent[0].commands.length === 1);
    world.leader = nobody;
    submit("theirs too", true);
    proposals.flush();
    assert.equal(ends[1]?.status, "not-proposed");
  });
});

test("a draining member takes nothing in and ends everything", async () => {
  const { proposals, clock, ends, submit } = setUp();
  submit("a");
  proposals.flush();
  const drained = proposals.drain(20);
  submit("late");
  const late = ends[0];
  assert.equal(late?.status === "not-proposed" && late.code, "shutting_down");
  for (let at = 0; at < 10; at++) {
    clock.advance(5);
    await Promise.resolve();
  }
  await drained;
  assert.equal(ends[1]?.status, "unknown");
  assert.equal(proposals.inFlight, 0);
});

test("numbers of forwarded commands differ between two lives of a member", () => {
  const first = (seed: number): number => {
    const sent: PeerMessage[] = [];
    const proposals = new Proposals({
      self,
      clock: new FakeClock(),
      random: seededRandom(seed),
      leader: () => other,
      step: () => ({ ok: false, reason: "not-leader" }),
      send: (_to, message) => sent.push(message) > 0,
      wake: () => {},
      committing: () => false,
      observeBatch: () => {},
      blocked: () => undefined,
      requestTimeoutMs: 5000,
      leaderWaitMs: 3000,
    });
    proposals.submit(put("a"), false, () => {});
    proposals.flush();
    const message = sent[0];
    return message?.type === "forward" ? message.first : 0;
  };
  assert.notEqual(first(1), first(2));
});
