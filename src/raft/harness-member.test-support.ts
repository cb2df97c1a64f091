import { assert, present } from "../base/assert.ts";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import type { Random } from "../base/prng.ts";
import type { Harness, HarnessChange, SnapshotTransfer } from "./harness.test-support.ts";
import { MemoryLog } from "./memory-log.test-support.ts";
import { Raft } from "./raft.ts";
import {
  type ConfState,
  type Entry,
  entryKind,
  type HardState,
  type MemberId,
  type Message,
  type RaftEvent,
  type RaftWrite,
  type Ready,
  type StepResult,
} from "./types.ts";

/** The state machine: all it applied, in order. What a snapshot carries. */
export interface MemberState {
  readonly applied: number;
  readonly appliedTerm: number;
  readonly conf: ConfState;
  /** Data of the normal entries applied, as text. */
  readonly texts: readonly string[];
}

interface PendingWrite {
  readonly write: RaftWrite;
  readonly after: Message[];
}

/** One member of a `Harness`: core, disk and state machine. */
export class HarnessMember {
  readonly id: MemberId;
  readonly #harness: Harness;
  readonly #random: Random;
  raft: Raft;
  up = true;
  /** With this off, `step` leaves what is ready until `pump`. */
  autoPump = true;
  /** What the core reads: writes are seen at once. */
  log: MemoryLog;
  /** What a crash leaves. */
  disk: MemoryLog;
  diskState: HardState;
  pending: PendingWrite[] = [];
  state: MemberState;
  /** The states a crash may fall back to, oldest first: the state machine is not synced. */
  #states: MemberState[];
  /** Data of snapshots that arrived, until the core has them installed. */
  #received = new Map<number, MemberState>();
  /** Reads answered here: context and index. */
  readonly reads: { readonly context: number; readonly index: number }[] = [];
  readonly refused: number[] = [];
  /** Reads asked here that have no answer; a crash forgets them. */
  readonly open = new Set<number>();

  constructor(
    harness: Harness,
    id: MemberId,
    random: Random,
    cut: { index: number; term: number },
    conf: ConfState,
  ) {
    this.#harness = harness;
    this.id = id;
    this.#random = random;
    this.disk = new MemoryLog(cut);
    this.log = new MemoryLog(cut);
    this.diskState = { term: cut.term, votedFor: 0, commit: cut.index };
    this.state = { applied: cut.index, appliedTerm: cut.term, conf, texts: [] };
    this.#states = [this.state];
    this.raft = this.#start();
  }

