import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CountedAbort } from "./signals.test-support.ts";
import { joinedSignal } from "./signals.ts";

describe("a joined signal", () => {
  test("aborts with the first of its sources, for that one's reason, and lets go of the others", () => {
    const sources = [new CountedAbort(), new CountedAbort(), new CountedAbort()];
    const { signal } = joinedSignal(sources.map((source) => source.signal));
    assert.deepEqual([signal.aborted, sources.map(({ listeners }) => listeners)], [false, [1, 1, 1]]);
    sources[1]?.controller.abort("second");
    sources[0]?.controller.abort("first");
    assert.equal(signal.reason, "second");
    assert.deepEqual(
      sources.map(({ listeners }) => listeners),
      [0, 0, 0],
    );
  });

  test("takes the reason that it is given", () => {
    const source = new AbortController();
    const { signal } = joinedSignal([source.signal], () => "another");
    source.abort("own");
    assert.equal(signal.reason, "another");
  });

  test("is aborted from the beginning when a source is, and then listens to none", () => {
    const alive = new CountedAbort();
    const { signal } = joinedSignal([alive.signal, AbortSignal.abort("gone"), alive.signal]);
    assert.deepEqual([signal.reason, alive.listeners], ["gone", 0]);
  });

  test("hears nothing after its end, and leaves nothing behind", () => {
    const source = new CountedAbort();
    const joined = joinedSignal([source.signal]);
    joined.end();
    joined.end();
    assert.equal(source.listeners, 0);
    source.controller.abort();
    assert.equal(joined.signal.aborted, false);
  });
});
