import { assert, present } from "../base/assert.ts";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { seededRandom } from "../base/prng.ts";
import { HarnessChecks } from "./harness-checks.test-support.ts";
import { HarnessMember, type MemberState } from "./harness-member.test-support.ts";
import type { RaftLimits } from "./options.ts";
import type { ConfState, MemberId, Message, RaftEvent, StepResult } from "./types.ts";

/** A snapshot on its way, with the state it carries. */
export interface SnapshotTransfer {
  readonly type: "snapshot-transfer";
  readonly from: MemberId;
  readonly to: MemberId;
  readonly term: number;
  readonly state: MemberState;
}

export type Packet = Message | SnapshotTransfer;

export interface HarnessOptions {
  readonly seed?: number;
  readonly voters: readonly MemberId[];
  readonly learners?: readonly MemberId[];
  readonly electionTicks?: number;
  readonly disconnectedElectionTicks?: number;
  readonly holdNews?: boolean;
  readonly limits?: Partial<RaftLimits>;
  /** Writes become durable at once; by default they wait for `store`. */
  readonly storeAtOnce?: boolean;
}

/** A membership change as the harness's state machine understands it. */
export interface HarnessChange {
  readonly op: "add-learner" | "promote" | "remove" | "add-voter";
  readonly id: MemberId;
}

/**
 * A cluster of cores for tests: a network whose packets wait until somebody delivers them, disks
 * whose writes wait until somebody stores them, and checks of Raft's safety properties (thesis
 * figure 3.2) after every step. Nothing moves by itself.
 */
export class Harness {
  readonly options: HarnessOptions;
  readonly members = new Map<MemberId, HarnessMember>();
  readonly checks = new HarnessChecks(this);
  network: Packet[] = [];
  /** One-way links that lose everything, as "from>to". */
  readonly blocked = new Set<string>();
  #nextContext = 1;

  constructor(options: HarnessOptions) {
    this.options = options;
    const conf: ConfState = { voters: [...options.voters], learners: [...(options.learners ?? [])] };
    // As a bootstrapped member begins: with a log cut at index 1 of term 1.
    for (const id of [...conf.voters, ...conf.learners]) {
      this.#add(id, { index: 1, term: 1 }, conf);
    }
  }

  #add(id: MemberId, cut: { index: number; term: number }, conf: ConfState): HarnessMember {
    const random = seededRandom((this.options.seed ?? 1) * 1000 + id);
    const member = new HarnessMember(this, id, random, cut, conf);
    this.members.set(id, member);
    return member;
  }

  /** A member that holds nothing and knows nobody. */
  join(id: MemberId): HarnessMember {
    assert(!this.members.has(id), `member ${id} is there already`);
    return this.#add(id, { index: 0, term: 0 }, { voters: [], learners: [] });
  }

  member(id: MemberId): HarnessMember {
    return present(this.members.get(id), `member ${id}`);
  }

  get all(): HarnessMember[] {
    return [...this.members.values()];
  }

  get up(): HarnessMember[] {
    return this.all.filter((member) => member.up);
  }

  /** The leader of the highest term. */
  get leader(): HarnessMember | undefined {
    return this.up.filter((member) => member.raft.isLeader).sort((a, b) => b.raft.term - a.raft.term)[0];
  }

  step(id: MemberId, event: RaftEvent): StepResult {
    return this.member(id).step(event);
  }

  propose(id: MemberId, text: string): StepResult {
    return this.step(id, { type: "propose", data: utf8(text) });
  }

  change(id: MemberId, change: HarnessChange): StepResult {
    return this.step(id, { type: "propose-conf-change", data: utf8(JSON.stringify(change)) });
  }

  /** Starts a linearizable read; the checks judge its answer. */
  read(id: MemberId): number {
    const context = this.#nextContext++;
    this.checks.readAsked(context);
    this.member(id).open.add(context);
    this.step(id, { type: "read", context });
    return context;
  }

  post(packet: Packet): void {
    this.network.push(packet);
  }

  /** Takes the packet at this position off the network and hands it to its receiver. */
  deliverAt(position: number, copy = false): Packet {
    const packet = present(this.network[position], "the packet");
    if (!copy) this.network.splice(position, 1);
    const receiver = this.members.get(packet.to);
    const lost = !receiver?.up || this.blocked.has(`${packet.from}>${packet.to}`);
    if (packet.type === "snapshot-transfer") this.#transfer(packet, lost ? undefined : receiver);
    else if (!lost) receiver?.step({ type: "message", message: packet });
    return packet;
  }

  #transfer(packet: SnapshotTransfer, receiver: HarnessMember | undefined): void {
    receiver?.receiveSnapshot(packet);
    this.#snapshotEnded(packet, receiver ? packet.state.applied : undefined);
  }

  #snapshotEnded(packet: SnapshotTransfer, index: number | undefined): void {
    const sender = this.members.get(packet.from);
    if (sender?.up) sender.step({ type: "snapshot-sent", member: packet.to, index });
  }

  dropAt(position: number): Packet {
    const packet = present(this.network[position], "the packet");
    this.network.splice(position, 1);
    if (packet.type === "snapshot-transfer") this.#snapshotEnded(packet, undefined);
    return packet;
  }

  /** Drops what waits on the network, all of it or what the test picks. */
  dropWhere(pick: (packet: Packet) => boolean = () => true): number {
    let dropped = 0;
    for (let at = 0; at < this.network.length; ) {
      if (pick(this.network[at] as Packet)) {
        this.dropAt(at);
        dropped++;
      } else at++;
    }
    return dropped;
  }

  /** Delivers and stores until nothing moves; with `disks`, only these members' disks work. */
  settle(stepsMax = 10_000, disks?: readonly MemberId[]): void {
    for (let steps = 0; steps < stepsMax; steps++) {
      let moved = false;
      for (const member of this.up) {
        if ((disks?.includes(member.id) ?? true) && member.store()) moved = true;
      }
      if (this.network.length > 0) {
        this.deliverAt(0);
        moved = true;
      }
      if (!moved) return;
    }
    assert(false, `the cluster did not settle within ${stepsMax} steps`);
  }

  tick(times = 1): void {
    for (let n = 0; n < times; n++) for (const member of this.up) member.step({ type: "tick" });
  }

  /** Ticks and settles until the condition holds. */
  run(done: () => boolean, what: string, ticksMax = 200): void {
    this.settle();
    for (let ticks = 0; !done(); ticks++) {
      assert(ticks < ticksMax, `no progress within ${ticksMax} ticks: ${what}`);
      this.tick();
      this.settle();
    }
  }

  /** Makes this member campaign, and settles. */
  elect(id: MemberId): void {
    this.step(id, { type: "campaign" });
    this.settle();
    assert(this.member(id).raft.isLeader, `${id} did not become leader`);
  }

  /** Cuts off these members from all others, both ways. */
  isolate(...ids: MemberId[]): void {
    for (const inside of ids) {
      for (const outside of this.members.keys()) {
        if (ids.includes(outside)) continue;
        this.blocked.add(`${inside}>${outside}`);
        this.blocked.add(`${outside}>${inside}`);
      }
    }
  }

  heal(): void {
    this.blocked.clear();
  }
}

export function textOf(data: Uint8Array): string {
  return fromUtf8(data);
}
