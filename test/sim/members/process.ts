import { InvariantViolation, present } from "../../../src/base/assert.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { CoracleError, messageOf } from "../../../src/base/errors.ts";
import type { Locks } from "../../../src/concurrency/locks.ts";
import type { StateMachine } from "../../../src/kv/state-machine.ts";
import type { Leases } from "../../../src/node/leases.ts";
import { Node } from "../../../src/node/node.ts";
import type { TransportEvents } from "../../../src/peer/types.ts";
import type { MemberId, SnapshotMeta } from "../../../src/raft/types.ts";
import { MemoryLogStore } from "../../../src/storage/memory-log.ts";
import { reconcile } from "../../../src/storage/reconcile.ts";
import type { WatchHub } from "../../../src/watch/hub.ts";
import { checkFarewell } from "../checkers/member-rules.ts";
import type { Disk } from "../disk/disk.ts";
import { FsyncQueue } from "../disk/fsync-queue.ts";
import { SimulatedCrash, Violation } from "../engine/violation.ts";
import type { NetworkProcess } from "../network/transport.ts";
import { SimTransport } from "../network/transport.ts";
import type { Host } from "./host.ts";
import { MemberParts } from "./parts.ts";
import { SimStateStore } from "./state-store.ts";

/** One life of a member: the product's own node on simulated clock, disk and network. */
export class MemberProcess implements NetworkProcess {
  readonly host: Host;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly transport: SimTransport;
  readonly log: MemoryLogStore;
  readonly memberId: MemberId;
  readonly #store: SimStateStore;
  readonly #state: StateMachine;
  /** From the moment on when its files fit each other. */
  #node: Node | undefined;
  /** Duties beside replication, and what faces would use of them. */
  #parts: MemberParts | undefined;
  #removed = false;
  alive = true;
  stoppedSinceUs: number | undefined;
  /** It stops by itself: its node does nothing any more, or soon. */
  leaving = false;
  /** How far it had applied before it went back to its last commit. */
  appliedOnce = 0;
  /** When its own log told it that it is removed. */
  #removedSinceMs: number | undefined;
  /** What waits while the process is stopped. */
  #backlog: (() => void)[] = [];
  /** Called when the process ends, in whatever way. */
  readonly onEnd: (() => void)[] = [];

  /** Starts from what the disk of its machine holds. */
  constructor(host: Host) {
    const { world } = host;
    this.host = host;
    this.disk = host.disk;
    this.clock = host.clock.forProcess(this);
    const { identity } = host.disk;
    if (identity === undefined) throw new Error("a member without identity cannot start");
    this.memberId = identity.memberId;
    const faults = {
      committed: () => this.#committed(),
      full: () => this.disk.trouble.full,
    };
    this.#store = new SimStateStore(this, faults, (state) => world.checks.observeState(this, state));
    this.#state = this.#store.open();
    this.log = this.#openLog();
    world.checks.observeLog(this);
    this.transport = new SimTransport(world.network, {
      process: this,
      host: host.number,
      memberId: identity.memberId,
      address: host.address,
      versions: host.versions,
      random: host.random,
    });
  }

