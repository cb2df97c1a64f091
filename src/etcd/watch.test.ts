import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { FakeService } from "../api/fake-service.test-support.ts";
import { utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { FakeClock } from "../node/fake-clock.test-support.ts";
import { EtcdError } from "./error.ts";
import { type WatchRequest, WatchRequestSchema, type WatchResponse } from "./gen/watch_pb.ts";
import { createEtcdServices } from "./services.ts";

/** A stream of watches over the fake, driven message by message. */
class Bench {
  readonly service = new FakeService();
  readonly clock = new FakeClock();
  readonly ending = new AbortController();
  readonly #waiting: WatchRequest[] = [];
  #wake = (): void => {};
  readonly answers: AsyncIterator<WatchResponse>;

  constructor(requireLeader = false) {
    const services = createEtcdServices(this.service, { clock: this.clock, progressMs: 1000 });
    const { signal } = this.ending;
    const context = { face: "grpc", signal, aborted: false, requireLeader } as const;
    this.answers = services.watch.watch(this.#requests(), context)[Symbol.asyncIterator]();
  }

  async *#requests(): AsyncGenerator<WatchRequest, void> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  send(requestUnion: unknown): void {
    this.#waiting.push(create(WatchRequestSchema, { requestUnion: requestUnion as never }));
    this.#wake();
  }

  create(key: string, fields: Record<string, unknown> = {}): void {
    this.send({ case: "createRequest", value: { key: utf8(key), ...fields } });
  }

  async next(): Promise<WatchResponse> {
    const { value, done } = await this.answers.next();
    assert.notEqual(done, true, "the stream goes on");
    return value;
  }

  put(key: string, value: Uint8Array = utf8("v")): Promise<unknown> {
    const body = { type: "put", key: utf8(key), value, lease: 0, previous: false } as const;
    return this.service.kv.propose({ body });
  }
}

describe("a stream of watches", () => {
  test("answers creations in their order, then tells events", async () => {
    const bench = new Bench();
    await bench.put("a");
    bench.create("a");
    bench.create("a", { startRevision: 2n });
    bench.create("b", { watchId: 7n });
    const created = [await bench.next(), await bench.next(), await bench.next()];
    assert.deepEqual(
      created.map(({ watchId, created: isCreated, header }) => [watchId, isCreated, header?.revision]),
      [
        [0n, true, 2n],
        [1n, true, 2n],
        [7n, true, 2n],
      ],
    );
    const past = await bench.next();
    assert.deepEqual([past.watchId, past.events.length, past.header?.revision], [1n, 1, 2n]);
    await bench.put("b");
    const now = await bench.next();
    assert.deepEqual([now.watchId, now.header?.revision], [7n, 3n]);
  });

  test("refuses an empty range and an id in use, and goes on", async () => {
    const bench = new Bench();
    bench.create("b", { rangeEnd: utf8("a") });
    bench.create("a", { watchId: 3n });
    bench.create("b", { watchId: 3n });
    const [empty, , taken] = [await bench.next(), await bench.next(), await bench.next()];
    for (const [answer, reason] of [
      [empty, "mvcc: watcher range is empty"],
      [taken, "mvcc: duplicate watch ID provided on the WatchStream"],
    ] as const) {
      assert.deepEqual(
        [answer.watchId, answer.created, answer.canceled, answer.cancelReason],
        [-1n, true, true, reason],
      );
    }
    bench.create("", { rangeEnd: Uint8Array.of(0) });
    assert.equal((await bench.next()).watchId, 0n);
  });

  test("cancels, and is silent about a watch that it does not know", async () => {
    const bench = new Bench();
    bench.create("a");
    await bench.next();
    bench.send({ case: "cancelRequest", value: { watchId: 9n } });
    bench.send({ case: "cancelRequest", value: { watchId: 0n } });
    const answer = await bench.next();
    assert.deepEqual([answer.watchId, answer.canceled, answer.created], [0n, true, false]);
    assert.equal(bench.service.watches.active.size, 0);
  });

  test("says from which revision on it could go on when what it needs is compacted", async () => {
    const bench = new Bench();
    for (let i = 0; i < 4; i++) await bench.put("a");
    bench.service.watches.compact(4);
    bench.create("a", { startRevision: 2n });
    assert.equal((await bench.next()).created, true);
    const ended = await bench.next();
    assert.deepEqual([ended.canceled, ended.compactRevision, ended.watchId], [true, 4n, 0n]);
    bench.create("a");
    assert.equal((await bench.next()).watchId, 1n, "the id is in use until it is cancelled");
  });

  test("tells no progress that a watch of it has not made", async () => {
    const bench = new Bench();
    bench.create("a");
    await bench.next();
    await bench.put("a");
    bench.send({ case: "progressRequest", value: {} });
    const first = await bench.next();
    const [progress, event] =
      first.watchId === -1n ? [first, await bench.next()] : [await bench.next(), first];
    assert.equal(event.header?.revision, 2n);
    const told = first === event ? 2n : 1n;
    assert.deepEqual([progress.watchId, progress.header?.revision], [-1n, told]);
    bench.send({ case: "progressRequest", value: {} });
    assert.equal((await bench.next()).header?.revision, 2n);
  });

  test("tells progress by itself while nothing happens", async () => {
    const bench = new Bench();
    bench.create("a", { progressNotify: true });
    bench.create("b");
    await bench.next();
    await bench.next();
    bench.clock.advance(1000);
    const progress = await bench.next();
    assert.deepEqual([progress.watchId, progress.events, progress.header?.revision], [0n, [], 1n]);
  });

  test("stops asking for more while its reader rests, and loses nothing", async () => {
    const bench = new Bench();
    bench.create("a");
    await bench.next();
    for (let i = 0; i < 40; i++) await bench.put("a", new Uint8Array(100_000));
    await new Promise((resolve) => setImmediate(resolve));
    const revisions: (bigint | undefined)[] = [];
    while (revisions.length < 40) {
      for (const { kv } of (await bench.next()).events) revisions.push(kv?.modRevision);
    }
    assert.deepEqual(
      revisions,
      Array.from({ length: 40 }, (_, i) => BigInt(i + 2)),
    );
  });

  test("tears a large revision only when that is asked for", async () => {
    const bench = new Bench();
    bench.create("k", { rangeEnd: utf8("l"), fragment: true });
    bench.create("k", { rangeEnd: utf8("l") });
    await bench.next();
    await bench.next();
    const success = Array.from({ length: 5 }, (_, i) => {
      return {
        type: "put",
        key: utf8(`k${i}`),
        value: new Uint8Array(700_000),
        lease: 0,
        previous: false,
      } as const;
    });
    const events = success.map(({ key, value }) => ({
      type: "put" as const,
      keyValue: { key, value, createRevision: 2, modRevision: 2, version: 1, lease: 0 },
    }));
    for (const watch of bench.service.watches.active) watch.receiver.receive({ events, revision: 2 });
    const pieces = [await bench.next(), await bench.next(), await bench.next()];
    assert.deepEqual(
      pieces.map(({ events: told, fragment }) => [told.length, fragment]),
      [
        [2, true],
        [2, true],
        [1, false],
      ],
    );
    const whole = await bench.next();
    assert.deepEqual([whole.events.length, whole.fragment], [5, false]);
  });

  test("ends with the member, with its client, and without a leader when one is required", async () => {
    const stopped = new Bench();
    stopped.create("a");
    await stopped.next();
    stopped.service.watches.endAll(new CoracleError("shutting_down", "The member stops."));
    await assert.rejects(
      stopped.answers.next(),
      (error) => error instanceof EtcdError && error.grpcCode === 14,
    );

    const left = new Bench();
    left.create("a");
    await left.next();
    const last = left.answers.next();
    left.ending.abort();
    assert.equal((await last).done, true);
    assert.equal(left.service.watches.active.size, 0);

    const leaderless = new Bench(true);
    leaderless.create("a");
    await leaderless.next();
    leaderless.service.cluster.leaderId = 0;
    const failing = leaderless.answers.next();
    for (let look = 0; look < 3; look++) leaderless.clock.advance(1000);
    await assert.rejects(failing, { message: "etcdserver: no leader" });
  });
});
