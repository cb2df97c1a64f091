import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Solo } from "./solo.test-support.ts";
import type { Message } from "./types.ts";

/*
 * One test a rule. Sections are those of Ongaro's thesis ("Consensus: Bridging Theory and Practice",
 * 2014); figures 7 and 8 of the Raft paper are in test/scenarios.
 */

const granted = (messages: readonly Message[]) =>
  messages.map((message) => (message.type === "vote-response" ? message.granted : message.type));

describe("terms (§3.3)", () => {
  test("a member that sees a later term follows it and forgets its vote", () => {
    for (const make of [() => new Solo({ term: 2, votedFor: 1 }), () => new Solo({ term: 1 }).lead()]) {
      const solo = make();
      solo.heartbeat(2, 7);
      assert.equal(solo.raft.term, 7);
      assert.equal(solo.raft.role, "follower");
      assert.equal(solo.raft.leader, 2);
      assert.deepEqual(solo.hardState, { term: 7, votedFor: 0, commit: 1 });
    }
  });

  test("a message of a past term is not taken, and a leader of a past term learns the new one", () => {
    const solo = new Solo({ term: 5, terms: [5] });
    const [answer] = solo.append(2, 4, [1, 1], [4]);
    assert.equal(answer?.term, 5);
    assert.equal(answer?.type === "append-response" && answer.rejected, true);
    assert.deepEqual(solo.terms, [5]);
    assert.equal(solo.raft.leader, 0);
    assert.deepEqual(solo.ask(2, 4, [9, 4]), []);
  });

  test("a candidate that hears from the leader of its term follows it", () => {
    const solo = new Solo();
    solo.step({ type: "campaign" });
    solo.vote(2, true);
    assert.equal(solo.raft.role, "candidate");
    solo.heartbeat(3, 2);
    assert.equal(solo.raft.role, "follower");
    assert.equal(solo.raft.leader, 3);
    assert.equal(solo.hardState.votedFor, 1);
  });

  test("term and vote are handed out to be stored before anything is sent on their strength", () => {
    const solo = new Solo();
    solo.storeAtOnce = false;
    assert.deepEqual(solo.ask(2, 2, [1, 1]), []);
    assert.deepEqual(solo.readies.at(-1)?.write?.hardState, { term: 2, votedFor: 2, commit: 1 });
    assert.equal(solo.readies.at(-1)?.write?.mustSync, true);
    solo.store();
    assert.deepEqual(granted(solo.sent), [true]);
  });
});

describe("leader election (§3.4)", () => {
  test("the timeout is drawn anew from [n, 2n)", () => {
    const seen = new Set<number>();
    for (let seed = 1; seed <= 200; seed++) {
      const solo = new Solo({ seed, electionTicks: 5 });
      let ticks = 0;
      while (solo.raft.role === "follower") {
        solo.tick();
        ticks++;
      }
      seen.add(ticks);
    }
    assert.deepEqual([...seen].sort(), [5, 6, 7, 8, 9]);
  });

  test("a leader's heartbeat restarts it", () => {
    const solo = new Solo();
    for (let n = 0; n < 10; n++) {
      solo.tick(9);
      solo.heartbeat(2, 1);
    }
    assert.equal(solo.raft.role, "follower");
    assert.equal(solo.raft.leader, 2);
  });

  test("one vote a term, also after a restart; the same candidate gets it again", () => {
    const solo = new Solo();
    assert.deepEqual(granted(solo.ask(2, 2, [1, 1])), [true]);
    assert.deepEqual(granted(solo.ask(3, 2, [1, 1])), [false]);
    assert.deepEqual(granted(solo.ask(2, 2, [1, 1])), [true]);
    const restarted = new Solo(solo.hardState);
    assert.deepEqual(granted(restarted.ask(3, 2, [1, 1])), [false]);
    assert.deepEqual(granted(restarted.ask(2, 2, [1, 1])), [true]);
  });

  test("a majority of all voters elects, each voter once, and its own vote only when durable", () => {
    const solo = new Solo({ voters: [1, 2, 3, 4, 5] });
    solo.storeAtOnce = false;
    solo.step({ type: "campaign" });
    solo.vote(2, true);
    solo.vote(3, true);
    assert.equal(solo.raft.role, "candidate");
    solo.vote(2, false);
    solo.vote(2, false);
    solo.store();
    assert.equal(solo.raft.role, "candidate");
    solo.vote(9, false);
    assert.equal(solo.raft.role, "candidate");
    solo.vote(3, false);
    assert.equal(solo.raft.role, "leader");
  });

  test("not even a majority of others elects before its own vote is durable", () => {
    const solo = new Solo();
    solo.storeAtOnce = false;
    solo.step({ type: "campaign" });
    for (const from of [2, 3]) solo.vote(from, true);
    for (const from of [2, 3]) solo.vote(from, false);
    assert.equal(solo.raft.role, "candidate");
    solo.store();
    assert.equal(solo.raft.role, "leader");
  });

  test("a candidate that a majority refuses waits for another timeout", () => {
    const solo = new Solo();
    solo.step({ type: "campaign" });
    for (const from of [2, 3]) solo.vote(from, true);
    for (const from of [2, 3]) solo.vote(from, false, false);
    assert.equal(solo.raft.role, "follower");
    assert.equal(solo.raft.term, 2);
  });

  test("a leader opens its term with an empty entry and announces itself with it (§6.4)", () => {
    const solo = new Solo();
    solo.step({ type: "campaign" });
    solo.vote(2, true);
    solo.sent = [];
    solo.vote(2, false);
    const appends = solo.sentOf("append");
    assert.deepEqual(
      appends.map(({ to }) => to),
      [2, 3],
    );
    assert.deepEqual(
      appends[0]?.entries.map(({ index, term, kind }) => [index, term, kind]),
      [[2, 2, 1]],
    );
  });
});

