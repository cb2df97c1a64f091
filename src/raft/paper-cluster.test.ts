import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { emptyBytes } from "../base/bytes.ts";
import { Solo } from "./solo.test-support.ts";
import type { ConfState, Message, SnapshotMeta } from "./types.ts";

/* What the thesis adds to the core rules of `paper.test.ts`: PreVote, CheckQuorum, membership, snapshots. */

const granted = (messages: readonly Message[]) =>
  messages.map((message) => (message.type === "vote-response" ? message.granted : message.type));

function answerHeartbeats(solo: Solo, from: number, readRound: number): void {
  solo.receive({ type: "heartbeat-response", from, to: solo.id, term: solo.raft.term, readRound });
}

function proposeChange(solo: Solo) {
  return solo.step({ type: "propose-conf-change", data: emptyBytes });
}

describe("PreVote (§9.6)", () => {
  test("asking changes neither term nor vote, nor does answering", () => {
    const solo = new Solo({ term: 3 });
    solo.step({ type: "campaign" });
    assert.equal(solo.raft.role, "pre-candidate");
    assert.deepEqual(solo.hardState, { term: 3, votedFor: 0, commit: 1 });
    assert.deepEqual(
      solo.sentOf("vote").map(({ term, pre }) => [term, pre]),
      [
        [4, true],
        [4, true],
      ],
    );
    const other = new Solo({ term: 3 });
    assert.deepEqual(granted(other.ask(2, 4, [1, 1], "pre")), [true]);
    assert.deepEqual(granted(other.ask(3, 4, [1, 1], "pre")), [true]);
    assert.deepEqual(other.hardState, { term: 3, votedFor: 0, commit: 1 });
  });

  test("answering does not put off the member's own election", () => {
    const solo = new Solo();
    let ticks = 0;
    for (; solo.raft.role === "follower" && ticks < 30; ticks++) {
      solo.ask(2, 2, [1, 1], "pre");
      solo.tick();
    }
    assert.ok(ticks < 20, `${ticks} ticks`);
  });

  test("a majority of pre-votes begins the election; answers to an older question do not count", () => {
    const solo = new Solo({ term: 3, voters: [1, 2, 3, 4, 5] });
    solo.step({ type: "campaign" });
    const old = { type: "vote-response", to: 1, term: 3, pre: true, granted: true } as const;
    solo.receive({ ...old, from: 2 });
    solo.receive({ ...old, from: 3 });
    assert.equal(solo.raft.role, "pre-candidate");
    solo.vote(2, true);
    solo.vote(3, true);
    assert.equal(solo.raft.role, "candidate");
    assert.equal(solo.raft.term, 4);
  });

  test("a refusal of a later term is followed", () => {
    const solo = new Solo({ term: 3 });
    solo.step({ type: "campaign" });
    solo.receive({ type: "vote-response", from: 2, to: 1, term: 8, pre: true, granted: false });
    assert.equal(solo.raft.term, 8);
    assert.equal(solo.raft.role, "follower");
  });
});

describe("leader stickiness (§4.2.3)", () => {
  test("within the minimum election timeout of hearing a leader nobody gets a vote", () => {
    for (const kind of ["vote", "pre"] as const) {
      const solo = new Solo();
      solo.heartbeat(2, 2);
      solo.tick(9);
      assert.deepEqual(solo.ask(3, 9, [9, 9], kind), []);
      assert.equal(solo.raft.term, 2);
      solo.tick();
      assert.deepEqual(granted(solo.ask(3, 9, [9, 9], kind)), [true]);
    }
  });

  test("one that may not campaign itself gives up a silent leader all the same", () => {
    const solo = new Solo({ id: 4, learners: [4] });
    solo.heartbeat(1, 2);
    solo.tick(9);
    assert.equal(solo.raft.leader, 1);
    solo.tick(11);
    assert.equal(solo.raft.leader, 0);
    assert.deepEqual(granted(solo.ask(1, 3, [1, 1])), [true]);
  });

  test("a leader in touch with its majority is not moved by a later term's vote request", () => {
    const solo = new Solo().lead();
    assert.deepEqual(solo.ask(3, 9, [9, 9]), []);
    assert.equal(solo.raft.isLeader, true);
  });

  test("an election that the leader asked for goes ahead (§3.10)", () => {
    const solo = new Solo();
    solo.heartbeat(2, 2);
    assert.deepEqual(granted(solo.ask(3, 3, [9, 2], "transfer")), [true]);
  });

  test("the leader's connection closed: stickiness ends, and a pre-vote follows within ticks", () => {
    for (let seed = 1; seed < 20; seed++) {
      const solo = new Solo({ seed });
      solo.heartbeat(2, 2);
      solo.step({ type: "disconnected", member: 3 });
      assert.equal(solo.raft.leader, 2);
      solo.step({ type: "disconnected", member: 2 });
      assert.equal(solo.raft.leader, 0);
      for (let ticks = 0; solo.raft.role === "follower"; ticks++) {
        assert.ok(ticks <= 2, "no pre-vote within two ticks");
        solo.tick();
      }
      assert.equal(solo.raft.role, "pre-candidate");
      assert.equal(solo.hardState.term, 2);
    }
  });
});

