import { Registry } from "prom-client";
import { present } from "../base/assert.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { MemberRecord } from "../base/members.ts";
import { seededRandom } from "../base/prng.ts";
import { StateMachine } from "../kv/state-machine.ts";
import { Node } from "../node/node.ts";
import type { NodeOptions } from "../node/options.ts";
import type { StateStore } from "../node/state-store.ts";
import type { PeerMessage } from "../peer/types.ts";
import type { MemberId } from "../raft/types.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import type { Service } from "../service/service.ts";
import { MemoryLogStore } from "../storage/memory-log.ts";
import type { MaintenanceFiles } from "./member-maintenance.ts";
import { MemberParts } from "./member-parts.ts";
import { memberService } from "./member-service.ts";

/** One member of a test cluster: everything real but its disk and its network. */
export interface TestMember {
  readonly id: MemberId;
  readonly node: Node;
  /** As the faces have it. */
  readonly service: Service;
  readonly registry: Registry;
}

export interface TestClusterOptions {
  /** 1 unless given. */
  readonly members?: number;
  /** The machine's unless given. With a `FakeClock` nothing happens until it is advanced. */
  readonly clock?: Clock;
  readonly options?: Partial<NodeOptions>;
}

const clusterId = 99;

function recordOf(id: MemberId): MemberRecord {
  return {
    id,
    name: `n${id}`,
    peerAddress: `127.0.0.1:${7000 + id}`,
    clientUrls: [`http://127.0.0.1:${20_000 + id}`],
    grpcUrls: [],
    learner: false,
  };
}

/** Members in one process, with logs and states in memory and messages that take a millisecond. */
export class TestCluster {
  readonly clock: Clock;
  readonly members: readonly TestMember[];
  /** Members that no message reaches, or leaves. */
  readonly cut = new Set<MemberId>();
  /** What stopped a member: should be empty. */
  readonly fatal: unknown[] = [];

  constructor({ members = 1, clock = systemClock, options = {} }: TestClusterOptions = {}) {
    this.clock = clock;
    const records = Array.from({ length: members }, (_, at) => recordOf(at + 1));
    this.members = records.map(({ id }) => this.#create(id, records, options));
    for (const { node } of this.members) node.start();
  }

  #create(id: MemberId, records: readonly MemberRecord[], options: Partial<NodeOptions>): TestMember {
    const registry = new Registry();
    const onFatal = (error: unknown): void => void this.fatal.push(error);
    const parts = new MemberParts(registry, onFatal);
    const membership = { clusterId, members: records, removed: [] };
    const identity = { clusterId, memberId: id, name: `n${id}` };
    const files: StateStore & MaintenanceFiles = {
      diskSpace: () => Promise.reject(new Error("no disk here")),
      createSnapshot: () => Promise.reject(new Error("no snapshots here")),
      install: () => Promise.reject(new Error("no snapshots here")),
      checkpoint: () => Promise.resolve(0),
      bytes: () => 0,
      usedBytes: () => 0,
      close: () => Promise.resolve(),
    };
    const node = new Node({
      identity,
      options: { ...defaultOptions, ...options },
      build: { version: "test", commit: "test" },
      clock: this.clock,
      random: seededRandom(id),
      log: new MemoryLogStore({
        initial: { index: 1, term: 1, hardState: { term: 1, votedFor: 0, commit: 1 } },
        schedule: (action) => this.clock.after(1, action),
      }),
      state: StateMachine.create(openSqlite(":memory:"), { membership, index: 1, term: 1 }),
      store: files,
      transport: {
        setPeers: () => {},
        setRemoved: () => {},
        send: (to, message) => this.#send(id, to, message),
        connected: (to) => !this.cut.has(id) && !this.cut.has(to),
        trouble: () => undefined,
        roundTripMs: () => 1,
        close: () => Promise.resolve(),
        sendSnapshot: () => Promise.reject(new Error("no snapshots here")),
      },
      newId: () => 1000 + id,
      parts: parts.factories,
      onFatal,
      onRemoved: () => {},
    });
    const { clock } = this;
    const service = memberService({ node, identity, parts: parts.services, files, clock, onLeft: () => {} });
    return { id, node, registry, service };
  }

  #send(from: MemberId, to: MemberId, message: PeerMessage): boolean {
    if (this.cut.has(from) || this.cut.has(to)) return false;
    this.clock.after(1, () => {
      if (!this.cut.has(from) && !this.cut.has(to)) this.member(to).node.onMessage(from, message);
    });
    return true;
  }

  member(id: MemberId): TestMember {
    return present(this.members[id - 1], `member ${id}`);
  }

  /** The one of the members that can be reached that leads, if any. */
  get leading(): TestMember | undefined {
    const reachable = this.members.filter(({ id }) => !this.cut.has(id));
    return reachable.find(({ node }) => node.raftStatus().role === "leader");
  }

  /** Resolves with the leader when it can be written to. On the machine's clock. */
  async ready(): Promise<TestMember> {
    for (;;) {
      const leader = this.leading;
      if (leader?.service.cluster.readiness().ready === true) return leader;
      await new Promise<void>((resolve) => {
        this.clock.after(1, resolve);
      });
    }
  }

  /** Ends all members; to be called at the end of a test, since their timers keep the process up. */
  async close(): Promise<void> {
    for (const { id } of this.members) this.cut.add(id);
    await Promise.all(this.members.map(({ node }) => node.stop(0)));
    for (const { node } of this.members) node.state.close();
  }
}

const defaultOptions: NodeOptions = {
  heartbeatMs: 50,
  electionMs: 500,
  requestTimeoutMs: 5000,
  leaderWaitMs: 3000,
  logEntriesMax: 100_000,
  logBytesMax: 1e9,
  logTailEntries: 100,
  valueBytesMax: 1_572_864,
};
