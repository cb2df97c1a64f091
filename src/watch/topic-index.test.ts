import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compareBytes } from "../base/bytes.ts";
import { type Random, seededRandom } from "../base/prng.ts";
import type { WatchRequest } from "../service/service.ts";
import { IntervalTree } from "./interval-tree.ts";
import { keyText, type Topic } from "./topic.ts";
import { TopicIndex } from "./topic-index.ts";

function bytes(random: Random): Uint8Array {
  // High bytes too: a comparison as text of UTF-8 or UTF-16 would order those otherwise.
  return Uint8Array.from({ length: random.below(4) }, () => [0, 1, 97, 98, 200, 255][random.below(6)] ?? 0);
}

function holds({ key, end }: WatchRequest, name: Uint8Array): boolean {
  if (end === undefined) return compareBytes(key, name) === 0;
  return compareBytes(key, name) <= 0 && (end === null || compareBytes(name, end) < 0);
}

describe("the index of topics", () => {
  test("finds what a search through all would find, while ranges come and go", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seededRandom(seed);
      const index = new TopicIndex(random);
      const there = new Map<Topic, WatchRequest>();
      for (let step = 0; step < 300; step++) {
        if (random.below(3) > 0) {
          const key = bytes(random);
          const ends = [{}, { end: null }, { end: bytes(random) }];
          const request = {
            key,
            ...ends[random.below(3)],
            startRevision: 0,
            previous: random.below(2) === 0,
          };
          there.set(index.topicOf(request), request);
        } else {
          const [topic] = [...there.keys()].slice(random.below(there.size + 1));
          if (topic !== undefined) {
            index.remove(topic);
            there.delete(topic);
          }
        }
        const key = bytes(random);
        const found: Topic[] = [];
        index.visit(keyText(key), (topic) => found.push(topic));
        const wanted = [...there].filter(([, request]) => holds(request, key)).map(([topic]) => topic);
        assert.deepEqual(new Set(found), new Set(wanted), `seed ${seed}`);
        assert.equal(found.length, wanted.length, "none is found twice");
        assert.equal(index.size, there.size);
      }
    }
  });

  test("looks at few of many ranges", () => {
    const tree = new IntervalTree<number>(seededRandom(7));
    const name = (i: number): string => `key/${String(i).padStart(6, "0")}`;
    for (let i = 0; i < 10_000; i++) tree.insert(name(i), name(i + 1), i);
    let visits = 0;
    tree.visit(name(5000), (item) => {
      visits++;
      assert.equal(item, 5000);
    });
    assert.equal(visits, 1);
  });
});
