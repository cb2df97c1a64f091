import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Clock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import { type Random, seededRandom } from "../base/prng.ts";
import type { Ask } from "./ask.ts";
import { type BootstrapResult, bootstrap, foundAlone } from "./bootstrap.ts";
import { BootstrapDesk } from "./bootstrap-desk.ts";
import type { BootstrapRecord, BootstrapStore } from "./bootstrap-file.ts";

/** Time that passes only when nothing else can happen. */
class VirtualClock implements Clock {
  #now = 0;
  #timers: { atMs: number; order: number; action: () => void }[] = [];
  #order = 0;

  nowMs = (): number => this.#now;
  wallMs = (): number => this.#now;
  endOfTurn(action: () => void): void {
    this.after(0, action);
  }
  after(delayMs: number, action: () => void) {
    const timer = { atMs: this.#now + delayMs, order: this.#order++, action };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }
  /** Runs until `done` or `limitMs` of virtual time. */
  async run(done: () => boolean, limitMs: number): Promise<void> {
    for (let idle = 0; !done() && this.#now < limitMs && idle < 100; idle++) {
      // Let everything that is already possible happen: promises run in microtasks.
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
      this.#timers.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
      const next = this.#timers.shift();
      if (next === undefined) continue;
      idle = 0;
      this.#now = Math.max(this.#now, next.atMs);
      next.action();
    }
  }
}

class MemoryStore implements BootstrapStore {
  record: BootstrapRecord | undefined;
  load = (): BootstrapRecord | undefined => structuredClone(this.record);
  save(record: BootstrapRecord): void {
    this.record = structuredClone(record);
  }
  clear(): void {
    this.record = undefined;
  }
}

interface Machine {
  readonly name: string;
  readonly address: string;
  readonly store: MemoryStore;
  targets: string[];
  expected: number;
  standing: "bootstrap" | "joining" | { readonly clusterId: number };
  desk: BootstrapDesk | undefined;
  stop: AbortController;
  result: BootstrapResult | undefined;
  error: unknown;
}

/** Machines whose processes speak over a network that delays and loses. */
class World {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly machines: Machine[] = [];
  /** Every cluster that ever began. */
  readonly clusters = new Set<number>();
  lossPercent = 0;
  delayMsMax = 20;
  #ids = 1;
  #instances = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  add(name: string, targets: string[], expected = targets.length): Machine {
    const machine: Machine = {
      name,
      address: `${name}.example:2380`,
      store: new MemoryStore(),
      targets: targets.map((target) => `${target}.example:2380`),
      expected,
      standing: "bootstrap",
      desk: undefined,
      stop: new AbortController(),
      result: undefined,
      error: undefined,
    };
    this.machines.push(machine);
    return machine;
  }

  start(machine: Machine): void {
    machine.stop = new AbortController();
    const { signal } = machine.stop;
    machine.error = undefined;
    const desk = new BootstrapDesk({
      self: { name: machine.name, peerAddress: machine.address, clientUrls: [], grpcUrls: [] },
      instance: `${machine.name}#${this.#instances++}`,
      store: machine.store,
      standing: machine.standing,
    });
    machine.desk = desk;
    if (machine.standing !== "bootstrap") return;
    bootstrap({
      desk,
      ask: this.#askFrom(machine, signal),
      clock: this.clock,
      targets: async () => machine.targets.map((address) => ({ address })),
      expected: machine.expected,
      signal,
      newId: () => this.#ids++,
    }).then(
      (result) => {
        if (signal.aborted) return;
        machine.result = result;
        // What the node does next: its identity becomes durable.
        if (result.kind === "founded") {
          this.clusters.add(result.clusterId);
          machine.standing = { clusterId: result.clusterId };
          desk.initialised(result.clusterId);
        }
      },
      (error: unknown) => {
        if (!signal.aborted) machine.error = error;
      },
    );
  }

  kill(machine: Machine): void {
    machine.stop.abort();
    machine.desk = undefined;
  }

  wipe(machine: Machine): void {
    this.kill(machine);
    machine.store.clear();
    machine.standing = "bootstrap";
    machine.result = undefined;
  }

  #askFrom(from: Machine, signal: AbortSignal): Ask {
    return async (address, name, body, { timeoutMs }) => {
      await this.#travel(timeoutMs);
      const to = this.machines.find((machine) => machine.address === address);
      if (to?.desk === undefined) throw new CoracleError("not_proposed", `${address} was not reached.`);
      const answer = structuredClone(to.desk.handle(name, structuredClone(body)));
      await this.#travel(timeoutMs);
      if (signal.aborted) throw new CoracleError("shutting_down", `${from.name} is gone.`);
      return answer;
    };
  }