describe("election restriction (§3.6.1)", () => {
  const own = [1, 2, 2];
  for (const [last, expected] of [
    [[4, 2], true],
    [[5, 2], true],
    [[3, 2], false],
    [[9, 1], false],
    [[2, 3], true],
  ] as const) {
    test(`a log that ends in entry 4 of term 2 ${expected ? "grants" : "refuses"} one that ends in ${last.join(" of term ")}`, () => {
      for (const kind of ["vote", "pre"] as const) {
        const solo = new Solo({ terms: own, term: 2 });
        assert.deepEqual(granted(solo.ask(2, 4, last, kind)), [expected]);
      }
    });
  }

  test("a refused candidate's later term is taken over all the same", () => {
    const solo = new Solo({ terms: own, term: 2 });
    solo.ask(2, 4, [1, 1]);
    assert.deepEqual(solo.hardState, { term: 4, votedFor: 0, commit: 1 });
  });
});

describe("log replication (§3.5)", () => {
  test("an append is refused where the entry before it does not match", () => {
    for (const [prev, hint] of [
      [
        [3, 2],
        [1, 1],
      ],
      [
        [2, 1],
        [1, 1],
      ],
      [
        [9, 4],
        [4, 3],
      ],
    ] as const) {
      const solo = new Solo({ terms: [3, 3, 3], term: 3 });
      const [answer] = solo.append(2, 4, prev, [4]);
      assert.deepEqual(answer, {
        type: "append-response",
        from: 1,
        to: 2,
        term: 4,
        index: prev[0],
        rejected: true,
        hintIndex: hint[0],
        hintTerm: hint[1],
      });
      assert.deepEqual(solo.terms, [3, 3, 3]);
    }
  });

  test("conflicting entries are replaced, with all that follow", () => {
    const solo = new Solo({ terms: [1, 2, 2, 2], term: 2 });
    solo.append(2, 3, [2, 1], [3]);
    assert.deepEqual(solo.terms, [1, 3]);
  });

  test("an append that is in the log already, late or twice, cuts nothing off", () => {
    const solo = new Solo();
    solo.append(2, 2, [1, 1], [2, 2, 2]);
    const answers = solo.append(2, 2, [1, 1], [2]);
    assert.deepEqual(solo.terms, [2, 2, 2]);
    assert.equal(answers[0]?.type === "append-response" && answers[0].index, 2);
  });

  test("commit is not taken beyond the last entry that is known to match", () => {
    const solo = new Solo({ terms: [1, 1, 1], term: 1 });
    solo.append(2, 2, [2, 1], [], 4);
    assert.equal(solo.raft.commit, 2);
    solo.append(2, 2, [2, 1], [2], 9);
    assert.equal(solo.raft.commit, 3);
    assert.deepEqual(solo.terms, [1, 2]);
  });

  test("an acknowledgement names only what matches, not what else the log holds", () => {
    const solo = new Solo({ terms: [1, 1, 1], term: 1 });
    const [answer] = solo.append(2, 2, [2, 1], []);
    assert.equal(answer?.type === "append-response" && answer.index, 2);
  });

  test("an append with gaps or falling terms is ignored", () => {
    const solo = new Solo();
    solo.append(2, 3, [1, 1], [3, 2]);
    solo.append(2, 3, [1, 1], [4]);
    assert.deepEqual(solo.terms, []);
  });

  test("a leader appends only, and sends to the followers what they lack (leader append-only)", () => {
    const solo = new Solo({ terms: [1], term: 1 }).lead();
    assert.deepEqual(solo.propose("x"), { ok: true, index: 4, term: 2 });
    assert.deepEqual(solo.terms, [1, 2, 2]);
    // Where the logs agree is not known yet: nothing more before the first answer.
    assert.deepEqual(solo.sentOf("append"), []);
    const [next] = solo.acknowledge(2, 3);
    assert.deepEqual(next?.type === "append" && next.entries.map(({ index }) => index), [4]);
  });

  test("appends run ahead of their answers (§10.2.1), within the window", () => {
    const solo = new Solo({ limits: { appendsInFlightMax: 2 } }).lead();
    solo.acknowledge(2);
    solo.sent = [];
    for (const text of ["a", "b", "c"]) solo.propose(text);
    assert.deepEqual(
      solo.sentOf("append").map(({ prevIndex }) => prevIndex),
      [2, 3],
    );
    const [next] = solo.acknowledge(2, 3).filter(({ to }) => to === 2);
    assert.equal(next?.type === "append" && next.prevIndex, 4);
  });

  test("a follower that cannot be reached is probed, not flooded", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.step({ type: "unreachable", member: 2 });
    solo.sent = [];
    for (const text of ["a", "b", "c"]) solo.propose(text);
    assert.equal(solo.sentOf("append").filter(({ to }) => to === 2).length, 1);
    assert.equal(solo.raft.status().progress[0]?.state, "probe");
  });

  test("a refusal that later acknowledgements have overtaken changes nothing", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.propose("x");
    solo.acknowledge(2);
    solo.sent = [];
    const refusal = { type: "append-response", from: 2, to: 1, term: 2, rejected: true } as const;
    solo.receive({ ...refusal, index: 2, hintIndex: 1, hintTerm: 1 });
    assert.deepEqual(solo.sentOf("append"), []);
    assert.equal(solo.raft.status().progress[0]?.state, "replicate");
    assert.equal(solo.raft.status().progress[0]?.match, 3);
  });

  test("appends that were lost are found by the next heartbeat's answer", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.propose("lost");
    const heard = { type: "heartbeat-response", from: 2, to: 1, term: 2, readRound: 0 } as const;
    const [probe] = solo.receive(heard);
    assert.deepEqual(probe?.type === "append" && [probe.prevIndex, probe.entries.length], [3, 0]);
    const refusal = { type: "append-response", from: 2, to: 1, term: 2, rejected: true } as const;
    const [again] = solo.receive({ ...refusal, index: 3, hintIndex: 2, hintTerm: 2 });
    assert.deepEqual(again?.type === "append" && [again.prevIndex, again.entries.length], [2, 1]);
  });

  test("a proposal over the bound on uncommitted bytes is refused, one of any size is not", () => {
    const solo = new Solo({ limits: { uncommittedBytesMax: 4 } }).lead();
    solo.acknowledge(2);
    assert.equal(solo.propose("more than four").ok, true);
    assert.deepEqual(solo.propose("x"), { ok: false, reason: "too-much-uncommitted" });
    solo.acknowledge(2);
    assert.equal(solo.propose("x").ok, true);
  });
});

