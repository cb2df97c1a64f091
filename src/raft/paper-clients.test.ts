import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { emptyBytes } from "../base/bytes.ts";
import { Solo } from "./solo.test-support.ts";

/* Clients' side of the thesis: linearizable reads and leadership transfer. */

const readsOf = (solo: Solo) => solo.reads.map(({ context, index }) => [context, index]);

function answerHeartbeats(solo: Solo, from: number, readRound: number): void {
  solo.receive({ type: "heartbeat-response", from, to: solo.id, term: solo.raft.term, readRound });
}

function proposeChange(solo: Solo) {
  return solo.step({ type: "propose-conf-change", data: emptyBytes });
}

describe("ReadIndex (§6.4)", () => {
  test("a read waits for the term's first commit, then for a majority that confirms the round", () => {
    const solo = new Solo({ voters: [1, 2, 3, 4, 5] }).lead();
    solo.step({ type: "read", context: 7 });
    assert.deepEqual(solo.sentOf("heartbeat"), []);
    solo.acknowledge(2);
    solo.acknowledge(3);
    answerHeartbeats(solo, 2, 1);
    assert.deepEqual(readsOf(solo), []);
    answerHeartbeats(solo, 2, 1);
    assert.deepEqual(readsOf(solo), []);
    answerHeartbeats(solo, 4, 1);
    assert.deepEqual(readsOf(solo), [[7, 2]]);
  });

  test("the round asks for confirmation at once, and answers to earlier heartbeats do not count", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.sent = [];
    solo.step({ type: "read", context: 7 });
    assert.deepEqual(
      solo.sentOf("heartbeat").map(({ to, readRound }) => [to, readRound]),
      [
        [2, 1],
        [3, 1],
      ],
    );
    answerHeartbeats(solo, 3, 0);
    assert.deepEqual(readsOf(solo), []);
    answerHeartbeats(solo, 3, 1);
    assert.deepEqual(readsOf(solo), [[7, 2]]);
    solo.step({ type: "read", context: 8 });
    answerHeartbeats(solo, 2, 1);
    assert.deepEqual(readsOf(solo), [[7, 2]]);
  });

  test("learners do not confirm", () => {
    const solo = new Solo({ voters: [1, 2], learners: [4, 5] }).lead(2);
    solo.acknowledge(2);
    solo.step({ type: "read", context: 7 });
    answerHeartbeats(solo, 4, 1);
    answerHeartbeats(solo, 5, 1);
    assert.deepEqual(readsOf(solo), []);
    answerHeartbeats(solo, 2, 1);
    assert.deepEqual(readsOf(solo), [[7, 2]]);
  });

  test("reads that come while two rounds are under way share the next", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    for (let context = 1; context <= 100; context++) solo.step({ type: "read", context });
    assert.equal(new Set(solo.sentOf("heartbeat").map(({ readRound }) => readRound)).size, 2);
    answerHeartbeats(solo, 2, 2);
    assert.equal(solo.reads.length, 2);
    answerHeartbeats(solo, 2, 3);
    assert.equal(solo.reads.length, 100);
  });

  test("a round that was not heard is asked for again by the next heartbeat", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.step({ type: "read", context: 7 });
    solo.sent = [];
    solo.tick();
    assert.deepEqual(
      solo.sentOf("heartbeat").map(({ readRound }) => readRound),
      [1, 1],
    );
  });

  test("a lone voter answers at once, after its term's first commit", () => {
    const solo = new Solo({ voters: [1], learners: [2] });
    solo.step({ type: "campaign" });
    solo.step({ type: "read", context: 7 });
    assert.deepEqual(readsOf(solo), [[7, 2]]);
  });

  test("leadership lost: reads are refused, at the leader and where they were asked", () => {
    const solo = new Solo().lead();
    solo.step({ type: "read", context: 7 });
    solo.acknowledge(2);
    solo.step({ type: "read", context: 8 });
    solo.heartbeat(3, 9);
    assert.deepEqual(solo.readsRefused, [7, 8]);

    const follower = new Solo();
    follower.step({ type: "read", context: 1 });
    assert.deepEqual(follower.readsRefused, [1]);
    follower.heartbeat(2, 2);
    follower.step({ type: "read", context: 2 });
    assert.deepEqual(
      follower.sentOf("read-index").map(({ to, context }) => [to, context]),
      [[2, 2]],
    );
    follower.heartbeat(3, 3);
    assert.deepEqual(follower.readsRefused, [1, 2]);
    follower.receive({ type: "read-index-response", from: 2, to: 1, term: 3, context: 2, index: 1 });
    assert.deepEqual(follower.reads, []);
  });

  test("a follower's read is confirmed by the leader's round and answered to it alone", () => {
    const solo = new Solo({ learners: [4] }).lead();
    solo.acknowledge(2);
    solo.receive({ type: "read-index", from: 4, to: 1, term: 2, context: 7 });
    answerHeartbeats(solo, 2, 1);
    assert.deepEqual(
      solo.sentOf("read-index-response").map(({ to, context, index }) => [to, context, index]),
      [[4, 7, 2]],
    );
    assert.deepEqual(solo.reads, []);
  });
});

describe("leadership transfer (§3.10)", () => {
  test("the target catches up, then is told; meanwhile no proposal is taken", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.step({ type: "transfer", to: 3 });
    assert.deepEqual(solo.propose("x"), { ok: false, reason: "transferring" });
    assert.deepEqual(proposeChange(solo), { ok: false, reason: "transferring" });
    assert.deepEqual(solo.sentOf("timeout-now"), []);
    assert.deepEqual(
      solo.acknowledge(3).filter(({ type }) => type === "timeout-now"),
      [{ type: "timeout-now", from: 1, to: 3, term: 2 }],
    );
  });

  test("after an election timeout the leader goes on", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.step({ type: "transfer", to: 3 });
    for (let n = 0; n < 10; n++) {
      answerHeartbeats(solo, 2, 0);
      solo.tick();
    }
    assert.equal(solo.propose("x").ok, true);
    assert.deepEqual(
      solo.acknowledge(3).filter(({ type }) => type === "timeout-now"),
      [],
    );
  });

  test("only to another voter, only by the leader", () => {
    const solo = new Solo({ learners: [4] }).lead();
    for (const to of [4, 9]) {
      assert.deepEqual(solo.step({ type: "transfer", to }), { ok: false, reason: "not-a-voter" });
    }
    assert.equal(solo.step({ type: "transfer", to: 1 }).ok, true);
    assert.equal(solo.propose("x").ok, true);
    assert.deepEqual(new Solo().step({ type: "transfer", to: 2 }), { ok: false, reason: "not-leader" });
  });

  test("the target begins an election without pre-vote, which says that the leader asked for it", () => {
    const solo = new Solo();
    solo.heartbeat(2, 2);
    solo.receive({ type: "timeout-now", from: 2, to: 1, term: 2 });
    assert.equal(solo.raft.role, "candidate");
    assert.deepEqual(
      solo.sentOf("vote").map(({ term, pre, transfer }) => [term, pre, transfer]),
      [
        [3, false, true],
        [3, false, true],
      ],
    );
  });
});

describe("a joiner", () => {
  test("campaigns never, and follows a leader it does not know from index 0", () => {
    const solo = new Solo({ voters: [] });
    solo.tick(100);
    assert.deepEqual(solo.step({ type: "campaign" }), { ok: false, reason: "not-a-voter" });
    solo.step({ type: "read", context: 1 });
    assert.deepEqual(solo.readsRefused, [1]);
    assert.deepEqual(solo.sent, []);
  });
});