  #travel(timeoutMs: number): Promise<void> {
    const lost = this.random.below(100) < this.lossPercent;
    return new Promise((resolve, reject) => {
      if (lost) {
        this.clock.after(timeoutMs, () => reject(new CoracleError("outcome_unknown", "no answer.")));
      } else {
        this.clock.after(this.random.below(this.delayMsMax), resolve);
      }
    });
  }

  /** Every machine belongs to a cluster, or is told to join one. */
  settled = (): boolean =>
    this.machines.every(({ result, error }) => result !== undefined || error !== undefined);
}

const three = ["n1", "n2", "n3"];

function cluster(seed: number, names: readonly string[]): World {
  const world = new World(seed);
  for (const name of names) world.add(name, [...names]);
  return world;
}

describe("bootstrap", () => {
  test("members that start at once found one cluster", async () => {
    const world = cluster(1, three);
    for (const machine of world.machines) world.start(machine);
    await world.clock.run(world.settled, 60_000);
    const [first] = world.machines;
    assert.ok(first?.result?.kind === "founded");
    const { clusterId, members } = first.result;
    assert.deepEqual(
      members.map(({ name }) => name),
      three,
    );
    for (const [i, { result }] of world.machines.entries()) {
      assert.ok(result?.kind === "founded");
      assert.deepEqual({ ...result, memberId: 0 }, { kind: "founded", clusterId, memberId: 0, members });
      assert.equal(result.memberId, members[i]?.id);
    }
  });

  test("nothing begins while one is missing", async () => {
    const world = cluster(2, three);
    const [a, b, late] = world.machines;
    assert.ok(a && b && late);
    world.start(a);
    world.start(b);
    await world.clock.run(() => world.clusters.size > 0, 30_000);
    assert.equal(world.clusters.size, 0);
    assert.equal(a.store.record, undefined);
    world.start(late);
    await world.clock.run(world.settled, 60_000);
    assert.equal(world.clusters.size, 1);
  });

  test("a wiped member is sent to the cluster that exists", async () => {
    const world = cluster(3, three);
    for (const machine of world.machines) world.start(machine);
    await world.clock.run(world.settled, 60_000);
    for (const machine of world.machines) {
      world.wipe(machine);
      world.start(machine);
      await world.clock.run(world.settled, 120_000);
      assert.equal(machine.result?.kind, "existing", machine.name);
      assert.equal(machine.result.addresses.length, 2);
      // It joins.
      machine.standing = { clusterId: machine.result.clusterId };
      machine.desk?.initialised(machine.result.clusterId);
    }
    assert.equal(world.clusters.size, 1);
  });

  test("a member with other flags stops everything, with a reason, and nothing is promised", async () => {
    const world = cluster(4, three);
    const [, second] = world.machines;
    assert.ok(second);
    second.targets = ["n2.example:2380", "n3.example:2380"];
    second.expected = 2;
    for (const machine of world.machines) world.start(machine);
    await world.clock.run(world.settled, 20_000);
    assert.equal(world.clusters.size, 0);
    for (const { store } of world.machines) assert.equal(store.record, undefined);
    world.kill(second);
    second.targets = three.map((name) => `${name}.example:2380`);
    second.expected = 3;
    world.start(second);
    await world.clock.run(world.settled, 60_000);
    assert.equal(world.clusters.size, 1);
  });

  test("a target that began alone is joined", async () => {
    const world = cluster(5, three);
    const [a, b, c] = world.machines;
    assert.ok(a && b && c);
    b.standing = "joining";
    world.start(b);
    assert.ok(b.desk);
    const alone = foundAlone(b.desk, () => 900);
    b.desk.initialised(alone.clusterId);
    b.result = alone;
    world.start(a);
    world.start(c);
    await world.clock.run(world.settled, 60_000);
    assert.deepEqual(
      [a.result, c.result],
      Array(2).fill({ kind: "existing", clusterId: 900, addresses: [b.address] }),
    );
  });

  test("too many, double and missing members are told", async () => {
    const problem = async (build: (world: World) => void): Promise<string> => {
      const world = new World(6);
      build(world);
      for (const machine of world.machines) world.start(machine);
      await world.clock.run(() => world.machines.some(({ error }) => error !== undefined), 20_000);
      const error = world.machines.find((machine) => machine.error !== undefined)?.error;
      assert.ok(error instanceof CoracleError);
      assert.equal(error.code, "config_invalid");
      assert.equal(world.clusters.size, 0);
      return error.message;
    };
    assert.match(
      await problem((world) => {
        for (const name of three) world.add(name, three, 2);
      }),
      /3 members answer .* but 2 are expected/,
    );
    assert.match(
      await problem((world) => {
        world.add("n1", ["n2"]);
        world.add("n2", ["n2", "n9"]);
      }),
      /this member, n1, is not among/,
    );
    assert.match(await problem((world) => world.add("n1", ["n1", "n1"])), /lead to the same member, n1/);
  });

  test("a member that has promised itself does not begin alone", () => {
    const store = new MemoryStore();
    const member = { id: 2, name: "n1", peerAddress: "a:1", clientUrls: [], grpcUrls: [], learner: false };
    store.save({
      plan: { clusterId: 1, members: [member, { ...member, id: 3, name: "n2" }] },
      committed: false,
    });
    const self = { name: "n1", peerAddress: "a:1", clientUrls: [], grpcUrls: [] };
    const desk = new BootstrapDesk({ self, instance: "x", store, standing: "bootstrap" });
    assert.throws(() => foundAlone(desk), /a cluster of n1, n2 was agreed on before/);
  });

  test("a member accepts one plan ever", () => {
    const store = new MemoryStore();
    const self = { name: "n1", peerAddress: "a:1", clientUrls: [], grpcUrls: [] };
    const plan = (clusterId: number) => ({ clusterId, members: [{ ...self, id: 5, learner: false }] });
    const make = () => new BootstrapDesk({ self, instance: "x", store, standing: "bootstrap" });
    const desk = make();
    assert.equal(desk.accept(plan(1)).accepted, false);
    desk.setView(["n1"]);
    assert.equal(desk.accept(plan(1)).accepted, true);
    assert.equal(desk.accept(plan(1)).accepted, true);
    assert.equal(desk.accept(plan(2)).accepted, false);
    assert.equal(desk.commit(2), false);
    const restarted = make();
    restarted.setView(["n1"]);
    assert.equal(restarted.accept(plan(2)).accepted, false);
    assert.equal(restarted.commit(1), true);
    assert.equal(make().committed, true);
  });
});