describe("commitment (§3.6.2)", () => {
  test("an entry of a prior term is not committed by counting, but with one of this term", () => {
    const solo = new Solo({ terms: [2, 2], term: 2 }).lead();
    solo.acknowledge(2, 3);
    solo.acknowledge(3, 3);
    assert.equal(solo.raft.commit, 1);
    solo.acknowledge(2, 4);
    assert.equal(solo.raft.commit, 4);
    assert.deepEqual(
      solo.applied.map(({ term }) => term),
      [2, 2, 3],
    );
  });

  test("a follower applies what the leader says is committed, in order, once", () => {
    const solo = new Solo();
    solo.append(2, 2, [1, 1], [2, 2, 2], 2);
    solo.heartbeat(2, 2, 4);
    solo.heartbeat(2, 2, 3);
    assert.deepEqual(
      solo.applied.map(({ index }) => index),
      [2, 3, 4],
    );
  });

  test("nothing more is handed out before what was is applied", () => {
    const solo = new Solo();
    solo.applyAtOnce = false;
    solo.append(2, 2, [1, 1], [2, 2, 2], 2);
    solo.heartbeat(2, 2, 4);
    assert.deepEqual(
      solo.applied.map(({ index }) => index),
      [2],
    );
    solo.step({ type: "applied", index: 2 });
    assert.deepEqual(
      solo.applied.map(({ index }) => index),
      [2, 3, 4],
    );
  });

  test("a commit index beyond the log means that acknowledged entries are gone: the member stops", () => {
    const solo = new Solo();
    assert.throws(() => solo.heartbeat(2, 2, 9), /acknowledged entries are gone/);
  });
});

