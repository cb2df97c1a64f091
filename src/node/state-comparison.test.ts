import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import { seededRandom } from "../base/prng.ts";
import { StateMachine } from "../kv/state-machine.ts";
import type { RaftStatus } from "../raft/types.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { FakeClock } from "./fake-clock.test-support.ts";
import type { NodeAccess } from "./part.ts";
import { judge, StateComparison } from "./state-comparison.ts";

const never = (): never => {
  throw new Error("not expected");
};

/** Three members that applied a log, and who of them was condemned. */
class Bench {
  readonly clock = new FakeClock();
  readonly machines = new Map<number, StateMachine>();
  readonly parts = new Map<number, StateComparison>();
  readonly condemned: number[] = [];
  /** Members that cannot be asked. */
  readonly cut = new Set<number>();
  /** Called once when hashes were answered. */
  answered: (() => void) | undefined;
  /** Whether a member that should end cannot. */
  failing = false;

  constructor() {
    for (const id of [1, 2, 3]) {
      const membership = { clusterId: 9, members: [], removed: [] };
      this.machines.set(id, StateMachine.create(openSqlite(":memory:"), { membership, index: 1, term: 1 }));
      const options = { everyMs: 60_000, condemn: () => this.#condemn(id) };
      this.parts.set(id, new StateComparison(options, this.#access(id)));
    }
    this.parts.get(1)?.leading(5);
  }

  /** Applies so many entries, in groups of a size of its own; `odd`: with another value somewhere. */
  apply(id: number, count: number, group: number, odd = false): void {
    const machine = this.machines.get(id) as StateMachine;
    for (let done = 0; done < count; ) {
      const entries = Array.from({ length: Math.min(group, count - done) }, (_, at) => {
        const index = machine.appliedIndex + 1 + at;
        const value = utf8(odd && index === 100 ? "odd" : `value ${index}`);
        const body = { type: "put" as const, key: utf8(`k${index % 7}`), value, lease: 0, previous: false };
        const batch = { timeMs: index, commands: [{ body }] };
        return { index, term: 1, content: { type: "batch" as const, batch } };
      });
      machine.apply(entries, { hold: true });
      done += entries.length;
    }
    machine.commit();
  }

  /** Applies so many entries that change nothing. */
  pass(id: number, count: number): void {
    const machine = this.machines.get(id) as StateMachine;
    const first = machine.appliedIndex + 1;
    machine.apply(
      Array.from({ length: count }, (_, at) => ({ index: first + at, term: 1, content: { type: "noop" } })),
    );
  }

  async run(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.clock.advance(1000);
      for (const part of this.parts.values()) part.duty();
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
  }

  #condemn(id: number): void {
    if (this.failing) throw new Error("no room");
    this.condemned.push(id);
  }

  #access(self: number): NodeAccess {
    return {
      self,
      clock: this.clock,
      random: seededRandom(self),
      options: undefined as never,
      state: () => this.machines.get(self) as StateMachine,
      raft: () => ({ conf: { voters: [1, 2, 3], learners: [] } }) as unknown as RaftStatus,
      stateTrouble: () => undefined,
      propose: never,
      proposeHere: never,
      current: never,
      askLeader: never,
      ask: async (member: number, name: string, body: unknown) => {
        if (this.cut.has(member)) throw new Error("no answer");
        const answer = await this.parts.get(member)?.requests.get(name)?.(body, self);
        if (name === "state-hashes" && member === 3) {
          this.answered?.();
          this.answered = undefined;
        }
        return answer;
      },
    } as unknown as NodeAccess;
  }
}

test("states are equal however entries were grouped", async () => {
  const bench = new Bench();
  bench.apply(1, 700, 1);
  bench.apply(2, 650, 13);
  bench.apply(3, 600, 200);
  assert.deepEqual(await bench.parts.get(1)?.compare(), { index: 640, equal: [1, 2], differing: [] });
  bench.apply(3, 100, 1);
  assert.deepEqual(await bench.parts.get(1)?.compare(), { index: 640, equal: [1, 2, 3], differing: [] });
  assert.deepEqual(bench.condemned, []);
});

test("a member whose state differs ends, found by the leader from time to time", async () => {
  const bench = new Bench();
  bench.apply(1, 300, 5);
  bench.apply(2, 300, 5, true);
  bench.apply(3, 300, 7);
  await bench.run(30);
  assert.deepEqual(bench.condemned, []);
  await bench.run(31);
  assert.deepEqual(bench.condemned, [2]);
});

test("a leader whose state differs ends itself", async () => {
  const bench = new Bench();
  bench.apply(1, 300, 5, true);
  bench.apply(2, 300, 5);
  bench.apply(3, 300, 7);
  await bench.parts.get(1)?.compare();
  assert.deepEqual(bench.condemned, [1]);
});

test("without a majority that agrees nobody is judged", async () => {
  const bench = new Bench();
  bench.apply(1, 300, 5, true);
  bench.apply(2, 300, 5);
  bench.cut.add(3);
  // Before they parted both had the same; what came later is said by one of three each.
  assert.deepEqual(await bench.parts.get(1)?.compare(), { index: 64, equal: [1, 2], differing: [] });
  assert.deepEqual(bench.condemned, []);
  assert.equal(judge(new Map([[1, new Map([[64, "1:a"]])]]), [1, 2, 3]).index, undefined);
});

test("no single member's word ends another", async () => {
  const bench = new Bench();
  for (const id of [1, 2, 3]) bench.apply(id, 300, 5);
  const told = bench.parts.get(2)?.requests.get("state-differs");
  await told?.({ index: 128, hash: "1:00" }, 1);
  assert.deepEqual(bench.condemned, []);
  await assert.rejects(async () => told?.({ index: 128, hash: "1:00", more: 1 }, 1), {
    code: "invalid_argument",
  });
});

test("a member that differs counts voters that cannot be asked as voters", async () => {
  const bench = new Bench();
  bench.apply(1, 300, 5);
  bench.apply(2, 300, 5, true);
  bench.apply(3, 300, 5);
  bench.cut.add(3);
  const told = bench.parts.get(2)?.requests.get("state-differs");
  await told?.({ index: 128, hash: "1:00" }, 1);
  assert.deepEqual(bench.condemned, []);
  bench.cut.clear();
  await told?.({ index: 128, hash: "1:00" }, 1);
  assert.deepEqual(bench.condemned, [2]);
});

test("a finding counts though its index is forgotten meanwhile, of a leader too", async () => {
  for (const odd of [1, 2]) {
    const bench = new Bench();
    for (const id of [1, 2, 3]) bench.apply(id, 300, 5, id === odd);
    // While the others answer, so much is applied that nothing of now is remembered.
    bench.answered = () => {
      for (const id of [1, 2, 3]) bench.pass(id, 8500);
    };
    const found = await bench.parts.get(1)?.compare();
    assert.deepEqual(found, { index: 256, equal: [1, 2, 3].filter((id) => id !== odd), differing: [odd] });
    assert.deepEqual(bench.condemned, [odd]);
  }
});

test("a member that differs and lags behind is judged by what it has", async () => {
  const bench = new Bench();
  bench.apply(1, 300, 5);
  bench.apply(2, 300, 5);
  bench.apply(3, 200, 5, true);
  await bench.parts.get(1)?.compare();
  assert.deepEqual(bench.condemned, [3]);
});

test("hashes of different making are not compared", () => {
  const answers = new Map([
    [1, new Map([[64, "1:a"]])],
    [2, new Map([[64, "1:a"]])],
    [3, new Map([[64, "2:b"]])],
    [4, new Map([[64, "1:c"]])],
  ]);
  const { equal, differing } = judge(answers, [1, 2, 3]);
  assert.deepEqual(equal, [1, 2]);
  assert.deepEqual([...differing], [[4, { index: 64, own: "1:c", common: "1:a" }]]);
});

test("a comparison that fails ends nobody, and the next one is made", async () => {
  const bench = new Bench();
  bench.apply(1, 300, 5, true);
  bench.apply(2, 300, 5);
  bench.apply(3, 300, 5);
  bench.failing = true;
  await bench.run(61);
  assert.deepEqual(bench.condemned, []);
  bench.failing = false;
  await bench.run(60);
  assert.deepEqual(bench.condemned, [1]);
});
