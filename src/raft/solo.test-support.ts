import { assert } from "../base/assert.ts";
import { emptyBytes, utf8 } from "../base/bytes.ts";
import { seededRandom } from "../base/prng.ts";
import { MemoryLog } from "./memory-log.test-support.ts";
import type { RaftLimits } from "./options.ts";
import { Raft } from "./raft.ts";
import {
  type AppendRequest,
  type ConfState,
  type Entry,
  entryKind,
  type HardState,
  type MemberId,
  type Message,
  type RaftEvent,
  type Ready,
  type StepResult,
  type VoteRequest,
} from "./types.ts";

export interface SoloOptions {
  readonly id?: MemberId;
  readonly voters?: readonly MemberId[];
  readonly learners?: readonly MemberId[];
  /** Terms of the entries from index 2 on; entry 1 is of term 1, and cut. */
  readonly terms?: readonly number[];
  readonly term?: number;
  readonly votedFor?: MemberId;
  readonly commit?: number;
  readonly electionTicks?: number;
  readonly seed?: number;
  readonly limits?: Partial<RaftLimits>;
}

/** One core alone with the test, which plays all the others and the disk. */
export class Solo {
  readonly id: MemberId;
  readonly log = new MemoryLog({ index: 1, term: 1 });
  readonly raft: Raft;
  /** Messages that were free to leave, in order. */
  sent: Message[] = [];
  readonly readies: Ready[] = [];
  readonly applied: Entry[] = [];
  readonly reads: { readonly context: number; readonly index: number }[] = [];
  readonly readsRefused: number[] = [];
  readonly snapshotsWanted: MemberId[] = [];
  hardState: HardState;
  /** With this off, writes wait for `store`. */
  storeAtOnce = true;
  /** With this off, committed entries are taken but not reported applied. */
  applyAtOnce = true;
  #writes: { readonly id: number; readonly after: Message[] }[] = [];

  constructor(options: SoloOptions = {}) {
    this.id = options.id ?? 1;
    const terms = options.terms ?? [];
    this.log.write({ id: 0, entries: entriesOf(2, terms), mustSync: true });
    this.hardState = {
      term: options.term ?? Math.max(1, ...terms),
      votedFor: options.votedFor ?? 0,
      commit: options.commit ?? 1,
    };
    const conf: ConfState = { voters: options.voters ?? [1, 2, 3], learners: options.learners ?? [] };
    this.raft = new Raft({
      id: this.id,
      hardState: this.hardState,
      applied: 1,
      conf,
      log: this.log,
      random: seededRandom(options.seed ?? 1),
      electionTicks: options.electionTicks ?? 10,
      ...(options.limits && { limits: options.limits }),
    });
    this.pump();
  }

  step(event: RaftEvent): StepResult {
    const result = this.raft.step(event);
    this.pump();
    return result;
  }

  receive(message: Message): Message[] {
    this.sent = [];
    this.step({ type: "message", message });
    return this.sent;
  }

  tick(times = 1): void {
    for (let n = 0; n < times; n++) this.step({ type: "tick" });
  }

  propose(text: string): StepResult {
    return this.step({ type: "propose", data: utf8(text) });
  }

  pump(): void {
    while (this.raft.hasReady()) this.#handle(this.raft.ready());
  }

  #handle(ready: Ready): void {
    this.readies.push(ready);
    if (ready.write) {
      this.log.write(ready.write);
      if (ready.write.hardState) this.hardState = ready.write.hardState;
      this.#writes.push({ id: ready.write.id, after: [] });
    }
    this.sent.push(...ready.messages);
    const last = this.#writes.at(-1);
    if (last) last.after.push(...ready.messagesAfterStored);
    else this.sent.push(...ready.messagesAfterStored);
    this.applied.push(...ready.committed);
    this.reads.push(...ready.reads);
    this.readsRefused.push(...ready.readsRefused);
    this.snapshotsWanted.push(...ready.snapshotsWanted);
    const end = ready.committed.at(-1);
    if (end && this.applyAtOnce) this.raft.step({ type: "applied", index: end.index });
    if (this.storeAtOnce) this.store();
  }

  /** Makes the first `count` writes durable. */
  store(count = this.#writes.length): void {
    const done = this.#writes.splice(0, count);
    const last = done.at(-1);
    if (!last) return;
    for (const { after } of done) this.sent.push(...after);
    this.step({ type: "stored", writeId: last.id });
  }

  /** Campaigns with the votes of these members; forgets what was sent for it. */
  lead(...granting: MemberId[]): this {
    const voters = granting.length > 0 ? granting : [2, 3];
    this.step({ type: "campaign" });
    for (const from of voters) this.vote(from, true);
    for (const from of voters) this.vote(from, false);
    assert(this.raft.isLeader, `${this.id} does not lead but is ${this.raft.role}`);
    this.sent = [];
    return this;
  }

  /** A vote or pre-vote that this member gets. */
  vote(from: MemberId, pre: boolean, granted = true): void {
    if (pre !== (this.raft.role === "pre-candidate")) return;
    const term = pre && granted ? this.raft.term + 1 : this.raft.term;
    this.step({ type: "message", message: { type: "vote-response", from, to: this.id, term, pre, granted } });
  }

  /** An acknowledgement that this leader gets. */
  acknowledge(from: MemberId, index = this.raft.lastIndex): Message[] {
    const { id: to, raft } = this;
    const rest = { rejected: false, hintIndex: 0, hintTerm: 0 };
    return this.receive({ type: "append-response", from, to, term: raft.term, index, ...rest });
  }

  /** An append this member gets from `from`, with entries of these terms. */
  append(
    from: MemberId,
    term: number,
    prev: readonly [index: number, term: number],
    terms: readonly number[] = [],
    commit = 0,
  ): Message[] {
    const [prevIndex, prevTerm] = prev;
    const entries = entriesOf(prevIndex + 1, terms);
    const request: AppendRequest = {
      type: "append",
      from,
      to: this.id,
      term,
      prevIndex,
      prevTerm,
      commit,
      entries,
    };
    return this.receive(request);
  }

  /** A request for this member's vote. */
  ask(
    from: MemberId,
    term: number,
    last: readonly [index: number, term: number],
    kind: "vote" | "pre" | "transfer" = "vote",
  ): Message[] {
    const [lastIndex, lastTerm] = last;
    const request: VoteRequest = {
      type: "vote",
      from,
      to: this.id,
      term,
      pre: kind === "pre",
      lastIndex,
      lastTerm,
      transfer: kind === "transfer",
    };
    return this.receive(request);
  }

  heartbeat(from: MemberId, term: number, commit = 0): Message[] {
    return this.receive({ type: "heartbeat", from, to: this.id, term, commit, readRound: 0 });
  }

  /** The terms of the log from index 2 on. */
  get terms(): (number | undefined)[] {
    const terms = [];
    for (let index = 2; index <= this.log.lastIndex(); index++) terms.push(this.log.term(index));
    return terms;
  }

  /** What was sent, of one type. */
  sentOf<T extends Message["type"]>(type: T): Extract<Message, { type: T }>[] {
    return this.sent.filter((message): message is Extract<Message, { type: T }> => message.type === type);
  }
}

function entriesOf(from: number, terms: readonly number[]): Entry[] {
  return terms.map((term, at) => ({ index: from + at, term, kind: entryKind.normal, data: emptyBytes }));
}
