import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { seededRandom } from "../base/prng.ts";
import { Bench, del, keys, put, txn } from "../kv/builders.test-support.ts";
import type { WatchRequest } from "../service/service.ts";
import { WatchHub } from "./hub.ts";
import type { WatchLimits } from "./types.ts";
import { Recorder, TurnClock } from "./watch.test-support.ts";

/** A hub over a state machine in memory. */
function setUp(more: Partial<WatchLimits> = {}) {
  const bench = new Bench();
  const clock = new TurnClock();
  const hub = new WatchHub({
    source: () => bench.machine,
    clock,
    random: seededRandom(1),
    limits: { ...limits, ...more },
    onFatal: (error) => {
      throw error;
    },
  });
  const open = (request: Partial<WatchRequest> & { readonly key: Uint8Array }, recorder = new Recorder()) => {
    recorder.watch = hub.open({ startRevision: 0, ...request }, recorder);
    return recorder;
  };
  const run = (...bodies: Parameters<Bench["run"]>[0][]) => {
    for (const body of bodies) bench.run(body);
    hub.applied();
  };
  return { bench, clock, hub, open, run };
}

const everything = { key: utf8("a"), end: null };

describe("a watch from now", () => {
  test("gets what matches, in order, and nothing from before", () => {
    const { clock, open, run } = setUp();
    run(put("a", "0"), put("k", "0"));
    const one = open(keys("k"));
    const some = open(keys("k", "m"));
    const all = open(everything);
    run(put("k", "1"), put("l", "2"), put("m", "3"), del("k"));
    clock.settle();
    assert.deepEqual(one.lines(), ["4 put k=1", "7 delete k"]);
    assert.deepEqual(some.lines(), ["4 put k=1", "5 put l=2", "7 delete k"]);
    assert.deepEqual(all.lines(), ["4 put k=1", "5 put l=2", "6 put m=3", "7 delete k"]);
    assert.equal(one.watch?.deliveredRevision, 7);
  });

  test("gets the events of one transaction at once, in the order of its operations", () => {
    const { clock, open, run } = setUp({ watchFanOutRows: 1 });
    const all = open(everything);
    run(txn([], [put("z", "1"), put("b", "2"), put("m", "3")]), put("c", "4"));
    clock.settle();
    assert.deepEqual(all.lines(), ["2 put z=1", "2 put b=2", "2 put m=3", "3 put c=4"]);
    assert.deepEqual(
      all.batches.map(({ revision }) => revision),
      [2, 3],
    );
  });

  test("opened after writes of the same turn does not get them", () => {
    const { clock, open, run, bench } = setUp();
    const before = open(everything);
    run(put("a", "1"));
    const after = open(everything);
    assert.equal(after.watch?.openedRevision, bench.machine.revision);
    assert.equal(after.watch?.deliveredRevision, 2);
    run(put("b", "2"));
    clock.settle();
    assert.deepEqual(before.lines(), ["2 put a=1", "3 put b=2"]);
    assert.deepEqual(after.lines(), ["3 put b=2"]);
  });

  test("filters, and tells what was before", () => {
    const { clock, open, run } = setUp();
    const puts = open({ ...keys("a"), withoutDeletes: true, previous: true });
    const deletes = open({ ...keys("a"), withoutPuts: true, previous: true });
    const neither = open({ ...keys("a"), withoutPuts: true, withoutDeletes: true });
    run(put("a", "1"), put("a", "2"), del("a"), put("a", "3"));
    clock.settle();
    assert.deepEqual(puts.lines(), ["2 put a=1", "3 put a=2 (was 1)", "5 put a=3"]);
    assert.deepEqual(deletes.lines(), ["4 delete a (was 2)"]);
    assert.deepEqual(neither.lines(), []);
    assert.equal(neither.watch?.deliveredRevision, 5);
  });

  test("of one range shares its batches with others", () => {
    const { clock, open, run } = setUp();
    const [a, b, c] = [
      open(keys("a", "b")),
      open(keys("a", "b")),
      open({ ...keys("a", "b"), previous: true }),
    ];
    run(put("a", "1"));
    clock.settle();
    assert.equal(a?.batches[0], b?.batches[0]);
    assert.notEqual(a?.batches[0], c?.batches[0]);
  });

  test("ends without a word when it is cancelled", () => {
    const { clock, open, run, hub } = setUp();
    const all = open(everything);
    run(put("a", "1"));
    all.watch?.cancel();
    clock.settle();
    assert.deepEqual(all.lines(), []);
    assert.equal(all.error, undefined);
    assert.deepEqual([hub.figures().watches, hub.figures().topics, hub.figures().queuedBytes], [0, 0, 0]);
  });
});

