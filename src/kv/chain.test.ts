import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { present } from "../base/assert.ts";
import { fromUtf8 } from "../base/bytes.ts";
import { seededRandom } from "../base/prng.ts";
import { Bench, del, put, range } from "./builders.test-support.ts";
import { type ChainHead, jumpAfter, type Links, rowAfter } from "./chain.ts";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

describe("a chain of rows", () => {
  const build = (length: number) => {
    const rows: Links[] = [];
    const at = (seq: number) => present(rows[seq - 1], `row ${seq}`);
    let looks = 0;
    let head: ChainHead = { seq: 0, prev: 0, jump: 0, links: 0 };
    for (let seq = 1; seq <= length; seq++) {
      const jump =
        seq === 1
          ? 0
          : jumpAfter(head, (of) => {
              looks++;
              return at(of).jump;
            });
      head = { seq, prev: seq - 1, jump, links: seq };
      rows.push(head);
    }
    return { at, head, looks };
  };

  test("leads to each of its rows in few steps", () => {
    for (const [length, stepsMax] of [
      [15, 14],
      [1000, 40],
      [20_000, 55],
    ] as const) {
      const { at, head, looks } = build(length);
      assert.ok(looks * 16 <= length, `${looks} looks at older rows for ${length}`);
      for (let target = 1; target < length; target += length > 1000 ? 7 : 1) {
        let steps = 0;
        const after = rowAfter(head as Links, target, (seq) => {
          steps++;
          assert.ok(seq > target);
          return at(seq);
        });
        assert.equal(after.prev, target);
        assert.ok(steps <= stepsMax, `${steps} steps from ${length} to ${target}`);
      }
    }
  });
});

describe("keys with many versions", () => {
  const names = ["a", "b", "c", "d"];

  /** Each key's contents by revision, in the order in which they began. */
  class Past {
    readonly #of = new Map(names.map((name) => [name, [{ from: 0, text: "" }]]));

    set(name: string, from: number, text: string): void {
      this.#of.get(name)?.push({ from, text });
    }

    at(name: string, revision: number): string {
      return this.#of.get(name)?.findLast(({ from }) => from <= revision)?.text ?? "";
    }

    all(revision: number): string[] {
      return names.map((name) => this.at(name, revision)).filter((text) => text !== "");
    }
  }

  test(`are found as they were, whatever compaction removed (SEED=${seed})`, { timeout: 60_000 }, () => {
    const random = seededRandom(seed);
    const bench = new Bench();
    const past = new Past();
    const lives = new Map<string, { create: number; version: number }>();
    const check = (revision: number) => {
      const { machine } = bench;
      const told = (op: Parameters<typeof range>) => {
        const { keys, count } = machine.range(range(...op));
        assert.equal(count, keys.length);
        assert.equal(machine.range({ ...range(...op), countOnly: true }).count, count);
        return keys.map(
          ({ key, value, createRevision, version }) =>
            `${fromUtf8(key)}=${fromUtf8(value)} ${createRevision}/${version}`,
        );
      };
      assert.deepEqual(told(["", null, { revision }]), past.all(revision), `everything at ${revision}`);
      const name = names[random.below(names.length)] ?? "a";
      const expected = past.at(name, revision);
      assert.deepEqual(told([name, undefined, { revision }]), expected === "" ? [] : [expected]);
      const first = machine.range(range("", "c", { revision, limit: 1 }));
      assert.equal(first.count, machine.range(range("", "c", { revision })).keys.length);
    };
    for (let turn = 0; turn < 1500; turn++) {
      const name = names[Math.min(random.below(8), 3)] ?? "d";
      const revision = bench.machine.revision + 1;
      const life = lives.get(name);
      if (random.below(name === "d" ? 40 : 3) === 0) {
        bench.run(del(name));
        if (life !== undefined) past.set(name, revision, "");
        lives.delete(name);
      } else {
        bench.run(put(name, `${turn}`));
        const next =
          life === undefined
            ? { create: revision, version: 1 }
            : { create: life.create, version: life.version + 1 };
        lives.set(name, next);
        past.set(name, revision, `${name}=${turn} ${next.create}/${next.version}`);
      }
      const { revision: newest, compactRevision } = bench.machine;
      const oldest = Math.max(1, compactRevision);
      check(oldest + random.below(newest - oldest + 1));
      if (random.below(200) === 0) {
        bench.run({ type: "compact", revision: oldest + 1 + random.below(newest - oldest) });
      }
      if (random.below(3) === 0) bench.machine.compactSlice(1 + random.below(9));
      if (random.below(100) === 0) bench.reopen();
      if (random.below(400) === 0) bench.machine.verify();
    }
    while (!bench.machine.compactSlice(50).done);
    bench.machine.verify();
    const { revision, compactRevision } = bench.machine;
    for (let at = Math.max(1, compactRevision); at <= revision; at++) check(at);
    bench.run({ type: "compact", revision });
    while (!bench.machine.compactSlice(50).done);
    bench.machine.verify();
    const [rows] = bench.db.prepare("SELECT count(*) FROM revision").get() ?? [];
    // The rows of the compact revision stay, with what they replaced.
    assert.ok((rows as number) <= bench.machine.keyCount + 2, "little but the present is left");
  });
});