describe("CheckQuorum (§6.2)", () => {
  test("a leader that a majority has not answered within an election timeout steps down", () => {
    const solo = new Solo({ voters: [1, 2, 3, 4, 5], learners: [6] }).lead();
    for (let n = 0; n < 30; n++) {
      solo.tick();
      for (const from of [2, 3]) answerHeartbeats(solo, from, 0);
    }
    assert.equal(solo.raft.isLeader, true);
    for (let n = 0; n < 9; n++) {
      solo.tick();
      for (const from of [2, 6]) answerHeartbeats(solo, from, 0);
    }
    assert.equal(solo.raft.isLeader, true);
    solo.tick();
    assert.equal(solo.raft.isLeader, false);
    assert.equal(solo.raft.term, 2);
  });
});

describe("membership changes (§4.1)", () => {
  test("none before an entry of the leader's term is committed (raft-dev, 2015)", () => {
    const solo = new Solo().lead();
    assert.deepEqual(proposeChange(solo), { ok: false, reason: "no-commit-in-term" });
    solo.acknowledge(2);
    assert.equal(proposeChange(solo).ok, true);
  });

  test("none while another is in flight, until it is applied", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.applyAtOnce = false;
    assert.equal(proposeChange(solo).ok, true);
    assert.deepEqual(proposeChange(solo), { ok: false, reason: "conf-change-pending" });
    solo.acknowledge(2);
    assert.deepEqual(proposeChange(solo), { ok: false, reason: "conf-change-pending" });
    solo.step({ type: "applied", index: 3 });
    assert.equal(proposeChange(solo).ok, true);
  });

  test("a new leader takes it that one is in its log", () => {
    const solo = new Solo({ terms: [1, 1], term: 1 });
    solo.applyAtOnce = false;
    solo.lead();
    solo.acknowledge(2);
    assert.deepEqual(proposeChange(solo), { ok: false, reason: "conf-change-pending" });
    solo.step({ type: "applied", index: 4 });
    assert.equal(proposeChange(solo).ok, true);
  });

  test("a step of more than one member is a bug", () => {
    const step = (conf: ConfState) => () => {
      const solo = new Solo().lead();
      solo.acknowledge(2);
      solo.step({ type: "conf-applied", index: 2, conf });
    };
    assert.throws(step({ voters: [1, 2, 3, 4, 5], learners: [] }), /by 2 members/);
    assert.throws(step({ voters: [1], learners: [] }), /by 2 members/);
    assert.throws(step({ voters: [], learners: [] }), /without voters/);
    assert.doesNotThrow(step({ voters: [1, 2], learners: [] }));
    assert.doesNotThrow(step({ voters: [1, 2, 3], learners: [4] }));
    assert.doesNotThrow(step({ voters: [1, 2, 3], learners: [] }));
  });

  test("nobody campaigns with a committed change that it has not applied", () => {
    const solo = new Solo();
    solo.applyAtOnce = false;
    const entries = [{ index: 2, term: 2, kind: 2, data: emptyBytes } as const];
    solo.receive({ type: "append", from: 2, to: 1, term: 2, prevIndex: 1, prevTerm: 1, commit: 2, entries });
    assert.deepEqual(solo.step({ type: "campaign" }), { ok: false, reason: "conf-change-pending" });
    solo.tick(40);
    solo.receive({ type: "timeout-now", from: 2, to: 1, term: 2 });
    assert.equal(solo.raft.role, "follower");
    solo.step({ type: "conf-applied", index: 2, conf: { voters: [1, 2, 3], learners: [4] } });
    solo.step({ type: "applied", index: 2 });
    assert.equal(solo.step({ type: "campaign" }).ok, true);
  });

  test("learners do not campaign, and count neither for votes nor for commits (§4.2.1)", () => {
    const learner = new Solo({ id: 4, learners: [4] });
    assert.deepEqual(learner.step({ type: "campaign" }), { ok: false, reason: "not-a-voter" });
    learner.tick(60);
    learner.receive({ type: "timeout-now", from: 1, to: 4, term: 1 });
    assert.equal(learner.raft.role, "follower");

    const solo = new Solo({ learners: [4, 5, 6] });
    solo.step({ type: "campaign" });
    for (const from of [4, 5, 6]) solo.vote(from, true);
    assert.equal(solo.raft.role, "pre-candidate");
    assert.deepEqual(
      solo.sentOf("vote").map(({ to }) => to),
      [2, 3],
    );
    solo.lead();
    for (const from of [4, 5, 6]) solo.acknowledge(from);
    assert.equal(solo.raft.commit, 1);
    solo.acknowledge(2);
    assert.equal(solo.raft.commit, 2);
  });

  test("a voter that was removed no longer counts, and a smaller majority may be reached at once", () => {
    const solo = new Solo({ voters: [1, 2, 3, 4] }).lead();
    solo.acknowledge(2);
    solo.acknowledge(3);
    solo.propose("x");
    solo.acknowledge(2);
    assert.equal(solo.raft.commit, 2);
    solo.step({ type: "conf-applied", index: 2, conf: { voters: [1, 2, 3], learners: [] } });
    assert.equal(solo.raft.commit, 3);
  });

  test("members that are not known cannot disturb: their answers of later terms are ignored", () => {
    const solo = new Solo().lead();
    const rest = { from: 9, to: 1, term: 50 };
    solo.receive({ ...rest, type: "heartbeat-response", readRound: 0 });
    solo.receive({ ...rest, type: "append-response", index: 9, rejected: false, hintIndex: 0, hintTerm: 0 });
    solo.receive({ ...rest, type: "vote-response", pre: false, granted: false });
    solo.receive({ ...rest, type: "read-index", context: 1 });
    solo.receive({ ...rest, type: "timeout-now" });
    assert.equal(solo.raft.isLeader, true);
    assert.equal(solo.raft.term, 2);
  });

  test("a member takes entries from a leader that it does not know, and gives a stranger its vote (§4.1)", () => {
    const solo = new Solo();
    solo.append(9, 4, [1, 1], [4]);
    assert.equal(solo.raft.leader, 9);
    assert.deepEqual(solo.terms, [4]);
    assert.deepEqual(granted(new Solo().ask(9, 4, [1, 1])), [true]);
  });

  test("a removed leader takes no proposals, and leads until another does (§4.2.2)", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.acknowledge(3);
    solo.step({ type: "conf-applied", index: 2, conf: { voters: [2, 3], learners: [] } });
    assert.deepEqual(solo.propose("x"), { ok: false, reason: "transferring" });
    assert.equal(solo.sentOf("timeout-now").length, 1);
    // Its own disk counts no more.
    assert.equal(solo.raft.isLeader, true);
    solo.heartbeat(2, 3);
    assert.equal(solo.raft.role, "follower");
    solo.tick(60);
    assert.equal(solo.raft.role, "follower");
  });
});

