import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CoracleError, type ErrorCode } from "../base/errors.ts";
import type { RangeResult } from "../kv/types.ts";
import { FakeClock } from "../node/fake-clock.test-support.ts";
import { AnswerGate } from "../service/answer-gate.ts";
import { readBody } from "./body.ts";
import { BodyGate } from "./body-gate.ts";
import { documentForms, type Form, negotiate } from "./media.ts";

const coded = (code: ErrorCode) => (error: unknown) => error instanceof CoracleError && error.code === code;
const tooLarge = () => new CoracleError("request_too_large", "Too large.");

/** A body whose pieces come when the test says so. */
function slowBody(length?: number) {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  let cancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given;
    },
    cancel: () => {
      cancelled = true;
    },
  });
  const headers = length === undefined ? {} : { "content-length": String(length) };
  // Only a server's request has a body whose length is declared.
  const request = new Request("http://a/", { method: "PUT", body: stream, duplex: "half" } as RequestInit);
  for (const [name, value] of Object.entries(headers)) request.headers.set(name, value);
  return {
    request,
    push: (bytes: number) => controller?.enqueue(new Uint8Array(bytes)),
    end: () => controller?.close(),
    get cancelled() {
      return cancelled;
    },
  };
}

/** Lets what is waiting in the event loop run. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("bodies on their way", () => {
  test("count whole, and are refused over the bound", async () => {
    const gate = new BodyGate({ bytesMax: 1000, clock: new FakeClock() });
    const first = slowBody(900);
    const reading = readBody(first.request, 2000, tooLarge, gate);
    assert.equal(gate.bytes, 900);
    await assert.rejects(readBody(slowBody(101).request, 2000, tooLarge, gate), coded("overloaded"));
    first.push(900);
    first.end();
    assert.equal((await reading).length, 900);
    assert.equal(gate.bytes, 0);
  });

  test("of unknown length count as they come", async () => {
    const gate = new BodyGate({ bytesMax: 1000, clock: new FakeClock() });
    const body = slowBody();
    const reading = readBody(body.request, 2000, tooLarge, gate);
    body.push(600);
    await settle();
    assert.equal(gate.bytes, 600);
    body.push(600);
    await assert.rejects(reading, coded("overloaded"));
    assert.equal(gate.bytes, 0);
  });

  for (const length of [5000, undefined]) {
    test(`${length === undefined ? "of unknown length" : "with a length"} are given up when they come late`, async () => {
      const clock = new FakeClock();
      const gate = new BodyGate({ arrivalMsMax: 5000, clock });
      const body = slowBody(length);
      const reading = readBody(body.request, 10_000, tooLarge, gate);
      body.push(3);
      await settle();
      clock.advance(4000);
      await settle();
      clock.advance(2500);
      await assert.rejects(reading, coded("request_timeout"));
      assert.equal(gate.bytes, 0);
      if (length !== undefined) return;
      body.push(3);
      await settle();
      assert.equal(gate.bytes, 0, "what comes later is not kept");
      assert.ok(body.cancelled);
    });
  }
});

describe("answers on their way", () => {
  const large = () => new Uint8Array(600 * 1024).map((_, index) => index);

  test("that are large come whole, and count until they are read", async () => {
    const gate = new AnswerGate({ clock: new FakeClock() });
    const small = new Uint8Array(10);
    assert.equal(gate.body(small), small);
    const response = new Response(gate.body(large()));
    assert.equal(gate.bytes, 600 * 1024);
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), large());
    assert.equal(gate.bytes, 0);
  });

  test("that are large take a turn of the event loop each to be encoded", async () => {
    const clock = new FakeClock();
    const gate = new AnswerGate({ clock });
    const answer = (bytes: number): RangeResult => {
      const keyValue = { key: new Uint8Array(1), createRevision: 1, modRevision: 1, version: 1, lease: 0 };
      const keys = [{ ...keyValue, value: new Uint8Array(bytes) }];
      return { type: "range", revision: 1, count: 1, more: false, keys };
    };
    assert.equal(gate.turn(answer(1000)), undefined);
    let turns = 0;
    for (let at = 0; at < 3; at++) void gate.turn(answer(300 * 1024))?.then(() => turns++);
    for (let expected = 0; expected <= 3; expected++) {
      await settle();
      assert.equal(turns, expected);
      clock.advance(0);
    }
  });

  test("refuse further reads over the bound", () => {
    const gate = new AnswerGate({ bytesMax: 600 * 1024, clock: new FakeClock() });
    gate.admit();
    gate.body(large());
    assert.throws(() => gate.admit(), coded("overloaded"));
  });

  test("are given up when the client goes away, or does not read", async () => {
    const clock = new FakeClock();
    const gate = new AnswerGate({ stallMsMax: 5000, clock });
    await new Response(gate.body(large())).body?.cancel();
    assert.equal(gate.bytes, 0);
    const reader = new Response(gate.body(large())).body?.getReader();
    await reader?.read();
    assert.equal(gate.bytes, 344 * 1024);
    clock.advance(4000);
    assert.equal(gate.bytes, 344 * 1024);
    clock.advance(1000);
    assert.equal(gate.bytes, 0);
    await assert.rejects(async () => reader?.read(), /does not read/);
  });
});

test("what one route has to offer is not taken for what another has", () => {
  const streams: readonly Form[] = ["sse", "ndjson"];
  assert.throws(() => negotiate("application/json", streams), coded("not_acceptable"));
  assert.equal(negotiate("application/json", documentForms), "json");
});
