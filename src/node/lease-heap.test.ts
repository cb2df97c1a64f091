import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DueHeap, type HeapItem } from "./lease-heap.ts";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

test(`a heap gives what is due first, whatever was taken out of its middle (SEED=${seed})`, () => {
  const step = fc.oneof(
    fc.record({ add: fc.integer({ min: 0, max: 50 }) }),
    fc.record({ remove: fc.nat() }),
    fc.constant("first" as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new DueHeap();
      let items: HeapItem[] = [];
      for (const one of steps) {
        if (one === "first") {
          const { first } = heap;
          assert.equal(
            first?.dueMs,
            items.length === 0 ? undefined : Math.min(...items.map(({ dueMs }) => dueMs)),
          );
          if (first !== undefined) heap.remove(first);
          items = items.filter((item) => item !== first);
        } else if ("add" in one) {
          const item = { dueMs: one.add, heapIndex: -1 };
          items.push(item);
          heap.add(item);
        } else {
          const item = items[one.remove % Math.max(1, items.length)];
          if (item === undefined) continue;
          heap.remove(item);
          heap.remove(item);
          items = items.filter((other) => other !== item);
        }
        assert.equal(heap.size, items.length);
        assert.deepEqual(new Set(items.map(({ heapIndex }) => heapIndex)).size, items.length);
      }
      const order: number[] = [];
      for (let { first } = heap; first !== undefined; { first } = heap) {
        order.push(first.dueMs);
        heap.remove(first);
      }
      assert.deepEqual(
        order,
        items.map(({ dueMs }) => dueMs).sort((a, b) => a - b),
      );
    }),
    { seed, numRuns: 300 },
  );
});