  #openLog(): MemoryLogStore {
    const queue = new FsyncQueue({
      after: (delayMs, action) => {
        this.host.world.scheduler.afterMs(delayMs, () => this.run(action));
      },
      nowMs: () => this.clock.nowMs(),
      fsyncMs: () => this.disk.fsyncMs(),
      full: () => this.disk.trouble.logFull,
      failing: () => this.disk.trouble.failing,
    });
    const { log } = this.disk;
    if (log === undefined) throw new Error("a member without a log cannot start");
    return new MemoryLogStore({
      schedule: (action) => queue.add(action),
      health: () => queue.health(),
      disk: log,
    });
  }

  #createNode(): Node {
    const { host } = this;
    const { world } = host;
    const identity = this.disk.identity;
    if (identity === undefined) throw new Error("a member without identity cannot start");
    const parts = new MemberParts(this, world.partOptions);
    this.#parts = parts;
    return new Node({
      identity,
      parts: parts.factories,
      options: world.nodeOptions,
      build: { version: "simulated", commit: "" },
      clock: this.clock,
      random: host.random,
      log: this.log,
      state: this.#state,
      store: this.#store,
      transport: this.transport,
      newId: () => world.newId(),
      onFatal: (error) => this.#fatal(error),
      onRemoved: () => this.removed(),
    });
  }

  /** The node at work; only to be asked of a process that is ready. */
  get node(): Node {
    return present(this.#node, "the node of a process that is ready");
  }

  get watches(): WatchHub {
    return this.#present.watches;
  }

  get leases(): Leases {
    return this.#present.leases;
  }

  get locks(): Locks {
    return this.#present.locks;
  }

  get #present(): MemberParts {
    return present(this.#parts, "the parts of a process that is ready");
  }

  /** Called from inside the product when it cannot go on. */
  fatal(error: unknown): void {
    this.#fatal(error);
  }

  get store(): SimStateStore {
    return this.#store;
  }

  /** Whether it takes part. */
  get ready(): boolean {
    return this.alive && this.#node !== undefined;
  }

  get events(): TransportEvents {
    return this.node;
  }

  get appliedIndex(): number {
    return this.node.state.appliedIndex;
  }

  /** What a member does at its start: files first, then peers. */
  start(): void {
    const { world } = this.host;
    if (this.#state.appliedIndex > this.log.lastIndex()) world.coverage.add("start: state ahead of the log");
    if (this.#state.appliedIndex < this.log.hardState.commit) {
      world.coverage.add("start: state behind the commit index");
    }
    this.run(() => {
      void reconcile(this.log, this.#state).then(
        () => {
          this.run(() => {
            this.#node = this.#createNode();
            world.network.listen(this.transport);
            this.#node.start();
          });
        },
        (error: unknown) => this.#fatal(error),
      );
    });
  }

  run(action: () => void): void {
    if (!this.alive) return;
    if (this.stoppedSinceUs !== undefined) {
      this.#backlog.push(action);
      return;
    }
    try {
      action();
    } catch (error) {
      if (error instanceof SimulatedCrash || !this.alive) return;
      if (error instanceof Violation) throw error;
      throw new Violation("uncaught", `member ${this.host.name} threw: ${describe(error)}`);
    }
    if (this.ready) this.host.world.checks.afterStep(this);
  }

  /** Resolves after some time in the life of this process; never when it ends before. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.host.world.scheduler.afterMs(delayMs, () => this.run(resolve));
    });
  }

  snapshotImage(path: string): Uint8Array | undefined {
    return this.#store.copy(path);
  }

  snapshotReceived(from: MemberId, term: number, snapshot: SnapshotMeta): boolean {
    const { commit } = this.node.raftStatus();
    if (snapshot.index <= commit) this.host.world.coverage.add("snapshot: arrived behind the commit index");
    return this.node.snapshotReceived(from, term, snapshot);
  }

  refusedAsRemoved(by: MemberId): void {
    this.#removedSinceMs ??= this.host.clock.nowMs();
    this.node.refusedAsRemoved(by);
  }

  /** A state that it opened, or went on to, may tell it that it is removed. */
  noticeRemoval(state: StateMachine): void {
    if (!state.membership().removed.includes(this.memberId)) return;
    this.#removedSinceMs ??= this.host.clock.nowMs();
  }

  /** SIGSTOP. */
  stop(): void {
    if (!this.alive || this.stoppedSinceUs !== undefined) return;
    this.stoppedSinceUs = this.host.world.scheduler.nowUs;
    this.host.world.network.stopped(this.transport);
  }

  /** SIGCONT. */
  resume(): void {
    if (!this.alive || this.stoppedSinceUs === undefined) return;
    this.stoppedSinceUs = undefined;
    this.host.world.checks.timers.restarted(this);
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const action of backlog) this.run(action);
  }

  /** This member learned that it was removed: its process ends for good. */
  removed(): void {
    if (!this.alive || this.#removed) return;
    this.#removed = true;
    this.leaving = true;
    checkFarewell(this, this.#removedSinceMs ?? Number.NEGATIVE_INFINITY);
    this.host.world.coverage.add("membership: member learned of its removal");
    this.host.world.scheduler.after(1, () => {
      this.run(() => {
        void this.node.stop(1000).then(() => this.run(() => this.host.retire(this)));
      });
    });
  }

  #committed(): void {
    const { trouble } = this.disk;
    if (trouble.crashAfterCommits === 0) return;
    trouble.crashAfterCommits--;
    if (trouble.crashAfterCommits > 0) return;
    this.host.world.coverage.add("crash: between a commit of state.db and what follows");
    this.host.kill();
    throw new SimulatedCrash("killed after a commit");
  }

  /** Called from inside the product, so that a violation is noted, not thrown. */
  #fatal(error: unknown): void {
    const { host } = this;
    if (!this.alive || error instanceof SimulatedCrash) return;
    const expected = messageOf(error).startsWith("EIO") || isDamage(error, host.damaged);
    if (!expected) {
      const checker = error instanceof InvariantViolation ? "invariant" : "fatal";
      new Violation(checker, `member ${host.name} stopped: ${describe(error)}`).note();
      return;
    }
    host.world.coverage.add("disk: member stopped by a failed write");
    host.world.trace.note("fatal", host.number, 0, 0, () => messageOf(error));
    host.failed();
  }
}

function isDamage(error: unknown, damaged: boolean): boolean {
  return damaged && error instanceof CoracleError && error.code === "storage_damaged";
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
