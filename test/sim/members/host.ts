import { CoracleError } from "../../../src/base/errors.ts";
import type { Random } from "../../../src/base/prng.ts";
import type { Membership } from "../../../src/kv/types.ts";
import type { JoinAnswer } from "../../../src/node/membership.ts";
import type { MemberId } from "../../../src/raft/types.ts";
import { MemoryLogDisk } from "../../../src/storage/memory-disk.ts";
import type { VersionRange } from "../../../src/wire/protocol.ts";
import type { Disk } from "../disk/disk.ts";
import { SqliteFile } from "../disk/sim-sqlite.ts";
import type { MachineClock } from "../engine/sim-clock.ts";
import { SimulatedCrash } from "../engine/violation.ts";
import type { HostNumber } from "../network/conditions.ts";
import { joinCluster } from "./join.ts";
import { MemberProcess } from "./process.ts";
import type { World } from "./world.ts";

/** What everybody holds as applied when a cluster begins: the bootstrap. */
const bootstrapIndex = 1;
const bootstrapTerm = 1;

/** A machine: its disk and clock, and now and then a process that is a member. */
export class Host {
  readonly world: World;
  readonly number: HostNumber;
  readonly name: string;
  readonly address: string;
  readonly disk: Disk;
  readonly clock: MachineClock;
  readonly random: Random;
  versions: VersionRange;
  process: MemberProcess | undefined;
  /** How many processes were started on it. */
  lives = 0;
  /** Out of service for good, or until it joins anew. */
  retired = false;
  /** Bits on its disk were flipped. */
  damaged = false;
  /** Faults that keep it down. */
  #heldDown = 0;

  constructor(options: {
    readonly world: World;
    readonly number: HostNumber;
    readonly disk: Disk;
    readonly clock: MachineClock;
    readonly random: Random;
    readonly versions: VersionRange;
  }) {
    this.world = options.world;
    this.number = options.number;
    this.name = `n${options.number}`;
    this.address = `host${options.number}:2380`;
    this.disk = options.disk;
    this.disk.onTorn = () => options.world.coverage.add("crash: a write of the log torn");
    this.clock = options.clock;
    this.random = options.random;
    this.versions = options.versions;
  }

  /** Its first start as one of those that make a new cluster. */
  bootstrap(membership: Membership, memberId: MemberId): void {
    this.#createDisk(memberId, membership, bootstrapIndex, bootstrapTerm);
  }

  /** It was admitted, and waits for its first snapshot. */
  joined(answer: JoinAnswer): void {
    const { clusterId, memberId, members } = answer;
    // It knows whom to talk to; what it holds is nothing.
    this.#createDisk(memberId, { clusterId, members, removed: [] }, 0, 0);
  }

  #createDisk(memberId: MemberId, membership: Membership, index: number, term: number): void {
    const { disk } = this;
    disk.identity = { clusterId: membership.clusterId, memberId, name: this.name };
    disk.state = new SqliteFile(this.world.firstImage(membership, index, term));
    disk.log = new MemoryLogDisk({ index, term, hardState: { term, votedFor: 0, commit: index } });
  }

  get running(): boolean {
    return this.process?.alive === true;
  }

  /** Takes part, and is not stopped by a signal. */
  get active(): boolean {
    return this.process?.ready === true && this.process.stoppedSinceUs === undefined;
  }

  get isLeader(): boolean {
    return this.active && this.process?.node.raftStatus().role === "leader";
  }

  start(): void {
    if (this.running || this.retired || this.#heldDown > 0) return;
    if (this.disk.identity === undefined) {
      joinCluster(this);
      return;
    }
    this.disk.trouble.crashAfterCommits = 0;
    this.world.trace.note("start", this.number, this.disk.identity.memberId);
    const process = this.#open();
    if (process === undefined) return;
    this.process = process;
    this.lives++;
    process.start();
  }

  /** A member whose data is damaged refuses to start; its operator gives it an empty disk. */
  #open(): MemberProcess | undefined {
    try {
      return new MemberProcess(this);
    } catch (error) {
      if (!this.damaged || !(error instanceof CoracleError) || error.code !== "storage_damaged") throw error;
      this.world.coverage.add("disk: damage found at start");
      this.wipe();
      this.startLater(500);
      return undefined;
    }
  }

  /** kill -9. */
  kill(): void {
    const { process } = this;
    if (process?.alive !== true) return;
    this.#ended(process);
    this.disk.processKilled();
    process.transport.killed();
  }

  losePower(): void {
    const { process } = this;
    if (process?.alive === true) {
      this.#ended(process);
      process.transport.vanished();
    }
    const lost = this.disk.powerLost();
    if (lost > 0) this.world.coverage.add("power loss: commits of state.db lost", lost);
  }

  /** Killed in the middle of a call, which does not go on; its supervisor starts it again. */
  crash(): never {
    this.kill();
    this.startLater(300 + this.random.below(700));
    throw new SimulatedCrash("killed in the middle of a call");
  }

  /** The process stopped itself; its supervisor starts it again. */
  failed(): void {
    this.kill();
    this.disk.trouble.failing = false;
    this.startLater(300 + this.random.below(700));
  }

  startLater(delayMs: number): void {
    this.world.scheduler.afterMs(delayMs, () => this.start());
  }

  /** Kept down by a fault. */
  get heldDown(): boolean {
    return this.#heldDown > 0;
  }

  holdDown(): void {
    this.#heldDown++;
  }

  letUp(): void {
    this.#heldDown--;
    if (this.#heldDown === 0) this.start();
  }

  /** SIGTERM, and a start some time later. */
  restartGracefully(delayMs: number, whileDown: () => void = () => {}): void {
    const { process } = this;
    if (process === undefined || !this.active) return;
    process.run(() => {
      process.leaving = true;
      this.world.trace.note("sigterm", this.number);
      void process.node.stop(1000).then(async () => {
        await process.log.close();
        if (!process.alive) return;
        this.world.coverage.add("process: clean stop");
        this.kill();
        whileDown();
        this.startLater(delayMs);
      });
    });
  }

  retire(process: MemberProcess): void {
    if (this.process !== process) return;
    this.world.trace.note("retired", this.number);
    this.kill();
    this.retired = true;
  }

  /** The disk is lost; a new one is empty. */
  wipe(): void {
    this.kill();
    this.disk.wipe();
    this.damaged = false;
    this.retired = false;
  }

  #ended(process: MemberProcess): void {
    process.alive = false;
    this.world.trace.note("end", this.number);
    for (const action of process.onEnd.splice(0)) action();
  }
}
