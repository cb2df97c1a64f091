import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { RaftLog } from "./log.ts";
import { MemoryLog } from "./memory-log.test-support.ts";
import { quorumIndex, tally } from "./quorum.ts";
import { type Entry, entryKind } from "./types.ts";

const entry = (index: number, term: number): Entry => ({
  index,
  term,
  kind: entryKind.normal,
  data: new Uint8Array([index % 256, term % 256]),
});

/** A log, its disk, and a simple list that says what it must hold. */
class Model {
  readonly memory = new MemoryLog();
  readonly disk = new MemoryLog();
  readonly log = new RaftLog(this.memory, { term: 0, votedFor: 0, commit: 0 });
  readonly writes: Parameters<MemoryLog["write"]>[0][] = [];
  terms: number[] = [];
  term = 1;

  replace(keep: number, count: number): void {
    this.term++;
    // What is in the snapshot or durable prefix may be cut, as long as it is not committed: here all may.
    const from = Math.min(keep, this.terms.length);
    this.terms = [...this.terms.slice(0, from), ...Array.from({ length: count }, () => this.term)];
    this.log.replaceFrom(Array.from({ length: count }, (_, at) => entry(from + 1 + at, this.term)));
  }

  take(): void {
    const write = this.log.takeWrite(undefined, true);
    this.memory.write(write);
    this.writes.push(write);
  }

  store(): void {
    const write = this.writes.shift();
    if (!write) return;
    this.disk.write(write);
    this.log.stored(write.id);
  }

  check(): void {
    assert.equal(this.log.lastIndex, this.terms.length);
    for (let index = 1; index <= this.terms.length; index++) {
      assert.equal(this.log.term(index), this.terms[index - 1]);
      // What counts as durable is on disk, and stays there whatever of the writes in flight comes.
      if (index > this.log.stable) continue;
      assert.equal(this.disk.term(index), this.terms[index - 1]);
      for (const { entries } of this.writes) {
        const later = entries.find((written) => written.index === index);
        assert.equal(later?.term ?? this.terms[index - 1], this.terms[index - 1]);
      }
    }
    assert.deepEqual(
      this.log.entries(1, this.terms.length + 1, 1e6).map(({ term }) => term),
      this.terms,
    );
  }
}

describe("the log with writes in flight", () => {
  test("holds what a simple list holds, and calls durable only what a crash cannot take", () => {
    const command = fc.oneof(
      fc.record({
        do: fc.constant("replace" as const),
        keep: fc.nat(12),
        count: fc.integer({ min: 1, max: 4 }),
      }),
      fc.record({ do: fc.constantFrom("take" as const, "store" as const) }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const model = new Model();
        for (const command of commands) {
          if (command.do === "replace") model.replace(command.keep, command.count);
          else model[command.do]();
          model.check();
        }
        model.take();
        while (model.writes.length > 0) model.store();
        assert.equal(model.log.stable, model.log.lastIndex);
      }),
      { numRuns: 300 },
    );
  });

  test("entries come within the bytes asked for, at least one, across disk and memory", () => {
    const { log, memory } = new Model();
    log.replaceFrom([1, 2, 3].map((index) => entry(index, 1)));
    memory.write(log.takeWrite(undefined, true));
    log.stored(1);
    log.replaceFrom([4, 5].map((index) => entry(index, 1)));
    const indexes = (from: number, to: number, bytesMax: number) =>
      log.entries(from, to, bytesMax).map(({ index }) => index);
    assert.deepEqual(indexes(1, 6, 0), [1]);
    assert.deepEqual(indexes(2, 6, 6), [2, 3, 4]);
    assert.deepEqual(indexes(4, 6, 1), [4]);
    assert.deepEqual(indexes(1, 3, 100), [1, 2]);
    assert.deepEqual(indexes(6, 9, 100), []);
  });

  test("reports of writes must come in order, once, and only of what was handed out", () => {
    const { log } = new Model();
    log.takeWrite({ term: 1, votedFor: 1, commit: 0 }, true);
    assert.throws(() => log.stored(2), /never handed out/);
    log.stored(1);
    assert.throws(() => log.stored(1), /reported stored after/);
  });
});

describe("quorums", () => {
  test("an index is reached when a majority has it, as sorting would tell", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 9 }), (matches) => {
        const index = quorumIndex(
          matches.map((_, at) => at),
          (voter) => matches[voter] ?? 0,
        );
        const reached = (at: number) => matches.filter((match) => match >= at).length * 2 > matches.length;
        assert.ok(reached(index) && !reached(index + 1));
      }),
    );
    assert.equal(
      quorumIndex([], () => 9),
      0,
    );
  });

  test("an election is won by a majority of all voters and lost when none can be had", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(true, false, undefined), { minLength: 1, maxLength: 9 }),
        (answers) => {
          const votes = new Map<number, boolean>([[99, true]]);
          answers.forEach((answer, voter) => {
            if (answer !== undefined) votes.set(voter, answer);
          });
          const count = (wanted: boolean | undefined) => answers.filter((answer) => answer === wanted).length;
          const won = count(true) * 2 > answers.length;
          const possible = (count(true) + count(undefined)) * 2 > answers.length;
          assert.equal(tally([...answers.keys()], votes), won ? "won" : possible ? "open" : "lost");
        },
      ),
    );
  });
});