describe("storage that answers later (§10.2.1)", () => {
  test("the leader's own disk counts only when it is done; followers can commit before it", () => {
    const solo = new Solo().lead();
    solo.acknowledge(2);
    solo.acknowledge(3);
    solo.storeAtOnce = false;
    solo.propose("x");
    solo.acknowledge(2);
    assert.equal(solo.raft.commit, 2);
    solo.acknowledge(3);
    assert.equal(solo.raft.commit, 3);
    assert.equal(solo.raft.applied, 2);
    solo.store();
    assert.equal(solo.raft.applied, 3);
  });

  test("an entry is acknowledged only when its write is durable, each with its own", () => {
    const solo = new Solo();
    solo.storeAtOnce = false;
    assert.deepEqual(solo.append(2, 2, [1, 1], [2]), []);
    assert.deepEqual(solo.append(2, 2, [2, 2], [2]), []);
    solo.store(1);
    assert.deepEqual(
      solo.sentOf("append-response").map(({ index }) => index),
      [2],
    );
    solo.store();
    assert.deepEqual(
      solo.sentOf("append-response").map(({ index }) => index),
      [2, 3],
    );
  });

  test("a repeated acknowledgement waits for the write that is still on its way", () => {
    const solo = new Solo();
    solo.storeAtOnce = false;
    solo.append(2, 2, [1, 1], [2]);
    assert.deepEqual(solo.append(2, 2, [1, 1], [2], 2), []);
    solo.store();
    assert.deepEqual(
      solo.sentOf("append-response").map(({ index }) => index),
      [2, 2],
    );
  });

  test("an entry that was overwritten and came back is durable only by its last write", () => {
    const solo = new Solo();
    solo.storeAtOnce = false;
    solo.append(2, 2, [1, 1], [2]);
    solo.append(3, 3, [1, 1], [3]);
    solo.append(2, 4, [1, 1], [2]);
    solo.store(1);
    assert.equal(solo.raft.status().stable, 1);
    solo.store(1);
    assert.equal(solo.raft.status().stable, 1);
    solo.store(1);
    assert.equal(solo.raft.status().stable, 2);
  });

  test("a move of the commit index alone needs no sync", () => {
    const solo = new Solo();
    solo.append(2, 2, [1, 1], [2]);
    solo.heartbeat(2, 2, 2);
    assert.deepEqual(solo.readies.at(-1)?.write, {
      id: 2,
      hardState: { term: 2, votedFor: 0, commit: 2 },
      entries: [],
      mustSync: false,
    });
  });

  test("an acknowledgement does not wait for a write that nobody syncs", () => {
    const solo = new Solo();
    solo.append(2, 2, [1, 1], [2]);
    const before = solo.readies.length;
    solo.append(2, 2, [2, 2], [], 2);
    const first = solo.readies[before];
    assert.equal(first?.write, undefined);
    assert.deepEqual(
      first?.messages.map(({ type }) => type),
      ["append-response"],
    );
    assert.equal(solo.readies[before + 1]?.write?.mustSync, false);
  });
});
