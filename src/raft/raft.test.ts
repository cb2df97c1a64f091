import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seededRandom } from "../base/prng.ts";
import { MemoryLog } from "./memory-log.test-support.ts";
import { Raft } from "./raft.ts";

describe("a lone member", () => {
  test("leads once its vote is durable, and commits what it stored", () => {
    const log = new MemoryLog({ index: 1, term: 1 });
    const raft = new Raft({
      id: 7,
      hardState: { term: 1, votedFor: 0, commit: 1 },
      applied: 1,
      conf: { voters: [7], learners: [] },
      log,
      random: seededRandom(1),
      electionTicks: 10,
    });
    assert.deepEqual(raft.step({ type: "campaign" }), { ok: true, index: 1, term: 1 });
    assert.equal(raft.role, "candidate");
    const vote = raft.ready();
    assert.deepEqual(vote.write, {
      id: 1,
      hardState: { term: 2, votedFor: 7, commit: 1 },
      entries: [],
      mustSync: true,
    });
    if (vote.write) log.write(vote.write);
    raft.step({ type: "stored", writeId: 1 });
    assert.equal(raft.isLeader, true);
    assert.deepEqual(raft.step({ type: "propose", data: new Uint8Array([1]) }), {
      ok: true,
      index: 3,
      term: 2,
    });
    const ready = raft.ready();
    assert.deepEqual(
      ready.write?.entries.map((entry) => entry.index),
      [2, 3],
    );
    assert.deepEqual(ready.committed, []);
    assert.equal(raft.hasReady(), false);
    if (ready.write) log.write(ready.write);
    raft.step({ type: "stored", writeId: 2 });
    assert.equal(raft.commit, 3);
    const next = raft.ready();
    assert.deepEqual(
      next.committed.map((entry) => entry.index),
      [2, 3],
    );
    assert.equal(next.write?.mustSync, false);
    raft.step({ type: "applied", index: 3 });
    raft.step({ type: "read", context: 5 });
    assert.deepEqual(raft.ready().reads, [{ context: 5, index: 3 }]);
    assert.equal(raft.hasReady(), false);
  });
});