describe("snapshots (§5.1)", () => {
  const conf: ConfState = { voters: [1, 2, 3], learners: [] };
  const install = (solo: Solo, snapshot: SnapshotMeta, term = 5) =>
    solo.receive({ type: "snapshot", from: 2, to: 1, term, snapshot });

  test("one that goes beyond the log replaces it, and is acknowledged when durable", () => {
    const solo = new Solo({ terms: [1, 2], term: 2 });
    solo.storeAtOnce = false;
    assert.deepEqual(install(solo, { index: 9, term: 4, conf }), []);
    assert.deepEqual(solo.readies.at(-1)?.write?.snapshot, { index: 9, term: 4, conf });
    assert.equal(solo.raft.commit, 9);
    assert.equal(solo.raft.lastIndex, 9);
    // Neither a campaign nor an append over it before it is installed.
    assert.deepEqual(solo.step({ type: "campaign" }), { ok: false, reason: "conf-change-pending" });
    solo.step({ type: "conf-applied", index: 9, conf: { voters: [1, 2, 3, 4, 5], learners: [6] } });
    solo.step({ type: "applied", index: 9 });
    solo.store();
    assert.deepEqual(
      solo.sentOf("append-response").map(({ index, rejected }) => [index, rejected]),
      [[9, false]],
    );
    assert.equal(solo.raft.status().stable, 9);
    solo.append(2, 5, [9, 4], [5], 10);
    solo.store();
    assert.deepEqual(
      solo.applied.map(({ index }) => index),
      [10],
    );
  });

  test("entries that follow it are taken before it is durable, and applied after", () => {
    const solo = new Solo();
    solo.storeAtOnce = false;
    install(solo, { index: 9, term: 4, conf });
    solo.append(2, 5, [9, 4], [5], 10);
    assert.deepEqual(solo.applied, []);
    solo.step({ type: "conf-applied", index: 9, conf });
    solo.step({ type: "applied", index: 9 });
    solo.store(1);
    assert.deepEqual(solo.applied, []);
    solo.store();
    assert.deepEqual(
      solo.applied.map(({ index }) => index),
      [10],
    );
  });

  test("one that arrives while another is installed follows it", () => {
    const solo = new Solo();
    solo.storeAtOnce = false;
    install(solo, { index: 9, term: 4, conf });
    install(solo, { index: 20, term: 4, conf });
    for (const [index, voters] of [
      [9, [1, 2, 3, 4, 5]],
      [20, [1, 2, 3, 4, 5, 6, 7]],
    ] as const) {
      solo.step({ type: "conf-applied", index, conf: { voters: [...voters], learners: [] } });
      solo.step({ type: "applied", index });
      solo.store();
    }
    assert.equal(solo.raft.status().stable, 20);
    solo.append(2, 5, [20, 4], [5], 21);
    solo.store();
    assert.deepEqual(
      solo.applied.map(({ index }) => index),
      [21],
    );
    const tooFar = { voters: [1, 2, 3, 4, 5], learners: [] };
    assert.throws(() => solo.step({ type: "conf-applied", index: 21, conf: tooFar }), /by 2 members/);
  });

  test("one that is older than the commit index is ignored, and says so", () => {
    const solo = new Solo();
    solo.append(2, 5, [1, 1], [5, 5], 3);
    solo.log.cut(3);
    const [answer] = install(solo, { index: 2, term: 5, conf });
    assert.equal(answer?.type === "append-response" && answer.index, 3);
    assert.equal(solo.raft.lastIndex, 3);
    assert.equal(
      solo.readies.some(({ write }) => write?.snapshot),
      false,
    );
  });

  test("one that the log agrees with moves only the commit index", () => {
    const solo = new Solo();
    solo.append(2, 5, [1, 1], [5, 5, 5]);
    install(solo, { index: 3, term: 5, conf });
    assert.equal(solo.raft.commit, 3);
    assert.deepEqual(solo.terms, [5, 5, 5]);
  });

  test("one that the log disagrees with replaces all of it, also what goes beyond", () => {
    const solo = new Solo({ terms: [2, 2, 2, 2], term: 2 });
    install(solo, { index: 3, term: 4, conf });
    assert.equal(solo.raft.lastIndex, 3);
    assert.equal(solo.log.term(3), 4);
  });

  test("a write in flight from before the snapshot makes nothing of the new log durable", () => {
    const solo = new Solo();
    solo.storeAtOnce = false;
    solo.append(2, 4, [1, 1], [4, 4, 4, 4]);
    install(solo, { index: 3, term: 5, conf });
    solo.store(1);
    assert.equal(solo.raft.status().stable, 1);
    solo.store();
    assert.equal(solo.raft.status().stable, 3);
  });

  test("a follower behind the leader's log gets one, and entries again after it answered", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    for (const text of ["a", "b", "c"]) solo.propose(text);
    solo.acknowledge(2);
    solo.log.cut(4);
    const refusal = { type: "append-response", from: 3, to: 1, term: 2, rejected: true } as const;
    solo.receive({ ...refusal, index: 1, hintIndex: 0, hintTerm: 0 });
    assert.deepEqual(solo.snapshotsWanted, [3]);
    assert.equal(solo.raft.status().progress[1]?.state, "snapshot");
    solo.sent = [];
    solo.propose("d");
    assert.equal(
      solo.sent.some(({ to, type }) => to === 3 && type === "append"),
      false,
    );
    // Failed: another probe after its next answer, and another snapshot.
    solo.step({ type: "snapshot-sent", member: 3, index: undefined });
    assert.deepEqual(solo.snapshotsWanted, [3]);
    answerHeartbeats(solo, 3, 0);
    assert.deepEqual(solo.snapshotsWanted, [3, 3]);
    solo.step({ type: "snapshot-sent", member: 3, index: 5 });
    const [next] = solo.acknowledge(3, 5).filter(({ to }) => to === 3);
    assert.equal(next?.type === "append" && next.prevIndex, 5);
    assert.equal(solo.raft.status().progress[1]?.state, "replicate");
  });

  test("after a snapshot the follower is probed behind it, should its answer be lost", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.propose("a");
    solo.acknowledge(2);
    solo.log.cut(3);
    const refusal = { type: "append-response", from: 3, to: 1, term: 2, rejected: true } as const;
    solo.receive({ ...refusal, index: 1, hintIndex: 0, hintTerm: 0 });
    solo.step({ type: "snapshot-sent", member: 3, index: 3 });
    solo.sent = [];
    answerHeartbeats(solo, 3, 0);
    assert.deepEqual(
      solo.sentOf("append").map(({ to, prevIndex }) => [to, prevIndex]),
      [[3, 3]],
    );
    assert.deepEqual(solo.snapshotsWanted, [3]);
  });

  test("no snapshot is made for a follower that is silent", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.log.cut(2);
    for (let n = 0; n < 12; n++) {
      solo.tick();
      solo.acknowledge(2);
    }
    solo.propose("x");
    assert.deepEqual(solo.snapshotsWanted, []);
  });
});
