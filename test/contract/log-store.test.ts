import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Entry, HardState, RaftWrite } from "../../src/raft/types.ts";
import { MemoryLogStore } from "../../src/storage/memory-log.ts";
import { SqliteLogStore } from "../../src/storage/sqlite-log.ts";
import type { LogStore } from "../../src/storage/types.ts";

const identity = { clusterId: 2 ** 52 + 1, memberId: 2 ** 50 + 3, name: "n1" };
const start = { index: 1, term: 1, hardState: { term: 1, votedFor: 0, commit: 1 } };

/** A log on a disk that can be opened again. */
interface Subject {
  open(): Promise<LogStore>;
  remove(): void;
}

/** Tiny caches, so that the suite reads from the file too. */
const sqliteOptions = { cacheBytesMax: 200, walBytesMax: 64 * 1024 };

const subjects: Record<string, () => Subject> = {
  memory: () => {
    let last: MemoryLogStore | undefined;
    return {
      open: async () => {
        const schedule = (action: () => void): unknown => setImmediate(() => action());
        last = new MemoryLogStore(last ? { schedule, disk: last.disk } : { schedule, initial: start });
        return last;
      },
      remove: () => {},
    };
  },
  sqlite: () => {
    mkdirSync(join(tmpdir(), "storage"), { recursive: true });
    const dir = mkdtempSync(join(tmpdir(), "storage", "contract-"));
    return {
      open: async () =>
        SqliteLogStore.exists(dir)
          ? (await SqliteLogStore.open(dir, sqliteOptions)).log
          : SqliteLogStore.create(dir, identity, start, sqliteOptions),
      remove: () => rmSync(dir, { recursive: true, force: true }),
    };
  },
};

function entry(index: number, term: number, size = 10): Entry {
  return { index, term, kind: 0, data: new Uint8Array(size).fill(index + term) };
}

let writes = 0;
function writeOf(write: Partial<RaftWrite>): RaftWrite {
  return { id: ++writes, entries: [], mustSync: true, ...write };
}

function stored(log: LogStore, write: Partial<RaftWrite>): Promise<void> {
  return new Promise((resolve, reject) => {
    log.write(writeOf(write), (error) => (error ? reject(error) : resolve()));
  });
}

/** Everything that can be read of a log. */
function contentOf(log: LogStore): unknown {
  const entries: Entry[] = [];
  for (let next = log.firstIndex(); next <= log.lastIndex(); ) {
    const part = log.entries(next, log.lastIndex() + 1, 100);
    assert.ok(part.length > 0);
    entries.push(...part);
    next += part.length;
  }
  for (const { index, term } of entries) assert.equal(log.term(index), term);
  return {
    first: log.firstIndex(),
    before: log.term(log.firstIndex() - 1),
    last: log.lastIndex(),
    hardState: { ...log.hardState },
    entries: entries.map(({ index, term, kind, data }) => [index, term, kind, ...data]),
  };
}