describe("a watch from the past or the future", () => {
  test("catches up in slices and joins without gap or repetition", () => {
    const { clock, open, run } = setUp({ watchSliceRows: 2 });
    for (let i = 0; i < 9; i++) run(put(`a${i % 3}`, `${i}`));
    const late = open({ ...everything, startRevision: 3 });
    assert.equal(late.watch?.openedRevision, 2);
    assert.equal(late.watch?.storeRevision, 10);
    clock.turn();
    run(put("b", "9"));
    clock.settle();
    run(put("b", "10"));
    clock.settle();
    assert.deepEqual(
      late.events.map(({ keyValue }) => keyValue.modRevision),
      [3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    );
  });

  test("many that come back at nearly the same place share the reading", () => {
    const { bench, clock, hub, open, run } = setUp();
    for (let i = 0; i < 200; i++) run(put(`a${i}`, ""));
    let reads = 0;
    const changes = bench.machine.changes.bind(bench.machine);
    bench.machine.changes = (...args) => {
      reads++;
      return changes(...args);
    };
    const all = Array.from({ length: 50 }, (_, i) => open({ ...everything, startRevision: 2 + i }));
    clock.settle();
    all.forEach((recorder, i) => {
      assert.equal(recorder.events.length, 200 - i);
    });
    assert.ok(reads < 5, `${reads} readings`);
    assert.equal(hub.figures().behind, 0);
  });

  test("waits for a start in the future", () => {
    const { clock, open, run } = setUp();
    run(put("a", "1"));
    const later = open({ ...everything, startRevision: 5 });
    assert.equal(later.watch?.openedRevision, 2);
    for (const value of ["3", "4", "5", "6"]) run(put("a", value));
    clock.settle();
    assert.deepEqual(later.lines(), ["5 put a=5", "6 put a=6"]);
  });

  test("ends when its start is compacted, and begins when it is the compact revision", () => {
    const { clock, open, run, hub } = setUp();
    run(put("a", "1"), put("a", "2"), put("a", "3"), { type: "compact", revision: 3 });
    const [gone, there, negative] = [2, 3, -1].map((startRevision) => open({ ...everything, startRevision }));
    clock.settle();
    assert.equal(gone?.error?.code, "revision_compacted");
    assert.deepEqual(gone?.error?.details, { compact_revision: 3 });
    assert.deepEqual(there?.lines(), ["3 put a=2", "4 put a=3"]);
    assert.equal(negative?.error?.code, "revision_compacted");
    assert.equal(hub.figures().watches, 1);
  });

  test("with a negative start ends even when nothing was ever compacted", () => {
    const { clock, open } = setUp();
    const negative = open({ ...everything, startRevision: -1 });
    clock.settle();
    assert.deepEqual(negative.error?.details, { compact_revision: 0 });
  });
});

describe("a slow receiver", () => {
  test("gets what waited when it resumes", () => {
    const { clock, open, run, hub } = setUp();
    const slow = open(everything);
    slow.more = () => false;
    for (let i = 0; i < 3; i++) {
      run(put("a", `${i}`));
      clock.settle();
    }
    assert.deepEqual(slow.lines(), ["2 put a=0"]);
    assert.equal(slow.watch?.deliveredRevision, 2);
    slow.more = () => true;
    slow.watch?.resume();
    assert.equal(slow.events.length, 1, "nothing from inside resume");
    clock.settle();
    assert.deepEqual(slow.lines(), ["2 put a=0", "3 put a=1", "4 put a=2"]);
    assert.equal(hub.figures().slowWatches, 0);
  });

  test("falls back to history when its queue is full, and holds no memory then", () => {
    const { clock, open, run, hub } = setUp({ watchQueueEventsMax: 3 });
    const slow = open(everything);
    slow.more = () => false;
    for (let i = 0; i < 20; i++) {
      run(put("a", `${i}`));
      clock.settle();
    }
    assert.equal(hub.figures().slowWatches, 1);
    assert.equal(hub.figures().queuedBytes, 0);
    assert.equal(slow.watch?.deliveredRevision, 2);
    slow.more = () => true;
    slow.watch?.resume();
    clock.settle();
    assert.equal(slow.events.length, 20);
    assert.equal(hub.figures().behind, 0);
  });

  test("loses nothing of what it was just caught up with when its queue is full", () => {
    const { clock, open, run } = setUp({ watchGivenPerTurn: 1, watchQueueEventsMax: 2 });
    run(put("a", "1"), put("b", "2"), put("c", "3"));
    // The other one is given its events first, so that these wait.
    const other = open({ ...everything, startRevision: 2 });
    const late = open({ ...everything, startRevision: 2 });
    clock.turn();
    run(put("d", "4"), put("e", "5"));
    clock.settle();
    const all = ["2 put a=1", "3 put b=2", "4 put c=3", "5 put d=4", "6 put e=5"];
    assert.deepEqual(other.lines(), all);
    assert.deepEqual(late.lines(), all);
  });

  test("is told when what it needs next was compacted meanwhile", () => {
    const { clock, open, run } = setUp({ watchQueueEventsMax: 3 });
    const slow = open(everything);
    slow.more = () => false;
    for (let i = 0; i < 20; i++) {
      run(put("a", `${i}`));
      clock.settle();
    }
    run({ type: "compact", revision: 10 });
    slow.watch?.resume();
    clock.settle();
    assert.equal(slow.error?.code, "revision_compacted");
    assert.deepEqual(slow.lines(), ["2 put a=0"]);
  });

  test("that throws ends alone", () => {
    const { clock, open, run } = setUp();
    const broken = open(everything);
    const fine = open(everything);
    broken.more = () => {
      throw new Error("no");
    };
    run(put("a", "1"), put("a", "2"));
    clock.settle();
    assert.equal(broken.error?.code, "internal");
    assert.equal(fine.events.length, 2);
  });
});

describe("compaction, snapshots, rollbacks", () => {
  test("a compaction in the same turn takes nothing from a synced watch", () => {
    const { bench, clock, open, run } = setUp();
    const all = open({ ...everything, previous: true });
    run(put("a", "1"), put("a", "2"), del("a"), put("b", "3"), { type: "compact", revision: 5 });
    while (!bench.machine.compactSlice(100).done);
    clock.settle();
    assert.deepEqual(all.lines(), ["2 put a=1", "3 put a=2", "4 delete a", "5 put b=3"]);
  });

  test("after a snapshot watches go on in its history", () => {
    const { bench, clock, hub, open, run } = setUp();
    const all = open(everything);
    run(put("a", "1"));
    const other = new Bench();
    for (const value of ["1", "2", "3"]) other.run(put("a", value));
    bench.machine = other.machine;
    hub.installed();
    clock.settle();
    assert.deepEqual(all.lines(), ["2 put a=1", "3 put a=2", "4 put a=3"]);
  });

  test("after a snapshot that begins later watches are told", () => {
    const { bench, clock, hub, open, run } = setUp();
    const all = open(everything);
    run(put("a", "1"));
    clock.settle();
    const other = new Bench();
    for (const value of ["1", "2", "3", "4"]) other.run(put("a", value));
    other.run({ type: "compact", revision: 4 });
    bench.machine = other.machine;
    hub.installed();
    clock.settle();
    assert.equal(all.error?.code, "revision_compacted");
    assert.deepEqual(all.lines(), ["2 put a=1"]);
  });

  test("a closed state is left alone until the next one is there", () => {
    const { bench, clock, hub, open, run } = setUp();
    const all = open(everything);
    run(put("a", "1"));
    bench.machine.close();
    clock.settle();
    assert.deepEqual(all.lines(), []);
    const other = new Bench();
    other.run(put("a", "1"));
    bench.machine = other.machine;
    hub.installed();
    clock.settle();
    assert.deepEqual(all.lines(), ["2 put a=1"]);
  });

  test("what was undone and applied again is told once", () => {
    const { bench, clock, hub, open } = setUp();
    const all = open(everything);
    const batch = (value: string) => [
      bench.entry({ type: "batch", batch: { timeMs: 1, commands: [{ body: put("a", value) }] } }),
    ];
    bench.machine.apply(batch("1"), { hold: true });
    hub.applied();
    clock.settle();
    assert.throws(() =>
      bench.machine.apply([{ index: 99, term: 1, content: { type: "noop" } }], { hold: true }),
    );
    assert.equal(bench.machine.revision, 1, "the transaction was rolled back");
    const meanwhile = open(everything);
    assert.equal(meanwhile.watch?.openedRevision, 2);
    const past = open({ ...everything, startRevision: 2 });
    clock.settle();
    bench.machine.apply(batch("1"));
    bench.machine.apply(batch("2"));
    hub.applied();
    clock.advance(20);
    clock.settle();
    assert.deepEqual(all.lines(), ["2 put a=1", "3 put a=2"]);
    assert.deepEqual(meanwhile.lines(), ["3 put a=2"]);
    assert.deepEqual(past.lines(), ["2 put a=1", "3 put a=2"]);
  });

  test("what was undone before it was fanned out is noticed by the duty", () => {
    const { bench, clock, hub, open } = setUp();
    const all = open(everything);
    const entry = bench.entry({ type: "batch", batch: { timeMs: 1, commands: [{ body: put("a", "1") }] } });
    bench.machine.apply([entry], { hold: true });
    hub.applied();
    assert.throws(() =>
      bench.machine.apply([{ index: 99, term: 1, content: { type: "noop" } }], { hold: true }),
    );
    clock.settle();
    bench.machine.apply([entry]);
    hub.duty();
    clock.settle();
    assert.deepEqual(all.lines(), ["2 put a=1"]);
  });
});

describe("the hub", () => {
  test("reads nothing while nobody watches", () => {
    const { bench, hub, run } = setUp();
    bench.machine.changes = () => assert.fail("a reading");
    run(put("a", "1"), put("a", "2"));
    assert.equal(hub.head, 3);
  });

  test("refuses ranges that hold no key and watches too many", () => {
    const { open } = setUp({ watchesMax: 2 });
    for (const range of [keys(""), keys("b", "a"), keys("b", "b"), keys("a", "")]) {
      assert.throws(
        () => open(range),
        (error) => error instanceof CoracleError && error.code === "invalid_argument",
      );
    }
    open(keys("", "b"));
    open(keys("", null));
    assert.throws(
      () => open(keys("a")),
      (error) => error instanceof CoracleError && error.code === "overloaded",
    );
  });

  test("ends every watch when the member stops, and opens none", () => {
    const { clock, hub, open, run } = setUp();
    const all = open(everything);
    run(put("a", "1"));
    hub.close();
    clock.settle();
    assert.equal(all.error?.code, "shutting_down");
    assert.throws(
      () => open(everything),
      (error) => error instanceof CoracleError && error.code === "shutting_down",
    );
  });

  test("tells many watches of many revisions together", () => {
    const { clock, open, run } = setUp();
    const all = Array.from({ length: 300 }, () => open(everything));
    run(put("a", "1"));
    clock.settle();
    run(put("a", "2"));
    clock.settle();
    run(put("a", "3"));
    clock.settle();
    assert.equal(all[299]?.events.length, 1);
    assert.equal(all[299]?.watch?.deliveredRevision, 2);
    clock.advance(3);
    clock.settle();
    for (const { batches } of all) assert.equal(batches.length, 2);
    assert.deepEqual(all[0]?.lines(), ["2 put a=1", "3 put a=2", "4 put a=3"]);
  });

  test("gives everyone a turn", () => {
    const { clock, open, run } = setUp({ watchGivenPerTurn: 20 });
    const all = Array.from({ length: 100 }, () => open(everything));
    run(put("a", "1"));
    clock.turn();
    assert.equal(all.filter(({ events }) => events.length > 0).length, 20);
    run(put("a", "2"));
    clock.settle();
    for (const { events } of all) assert.equal(events.length, 2);
  });
});
