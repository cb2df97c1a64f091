import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { configureSync, resetSync } from "@logtape/logtape";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import type { MemberRecord } from "../base/members.ts";
import { seededRandom } from "../base/prng.ts";
import { StateMachine } from "../kv/state-machine.ts";
import type { PeerEndpoint, PeerMessage } from "../peer/types.ts";
import type { MemberId } from "../raft/types.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { MemoryLogStore } from "../storage/memory-log.ts";
import { FakeClock } from "./fake-clock.test-support.ts";
import { Node } from "./node.ts";

/** Some members on one fake clock, connected without loss. */
class Cluster {
  readonly clock = new FakeClock();
  readonly nodes = new Map<MemberId, Node>();
  readonly cut = new Set<MemberId>();
  readonly fatal: unknown[] = [];

  constructor(count: number) {
    const members: MemberRecord[] = Array.from({ length: count }, (_, at) => ({
      id: at + 1,
      name: `n${at + 1}`,
      peerAddress: `127.0.0.1:${7000 + at}`,
      clientUrls: [],
      grpcUrls: [],
      learner: false,
    }));
    for (const { id, name } of members) this.#add(id, name, members);
    for (const node of this.nodes.values()) node.start();
  }

  #add(id: MemberId, name: string, members: readonly MemberRecord[]): void {
    const state = StateMachine.create(openSqlite(":memory:"), {
      membership: { clusterId: 99, members, removed: [] },
      index: 1,
      term: 1,
    });
    const node = new Node({
      identity: { clusterId: 99, memberId: id, name },
      options: {
        heartbeatMs: 100,
        electionMs: 1000,
        requestTimeoutMs: 5000,
        leaderWaitMs: 3000,
        logEntriesMax: 1000,
        logBytesMax: 1e6,
        logTailEntries: 100,
        valueBytesMax: 1e6,
      },
      build: { version: "test", commit: "test" },
      parts: [() => ({ requests: new Map([["echo", async (body) => body]]) })],
      clock: this.clock,
      random: seededRandom(id),
      log: new MemoryLogStore({
        initial: { index: 1, term: 1, hardState: { term: 1, votedFor: 0, commit: 1 } },
        schedule: (action) => this.clock.after(1, action),
      }),
      state,
      store: {
        createSnapshot: () => Promise.reject(new Error("no snapshots here")),
        install: () => Promise.reject(new Error("no snapshots here")),
        checkpoint: () => Promise.resolve(0),
        bytes: () => 0,
        usedBytes: () => 0,
        close: () => Promise.resolve(),
      },
      transport: {
        setPeers: (_peers: readonly PeerEndpoint[]) => {},
        setRemoved: () => {},
        send: (to, message) => this.#send(id, to, message),
        connected: (to) => !this.cut.has(to),
        trouble: (to) => (this.cut.has(to) ? "it was not reached" : undefined),
        roundTripMs: () => 1,
        close: () => Promise.resolve(),
        sendSnapshot: () => Promise.reject(new Error("no snapshots here")),
      },
      newId: () => 1000 + id,
      onFatal: (error) => this.fatal.push(error),
      onRemoved: () => {},
    });
    this.nodes.set(id, node);
  }

  #send(from: MemberId, to: MemberId, message: PeerMessage): boolean {
    if (this.cut.has(from) || this.cut.has(to)) return false;
    this.clock.after(1, () => {
      if (!this.cut.has(from) && !this.cut.has(to)) this.nodes.get(to)?.onMessage(from, message);
    });
    return true;
  }

  node(id: MemberId): Node {
    const node = this.nodes.get(id);
    assert.ok(node !== undefined);
    return node;
  }

  /** Advances the clock until the condition holds; promises run in between. */
  async until(what: string, condition: () => boolean, limitMs = 20_000): Promise<void> {
    for (let passed = 0; passed < limitMs; passed += 5) {
      if (condition()) return;
      this.clock.advance(5);
      for (let at = 0; at < 10; at++) await Promise.resolve();
    }
    assert.fail(`not reached: ${what}; ${this.fatal.map(String).join()}`);
  }

  async leader(): Promise<Node> {
    const leading = (): Node | undefined =>
      [...this.nodes]
        .filter(([id]) => !this.cut.has(id))
        .map(([, node]) => node)
        .find((node) => node.raftStatus().role === "leader");
    await this.until("a leader", () => leading() !== undefined);
    const leader = leading();
    assert.ok(leader !== undefined);
    return leader;
  }

  async end<T>(promise: Promise<T>): Promise<T> {
    let ended = false;
    promise.then(
      () => {
        ended = true;
      },
      () => {
        ended = true;
      },
    );
    await this.until("an answer", () => ended);
    return promise;
  }
}