test("whatever crashes and whatever is lost, one cluster results, never two", {
  timeout: 60_000,
}, async () => {
  const base = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9));
  const runs = process.env.SEED === undefined ? 150 : 1;
  for (let run = 0; run < runs; run++) {
    const seed = base + run;
    const replay = `replay: SEED=${seed} bun test src/discovery/bootstrap.test.ts`;
    const world = cluster(seed, ["n1", "n2", "n3", "n4", "n5"].slice(0, 2 + (seed % 4)));
    world.lossPercent = seed % 3 === 0 ? 20 : 0;
    for (const machine of world.machines) {
      world.clock.after(world.random.below(1_500), () => world.start(machine));
    }
    // Crashes while it goes on; one machine at most loses its disk, and only before it has begun.
    let wipes = 1;
    for (let crash = 0; crash < 6; crash++) {
      world.clock.after(world.random.below(3_000), () => {
        const machine = world.machines[world.random.below(world.machines.length)];
        if (machine?.desk === undefined) return;
        if (wipes > 0 && machine.result === undefined && world.random.below(4) === 0) {
          wipes--;
          world.wipe(machine);
        } else {
          world.kill(machine);
        }
        world.clock.after(world.random.below(1_000), () => world.start(machine));
      });
    }
    await world.clock.run(() => world.clock.nowMs() > 4_500 && world.settled(), 300_000);
    assert.ok(world.clusters.size <= 1, `${world.clusters.size} clusters; ${replay}`);
    assert.ok(world.settled(), `some member never found its cluster; ${replay}`);
    for (const { error, result, name } of world.machines) {
      assert.equal(error, undefined, `${name}; ${replay}`);
      assert.ok(result !== undefined && world.clusters.has(result.clusterId), `${name}; ${replay}`);
    }
  }
});