for (const [name, make] of Object.entries(subjects)) {
  const contract = (title: string, run: (subject: Subject) => Promise<void>): void => {
    test(title, { timeout: 60_000 }, async () => {
      const subject = make();
      try {
        await run(subject);
      } finally {
        subject.remove();
      }
    });
  };

  describe(`log store contract: ${name}`, () => {
    contract("a new log is empty and knows where it begins", async (subject) => {
      const log = await subject.open();
      assert.deepEqual(
        [log.firstIndex(), log.lastIndex(), log.term(1), log.term(0), log.term(2)],
        [2, 1, 1, undefined, undefined],
      );
      assert.deepEqual({ ...log.hardState }, start.hardState);
      assert.deepEqual(log.size(), { entries: 0, bytes: 0 });
      await log.close();
    });

    contract("a write is seen at once and told stored in a later turn", async (subject) => {
      const log = await subject.open();
      let told = false;
      const done = new Promise<void>((resolve) => {
        log.write(writeOf({ entries: [entry(2, 1), entry(3, 2)] }), () => {
          told = true;
          resolve();
        });
      });
      assert.equal(told, false);
      assert.equal(log.lastIndex(), 3);
      assert.deepEqual([log.term(2), log.term(3)], [1, 2]);
      assert.deepEqual(
        log.entries(2, 4, 1e6).map(({ index }) => index),
        [2, 3],
      );
      await done;
      await log.close();
    });

    contract("entries comes with at least one, and no more bytes than asked beyond it", async (subject) => {
      const log = await subject.open();
      await stored(log, { entries: [2, 3, 4, 5, 6].map((index) => entry(index, 1, 100)) });
      for (const [bytesMax, count] of [
        [0, 1],
        [100, 1],
        [199, 1],
        [200, 2],
        [450, 4],
        [1e9, 5],
      ] as const) {
        assert.equal(log.entries(2, 7, bytesMax).length >= 1, true);
        // A store may give fewer, where what it holds in memory begins.
        assert.ok(log.entries(2, 7, bytesMax).length <= count, `${bytesMax}`);
      }
      assert.throws(() => log.entries(1, 3, 1));
      assert.throws(() => log.entries(2, 8, 1));
      await log.close();
    });

    contract("writes are told in order, those without need for an fsync too", async (subject) => {
      const log = await subject.open();
      const order: number[] = [];
      let index = 1;
      const all = Array.from({ length: 200 }, (_, at) => {
        const write: Partial<RaftWrite> =
          at % 3 === 0
            ? { mustSync: false, hardState: { term: 1, votedFor: 0, commit: index } }
            : { entries: [entry(++index, 1)] };
        return stored(log, write).then(() => order.push(at));
      });
      await Promise.all(all);
      assert.deepEqual(
        order,
        Array.from({ length: 200 }, (_, at) => at),
      );
      assert.equal(log.lastIndex(), index);
      await log.close();
    });

    contract("what was stored is there after opening again", async (subject) => {
      const log = await subject.open();
      const hardState: HardState = { term: 7, votedFor: 2 ** 52, commit: 3 };
      await stored(log, { hardState, entries: [entry(2, 1), { ...entry(3, 7), kind: 2 }, entry(4, 7, 0)] });
      await stored(log, { mustSync: false, hardState: { ...hardState, commit: 4 } });
      const before = contentOf(log);
      await log.close();
      const again = await subject.open();
      const after = contentOf(again) as { hardState: HardState };
      // The commit index may be as of the last real write.
      assert.ok(after.hardState.commit === 3 || after.hardState.commit === 4);
      assert.deepEqual({ ...after, hardState: 0 }, { ...(before as object), hardState: 0 });
      assert.deepEqual([after.hardState.term, after.hardState.votedFor], [7, 2 ** 52]);
      await again.close();
    });

    contract("entries in conflict replace the end of the log", async (subject) => {
      const log = await subject.open();
      await stored(log, { entries: [entry(2, 1), entry(3, 1), entry(4, 1), entry(5, 1)] });
      // In one group of writes: twice replaced before the first is durable.
      await Promise.all([
        stored(log, { entries: [entry(4, 2), entry(5, 2)] }),
        stored(log, { entries: [entry(3, 3)] }),
        stored(log, { entries: [entry(4, 3)] }),
      ]);
      const before = contentOf(log);
      assert.equal(log.lastIndex(), 4);
      assert.deepEqual([log.term(2), log.term(3), log.term(4)], [1, 3, 3]);
      await log.close();
      const again = await subject.open();
      assert.deepEqual(contentOf(again), before);
      await again.close();
    });

    contract("a cut drops the beginning and keeps the term before it", async (subject) => {
      const log = await subject.open();
      await stored(log, { entries: Array.from({ length: 300 }, (_, at) => entry(at + 2, at < 100 ? 1 : 2)) });
      log.cut(150);
      assert.deepEqual([log.firstIndex(), log.term(150), log.term(149)], [151, 2, undefined]);
      log.cut(20);
      assert.equal(log.firstIndex(), 151);
      assert.throws(() => log.entries(150, 152, 1));
      assert.equal(log.size().entries, 151);
      await stored(log, { entries: [entry(302, 2)] });
      log.cut(10_000);
      assert.deepEqual([log.firstIndex(), log.lastIndex(), log.term(302)], [303, 302, 2]);
      await stored(log, { entries: [entry(303, 2)] });
      const before = contentOf(log);
      await log.close();
      const again = await subject.open();
      assert.deepEqual(contentOf(again), before);
      await again.close();
    });

    contract("a snapshot starts the log anew, unless the log holds its last entry", async (subject) => {
      const log = await subject.open();
      const conf = { voters: [1], learners: [] };
      await stored(log, { entries: [entry(2, 1), entry(3, 1), entry(4, 1)] });
      await stored(log, { snapshot: { index: 3, term: 1, conf } });
      assert.deepEqual([log.firstIndex(), log.lastIndex(), log.term(3), log.term(4)], [4, 4, 1, 1]);
      await stored(log, {
        snapshot: { index: 4, term: 2, conf },
        hardState: { term: 3, votedFor: 0, commit: 4 },
      });
      assert.deepEqual([log.firstIndex(), log.lastIndex(), log.term(4)], [5, 4, 2]);
      await stored(log, { snapshot: { index: 900, term: 3, conf }, entries: [entry(901, 3)] });
      assert.deepEqual([log.firstIndex(), log.lastIndex(), log.term(900), log.term(901)], [901, 901, 3, 3]);
      const before = contentOf(log);
      await log.close();
      const again = await subject.open();
      assert.deepEqual(contentOf(again), before);
      await again.close();
    });

    contract("close ends after what is queued, and nothing is taken afterwards", async (subject) => {
      const log = await subject.open();
      let told = 0;
      for (let index = 2; index < 50; index++)
        log.write(writeOf({ entries: [entry(index, 1)] }), () => told++);
      await log.close();
      assert.equal(told, 48);
      await assert.rejects(stored(log, { hardState: { term: 9, votedFor: 0, commit: 1 } }));
      const again = await subject.open();
      assert.equal(again.lastIndex(), 49);
      await again.close();
    });

    contract("any history of writes leaves what a plain array would hold", async (subject) => {
      const log = await subject.open();
      await compareWithModel(log, subject);
    });
  });
}