  #start(): Raft {
    const { electionTicks, disconnectedElectionTicks, holdNews, limits } = this.#harness.options;
    return new Raft({
      id: this.id,
      hardState: this.diskState,
      applied: this.state.applied,
      conf: this.state.conf,
      log: this.log,
      random: this.#random,
      electionTicks: electionTicks ?? 10,
      ...(disconnectedElectionTicks !== undefined && { disconnectedElectionTicks }),
      ...(holdNews !== undefined && { holdNews }),
      ...(limits && { limits }),
    });
  }

  step(event: RaftEvent): StepResult {
    assert(this.up, `member ${this.id} is down`);
    const result = this.raft.step(event);
    this.#harness.checks.afterStep(this);
    if (this.autoPump) this.pump();
    return result;
  }

  /** Does what the core asks for. */
  pump(): void {
    while (this.up && this.raft.hasReady()) this.#handle(this.raft.ready());
  }

  #handle(ready: Ready): void {
    const { checks } = this.#harness;
    if (ready.write) {
      this.log.write(ready.write);
      this.pending.push({ write: ready.write, after: [] });
      if (ready.write.snapshot) this.#install(ready.write.snapshot.index);
    }
    for (const message of ready.messages) {
      checks.sent(message);
      this.#harness.post(message);
    }
    for (const entry of ready.committed) this.#apply(entry);
    if (ready.committed.length > 0) this.raft.step({ type: "applied", index: this.state.applied });
    for (const read of ready.reads) {
      checks.readAnswered(read.context, read.index);
      this.open.delete(read.context);
      this.reads.push(read);
    }
    for (const context of ready.readsRefused) {
      checks.readEnded(context);
      this.open.delete(context);
      this.refused.push(context);
    }
    for (const to of ready.snapshotsWanted) this.#sendSnapshot(to);
    this.#sendAfterStored(ready.messagesAfterStored);
    if (this.#harness.options.storeAtOnce) this.store();
  }

  #sendAfterStored(messages: readonly Message[]): void {
    const last = this.pending.at(-1);
    if (last) last.after.push(...messages);
    else for (const message of messages) this.#harness.post(message);
  }

  #sendSnapshot(to: MemberId): void {
    const { term } = this.raft;
    this.#harness.post({ type: "snapshot-transfer", from: this.id, to, term, state: this.state });
  }

  receiveSnapshot({ from, to, term, state }: SnapshotTransfer): void {
    const snapshot = { index: state.applied, term: state.appliedTerm, conf: state.conf };
    this.#received.set(state.applied, state);
    this.step({ type: "message", message: { type: "snapshot", from, to, term, snapshot } });
  }

  #install(index: number): void {
    this.state = present(this.#received.get(index), `snapshot ${index}`);
    this.raft.step({ type: "conf-applied", index, conf: this.state.conf });
    this.raft.step({ type: "applied", index });
    this.#harness.checks.afterStep(this);
  }

  #apply(entry: Entry): void {
    this.#harness.checks.applied(this, entry);
    let { conf, texts } = this.state;
    if (entry.kind === entryKind.confChange) {
      conf = changed(conf, JSON.parse(fromUtf8(entry.data)) as HarnessChange);
      this.raft.step({ type: "conf-applied", index: entry.index, conf });
      this.#harness.checks.afterStep(this);
    } else if (entry.kind === entryKind.normal) {
      texts = [...texts, fromUtf8(entry.data)];
    }
    this.state = { applied: entry.index, appliedTerm: entry.term, conf, texts };
    this.#states.push(this.state);
  }

  /** Gives the member a log of entries with these terms, from index 2 on, as if it had lived through them. */
  preset(terms: readonly number[]): void {
    const entries = terms.map((term, at) => ({
      index: at + 2,
      term,
      kind: entryKind.normal,
      data: utf8(`${at + 2}/${term}`),
    }));
    this.disk.write({ id: 0, entries, mustSync: true });
    this.diskState = { ...this.diskState, term: Math.max(1, ...terms) };
    this.crash();
    this.restart();
  }

  /** Makes the first `count` pending writes durable, all by default; false when there were none. */
  store(count = this.pending.length): boolean {
    const done = this.pending.splice(0, count);
    const last = done.at(-1);
    if (!last) return false;
    for (const { write } of done) {
      this.disk.write(write);
      if (write.hardState) this.diskState = write.hardState;
      if (write.snapshot) this.#states = [present(this.#received.get(write.snapshot.index), "its data")];
      this.#harness.checks.stored(write.entries);
    }
    for (const { after } of done) for (const message of after) this.#harness.post(message);
    this.step({ type: "stored", writeId: last.write.id });
    return true;
  }

  /** Kills the member: what is not stored is lost, and perhaps the newest of the state machine. */
  crash(rollback = 0): void {
    this.up = false;
    this.pending = [];
    this.open.clear();
    this.#received.clear();
    const installed = this.#states.filter(({ applied }) => applied <= this.disk.lastIndex());
    this.#states = installed.slice(0, Math.max(1, installed.length - rollback));
    this.state = present(this.#states.at(-1), "a state");
    this.#harness.checks.crashed(this);
  }

  restart(): void {
    assert(!this.up, `member ${this.id} is up`);
    this.log = this.disk.clone();
    this.up = true;
    this.raft = this.#start();
  }

  /** Cuts the log up to what the state machine holds, which is synced first. */
  cut(index = this.state.applied): void {
    const to = Math.min(index, this.state.applied, this.disk.lastIndex());
    if (this.pending.some(({ write }) => write.snapshot)) return;
    this.log.cut(to);
    this.disk.cut(to);
    this.#states = this.#states.filter(({ applied }) => applied >= to);
  }
}

function changed({ voters, learners }: ConfState, { op, id }: HarnessChange): ConfState {
  const without = (members: readonly MemberId[]) => members.filter((member) => member !== id);
  const sorted = (members: readonly MemberId[]) => [...members].sort((a, b) => a - b);
  if (op === "add-learner") {
    if (voters.includes(id)) return { voters, learners };
    return { voters, learners: sorted([...without(learners), id]) };
  }
  if (op === "remove") {
    // A change that would leave nobody is refused by the state machine, on every member alike.
    if (voters.length === 1 && voters[0] === id) return { voters, learners };
    return { voters: without(voters), learners: without(learners) };
  }
  if (op === "promote" && !learners.includes(id)) return { voters, learners };
  return { voters: sorted([...without(voters), id]), learners: without(learners) };
}
