import assert from "node:assert/strict";
import { test } from "node:test";
import { compareBytes, fromUtf8, utf8 } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import { type Random, seededRandom } from "../base/prng.ts";
import { Bench, del, put, txn } from "../kv/builders.test-support.ts";
import type { AppliedEntry } from "../kv/state-machine.ts";
import type { CommandBody, DeleteOperation, PutOperation } from "../kv/types.ts";
import type { WatchRequest } from "../service/service.ts";
import { WatchHub } from "./hub.ts";
import { Recorder, TurnClock, told } from "./watch.test-support.ts";

/**
 * Random histories of one member (writes, compactions, snapshots, rollbacks) and random watches, held
 * against the list of what happened, which a plain map tells.
 */

const seeds = Number(process.env.WATCH_SEEDS ?? 60);
const firstSeed = Number(process.env.WATCH_SEED ?? 1);
const steps = 150;
const names = ["a", "b", "ba", "bb", "c", "d", "\u00e9"];

interface Told {
  readonly revision: number;
  readonly type: "put" | "delete";
  readonly key: string;
  readonly value: string;
  readonly before: string | undefined;
}

/** What the cluster's log holds, and the events that it means. */
class History {
  readonly entries: AppliedEntry[] = [];
  /** The revision and the compact revision after each entry. */
  readonly after: { readonly revision: number; readonly compactRevision: number }[] = [];
  readonly events: Told[] = [];
  revision = 1;
  compactRevision = 0;
  readonly #now = new Map<string, string>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.#random.below(from.length)] as T;
  }

  append(): void {
    const commands = Array.from({ length: 1 + this.#random.below(4) }, () => ({ body: this.#body() }));
    const index = this.entries.length + 1;
    this.entries.push({ index, term: 1, content: { type: "batch", batch: { timeMs: index, commands } } });
    this.after.push({ revision: this.revision, compactRevision: this.compactRevision });
  }

  #body(): CommandBody {
    const chance = this.#random.below(20);
    if (chance === 0 && this.revision > this.compactRevision) {
      const span = this.revision - this.compactRevision;
      this.compactRevision += 1 + this.#random.below(span);
      return { type: "compact", revision: this.compactRevision };
    }
    if (chance < 12) return this.#written([this.#put(this.pick(names))]);
    if (chance < 16) return this.#written([this.#delete()]);
    const keys = new Set([this.pick(names), this.pick(names), this.pick(names)]);
    return this.#written([...keys].map((key) => this.#put(key)));
  }

  #put(key: string): PutOperation {
    return put(key, `${this.#random.below(1000)}`);
  }

  #delete(): DeleteOperation {
    const key = this.pick(names);
    return this.pick([del(key), del(key, "c"), del(key, null)]);
  }

  #written(operations: readonly (PutOperation | DeleteOperation)[]): CommandBody {
    const revision = this.revision + 1;
    const note = (type: "put" | "delete", key: string, value: string): void => {
      this.events.push({ revision, type, key, value, before: this.#now.get(key) });
      if (type === "put") this.#now.set(key, value);
      else this.#now.delete(key);
      this.revision = revision;
    };
    for (const operation of operations) {
      if (operation.type === "put") note("put", fromUtf8(operation.key), fromUtf8(operation.value));
      else
        for (const key of sorted([...this.#now.keys()])) if (holds(operation, key)) note("delete", key, "");
    }
    const [first] = operations;
    return operations.length === 1 && first !== undefined ? first : txn([], operations);
  }
}

function sorted(keys: readonly string[]): string[] {
  return keys.toSorted((a, b) => compareBytes(utf8(a), utf8(b)));
}

function holds({ key, end }: { key: Uint8Array; end?: Uint8Array | null }, name: string): boolean {
  const order = compareBytes(utf8(name), key);
  if (end === undefined) return order === 0;
  return order >= 0 && (end === null || compareBytes(utf8(name), end) < 0);
}

/** One member: a machine that applies the history when it likes, and the watches on it. */
class Member {
  readonly clock = new TurnClock();
  readonly bench = new Bench();
  readonly hub: WatchHub;
  readonly open: { readonly request: WatchRequest; readonly recorder: Recorder }[] = [];
  readonly #history: History;
  readonly #random: Random;
  #toldIndex = 0;

  constructor(history: History, random: Random) {
    this.#history = history;
    this.#random = random;
    this.hub = new WatchHub({
      source: () => this.bench.machine,
      clock: this.clock,
      random,
      limits: {
        ...limits,
        watchQueueEventsMax: 2 + random.below(4),
        watchQueuesBytesMax: 2000,
        watchFanOutRows: 3,
        watchSliceRows: 3,
        watchGivenPerTurn: 1 + random.below(5),
        watchOvertakenRowsMax: random.below(2) === 0 ? 6 : 1000,
      },
      onFatal: (error) => {
        throw error;
      },
    });
  }

  /** Applies what follows; told once, as the node does. */
  apply(count: number, hold: boolean): void {
    const { machine } = this.bench;
    const entries = this.#history.entries.slice(machine.appliedIndex, machine.appliedIndex + count);
    if (entries.length === 0) return;
    machine.apply(entries, { hold });
    if (machine.appliedIndex <= this.#toldIndex) return;
    this.#toldIndex = machine.appliedIndex;
    this.hub.applied();
  }

  /** Rolls back what is not committed, and applies it again at once or later. */
  undo(): void {
    const { machine } = this.bench;
    if (!machine.uncommitted) return;
    assert.throws(() => machine.apply([{ index: -1, term: 1, content: { type: "noop" } }], { hold: true }));
    if (this.#random.below(2) === 0) this.clock.turn();
    this.apply(this.#toldIndex - machine.appliedIndex, false);
  }

  install(): void {
    const next = new Bench();
    next.machine.apply(this.#history.entries);
    if (next.machine.appliedIndex <= this.#toldIndex) return;
    while (this.#random.below(3) > 0 && !next.machine.compactSlice(3).done);
    this.bench.machine.close();
    if (this.#random.below(2) === 0) this.clock.turn();
    this.bench.machine = next.machine;
    this.#toldIndex = next.machine.appliedIndex;
    this.hub.installed();
  }

  watch(): void {
    const recorder = new Recorder();
    recorder.more = () => this.#random.below(3) > 0;
    const { revision, compactRevision } = this.bench.machine;
    const key = utf8(this.#history.pick(["a", "b", "ba", "c"]));
    const request: WatchRequest = {
      key,
      ...this.#history.pick([{}, { end: null }, { end: utf8("c\u0000") }]),
      startRevision: this.#history.pick([
        0,
        revision + 2,
        1 + this.#random.below(revision),
        Math.max(1, compactRevision),
      ]),
      previous: this.#random.below(3) === 0,
      withoutPuts: this.#random.below(8) === 0,
      withoutDeletes: this.#random.below(8) === 0,
    };
    recorder.watch = this.hub.open(request, recorder);
    this.open.push({ request, recorder });
  }

  step(): void {
    const chance = this.#random.below(100);
    const { recorder } = this.open.length > 0 ? this.#history.pick(this.open) : {};
    if (chance < 30) this.#history.append();
    else if (chance < 55) this.apply(1 + this.#random.below(4), this.#random.below(2) === 0);
    else if (chance < 75) this.clock.turn();
    else if (chance < 82) recorder?.watch?.resume();
    else if (chance < 90) recorder?.bookmark();
    else if (chance < 94) this.watch();
    else if (chance < 96) this.#compact();
    else if (chance < 97) this.install();
    else if (chance < 98) this.undo();
    else this.hub.duty();
  }

  #compact(): void {
    const { machine } = this.bench;
    while (machine.compactionPending && this.#random.below(4) > 0) machine.compactSlice(4);
  }

  /** Lets everything come to rest. */
  rest(): void {
    this.apply(Number.POSITIVE_INFINITY, false);
    this.hub.duty();
    for (const { recorder } of this.open) {
      recorder.more = () => true;
      recorder.watch?.resume();
    }
    for (let i = 0; i < 3; i++) {
      this.clock.settle();
      this.clock.advance(20);
    }
  }
}

/** What a watch should have been told up to where it stands, in the lines of `told`. */
function expected(history: History, request: WatchRequest, from: number, to: number): string[] {
  return history.events
    .filter(({ revision, key, type }) => {
      if (revision < from || revision > to || !holds(request, key)) return false;
      return type === "put" ? request.withoutPuts !== true : request.withoutDeletes !== true;
    })
    .map(
      ({ revision, type, key, value }) => `${revision} ${type} ${key}${type === "put" ? `=${value}` : ""}`,
    );
}

function check(history: History, { request, recorder }: Member["open"][number]): void {
  const { watch, error } = recorder;
  assert.ok(watch !== undefined);
  const from = Math.max(request.startRevision, watch.openedRevision + 1);
  if (request.startRevision === 0) assert.equal(watch.openedRevision, watch.storeRevision);
  if (error === undefined) assert.equal(watch.deliveredRevision, history.revision);
  else {
    assert.equal(error.code, "revision_compacted");
    assert.ok(Number(error.details.compact_revision) > watch.deliveredRevision + 1, "ended without need");
  }
  const lines = recorder.events.map(({ previous, ...event }) => told(event));
  assert.deepEqual(lines, expected(history, request, from, watch.deliveredRevision));
  const before = new Map(history.events.map((event) => [`${event.revision} ${event.key}`, event.before]));
  for (const { keyValue, previous } of recorder.events) {
    if (previous === undefined) continue;
    assert.ok(request.previous === true);
    const name = `${keyValue.modRevision} ${fromUtf8(keyValue.key)}`;
    assert.equal(fromUtf8(previous.value), before.get(name), `before ${name}`);
  }
}

test("every watch is told what happened: once, in order, whole, or that it is gone", {
  timeout: 120_000,
}, () => {
  let [events, ended, slow] = [0, 0, 0];
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    const random = seededRandom(seed);
    const history = new History(random);
    const member = new Member(history, random);
    try {
      for (let step = 0; step < steps; step++) member.step();
      member.rest();
      for (const watched of member.open) check(history, watched);
      const { behind, queuedBytes, watches } = member.hub.figures();
      assert.deepEqual([behind, queuedBytes], [0, 0]);
      assert.equal(watches, member.open.filter(({ recorder }) => recorder.error === undefined).length);
    } catch (error) {
      console.log(
        `seed ${seed}; again by: WATCH_SEED=${seed} WATCH_SEEDS=1 bun test src/watch/property.test.ts`,
      );
      throw error;
    }
    for (const { recorder } of member.open) {
      events += recorder.events.length;
      if (recorder.error !== undefined) ended++;
    }
    slow += member.hub.figures().slowWatches;
  }
  if (process.env.WATCH_SEEDS === undefined)
    assert.ok(events > 1000 && ended > 10 && slow > 10, `${events} ${ended} ${slow}`);
});