/** One random history, against the dumbest log there is; opened again now and then. */
async function compareWithModel(first: LogStore, subject: Subject): Promise<void> {
  const step = fc.record({
    back: fc.nat(6),
    count: fc.integer({ min: 0, max: 8 }),
    size: fc.constantFrom(0, 1, 40, 5000),
    action: fc.constantFrom("append", "append", "append", "append", "cut", "snapshot", "reopen"),
    wait: fc.boolean(),
  });
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  const steps = fc.sample(step, { seed, numRuns: 400 });
  let log = first;
  let model = { cut: 1, cutTerm: 1, entries: [] as Entry[] };
  let term = 1;
  for (const { back, count, size, action, wait } of steps) {
    const last = model.cut + model.entries.length;
    if (action === "reopen") {
      await log.close();
      log = await subject.open();
    } else if (action === "cut") {
      const index = Math.min(last, model.cut + count * 5);
      const cutTerm = model.entries[index - model.cut - 1]?.term ?? model.cutTerm;
      model = { cut: index, cutTerm, entries: model.entries.slice(index - model.cut) };
      log.cut(index);
    } else {
      term++;
      const restart = action === "snapshot";
      const index = last + 1 + (restart ? back + 1 : -Math.min(back, model.entries.length));
      const entries = Array.from({ length: count }, (_, at) => entry(index + at, term, size));
      if (restart) model = { cut: index - 1, cutTerm: term, entries: [] };
      if (count > 0) model.entries.length = index - model.cut - 1;
      model.entries.push(...entries);
      const snapshot = { index: index - 1, term, conf: { voters: [1], learners: [] } };
      const done = stored(log, {
        hardState: { term, votedFor: back, commit: 1 },
        entries,
        ...(restart && { snapshot }),
      });
      if (wait) await done;
    }
    const message = `replay with SEED=${seed}`;
    assert.equal(log.firstIndex(), model.cut + 1, message);
    assert.equal(log.lastIndex(), model.cut + model.entries.length, message);
    assert.equal(log.term(model.cut), model.cutTerm, message);
    const content = contentOf(log) as { entries: number[][] };
    const expected = model.entries.map((e) => [e.index, e.term, e.kind, ...e.data]);
    assert.deepEqual(content.entries, expected, message);
  }
  await log.close();
}
