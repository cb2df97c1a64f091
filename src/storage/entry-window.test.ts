import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { entryKind } from "../raft/types.ts";
import { EntryWindow } from "./entry-window.ts";

function append(window: EntryWindow, bytes: number): Uint8Array {
  const data = new Uint8Array(bytes);
  window.append({ index: window.next, term: 1, kind: entryKind.normal, data });
  return data;
}

describe("the window of newest entries", () => {
  test("keeps as many bytes as it may, and no entry above an index", () => {
    const window = new EntryWindow(5);
    for (let at = 0; at < 10; at++) append(window, 100);
    window.shrink(350, 99);
    assert.deepEqual([window.first, window.next, window.bytes], [12, 15, 300]);
    window.shrink(0, 13);
    assert.deepEqual([window.first, window.next, window.bytes], [14, 15, 100]);
    assert.equal(window.get(13), undefined);
    assert.equal(window.get(14)?.index, 14);
  });

  test("lets go of what it drops, however few entries that is", async () => {
    const window = new EntryWindow(1);
    const refs = Array.from({ length: 200 }, () => new WeakRef(append(window, 10_000)));
    window.shrink(100_000, 1000);
    assert.equal(window.first, 191);
    // A reference that was just made or read holds until the turn ends.
    await new Promise((resolve) => setTimeout(resolve));
    Bun.gc(true);
    const held = refs.filter((ref) => ref.deref() !== undefined).length;
    // Whatever a collector took for a reference by mistake.
    assert.ok(held >= 10 && held < 20, `${held} of 200 entries are still in memory`);
  });
});