const put = (key: string, value: string) =>
  ({ body: { type: "put", key: utf8(key), value: utf8(value), lease: 0, previous: false } }) as const;
const read = (key: string) => ({ type: "range", key: utf8(key), revision: 0, limit: 0 }) as const;
const linearizable = { mode: "linearizable" } as const;

describe("a cluster of nodes", () => {
  test("serves writes and linearizable reads through every member", async () => {
    const cluster = new Cluster(3);
    await cluster.leader();
    for (const id of [1, 2, 3]) await cluster.end(cluster.node(id).propose(put(`k${id}`, `v${id}`)));
    for (const id of [1, 2, 3]) {
      for (const key of [1, 2, 3]) {
        const { keys } = await cluster.end(cluster.node(id).range(read(`k${key}`), linearizable));
        assert.equal(fromUtf8(keys[0]?.value ?? utf8("missing")), `v${key}`);
      }
    }
    assert.deepEqual(cluster.fatal, []);
  });

  test("elects another leader and keeps what was acknowledged", async () => {
    const cluster = new Cluster(3);
    const first = await cluster.leader();
    await cluster.end(first.propose(put("k", "v")));
    const cut = first.raftStatus().id;
    cluster.cut.add(cut);
    const second = await cluster.leader();
    assert.notEqual(second.raftStatus().id, cut);
    const { keys } = await cluster.end(second.range(read("k"), linearizable));
    assert.equal(fromUtf8(keys[0]?.value ?? utf8("missing")), "v");
  });

  test("answers 'no leader' or 'unknown' from a minority, and never success", async () => {
    const cluster = new Cluster(3);
    const leader = await cluster.leader();
    for (const id of [1, 2, 3]) if (id !== leader.raftStatus().id) cluster.cut.add(id);
    const write = cluster.end(leader.propose(put("k", "v")));
    await assert.rejects(write, (error) => error instanceof CoracleError && error.code === "outcome_unknown");
    const late = cluster.end(leader.propose(put("k", "w")));
    await assert.rejects(late, (error) => error instanceof CoracleError && error.code === "no_leader");
    const reading = cluster.end(leader.range(read("k"), linearizable));
    await assert.rejects(reading, (error) => error instanceof CoracleError && error.code === "no_leader");
  });

  test("hands leadership over before it stops", async () => {
    const cluster = new Cluster(3);
    const leader = await cluster.leader();
    await cluster.end(leader.stop(1000));
    cluster.cut.add(leader.raftStatus().id);
    const next = [...cluster.nodes.values()].find(
      (node) => node !== leader && node.raftStatus().role === "leader",
    );
    assert.ok(next !== undefined);
    await cluster.end(next.propose(put("k", "v")));
  });

  test("who stops it a second time waits for the same end", async () => {
    const cluster = new Cluster(3);
    const leader = await cluster.leader();
    for (const member of cluster.nodes.keys()) cluster.cut.add(member);
    const write = leader.propose(put("k", "v")).catch(() => "answered");
    let ended = 0;
    const stops = [1000, 1000].map((graceMs) => leader.stop(graceMs).then(() => ended++));
    for (let turns = 0; turns < 20; turns++) await Promise.resolve();
    assert.equal(ended, 0, "a write is still under way");
    await cluster.end(Promise.all([...stops, write]));
  });

  test("answers no question of its own once it has stopped", async () => {
    const cluster = new Cluster(1);
    const leader = await cluster.leader();
    assert.equal(await cluster.end(leader.cluster.askLeader("echo", 7)), 7);
    await cluster.end(leader.stop(1000));
    const question = cluster.end(leader.cluster.askLeader("echo", 7));
    await assert.rejects(
      question,
      (error) => error instanceof CoracleError && error.code === "shutting_down",
    );
  });

  test("waits for a leader no longer than it may, and says whom it does not reach", async () => {
    const cluster = new Cluster(3);
    const leader = await cluster.leader();
    for (const id of [1, 2, 3]) if (id !== leader.raftStatus().id) cluster.cut.add(id);
    await cluster.until("it leads no longer", () => leader.raftStatus().leader === 0);
    const askedMs = cluster.clock.nowMs();
    const removal = cluster.end(leader.cluster.removeMember(leader.raftStatus().id));
    await assert.rejects(removal, (error) => error instanceof CoracleError && error.code === "no_leader");
    const tookMs = cluster.clock.nowMs() - askedMs;
    assert.ok(tookMs >= 3000 && tookMs < 3200, `${tookMs} ms`);
    const [first, second] = [...cluster.cut].map((id) => `n${id}: it was not reached`);
    assert.deepEqual(leader.cluster.readiness(), {
      ready: false,
      reason: `no leader is known; ${first}; ${second}`,
    });
  });

  test("a leader that stops does not wait for others that stop with it", async () => {
    const cluster = new Cluster(3);
    const leader = await cluster.leader();
    const { id, term } = leader.raftStatus();
    const others = [1, 2, 3].filter((other) => other !== id);
    const handedOver = leader.cluster.handOver();
    await cluster.until("it follows", () => leader.raftStatus().role !== "leader");
    assert.ok(leader.raftStatus().term > term);
    const goneMs = cluster.clock.nowMs();
    for (const other of others) cluster.cut.add(other);
    await cluster.end(handedOver);
    assert.ok(cluster.clock.nowMs() - goneMs < 100, "nobody is left to wait for");
  });

  test("logs whom it is connected with by name, or by id before it knows the name", async () => {
    const lines: string[] = [];
    configureSync({
      sinks: { memory: (record) => void lines.push(record.message.join("")) },
      loggers: [
        { category: ["coracle", "node"], sinks: ["memory"] },
        { category: ["logtape", "meta"], lowestLevel: "error" },
      ],
    });
    try {
      const node = new Cluster(2).node(1);
      for (const id of [2, 77]) {
        node.onConnected(id);
        node.onDisconnected(id);
      }
    } finally {
      resetSync();
    }
    assert.deepEqual(
      lines.filter((line) => line.includes("onnect")),
      [
        "Connected to n2.",
        "The connection with n2 closed.",
        "Connected to member 77.",
        "The connection with member 77 closed.",
      ],
    );
  });

  test("refuses a bad command before the log", async () => {
    const cluster = new Cluster(1);
    const leader = await cluster.leader();
    const before = leader.raftStatus().lastIndex;
    await assert.rejects(
      leader.propose(put("", "v")),
      (error) => error instanceof CoracleError && error.code === "key_empty",
    );
    assert.equal(leader.raftStatus().lastIndex, before);
  });

  test("changes membership through any member, and refuses to lose the quorum", async () => {
    const cluster = new Cluster(3);
    const leader = await cluster.leader();
    const leaderId = leader.raftStatus().id;
    const others = [1, 2, 3].filter((id) => id !== leaderId);
    const [gone = 0, asked = 0] = others;
    await cluster.end(cluster.node(asked).cluster.removeMember(gone));
    assert.equal(leader.cluster.members().length, 2);
    cluster.cut.add(asked);
    await cluster.until("the leader notices", () =>
      leader.raftStatus().progress.every((peer) => !peer.active),
    );
    const unsafe = cluster.end(leader.cluster.removeMember(asked));
    await assert.rejects(unsafe, CoracleError);
  });
});
