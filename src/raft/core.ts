import { assert } from "../base/assert.ts";
import type { Random } from "../base/prng.ts";
import { RaftLog } from "./log.ts";
import { type RaftLimits, type RaftOptions, raftLimits } from "./options.ts";
import { InFlight, Progress } from "./progress.ts";
import {
  type ConfState,
  type Entry,
  type EntryKind,
  entryKind,
  type HardState,
  type MemberId,
  type Message,
  nobody,
  type Role,
} from "./types.ts";

/** A linearizable read that waits on the leader; `from` is the asking member. */
export interface WaitingRead {
  readonly from: MemberId;
  readonly context: number;
}

/** A ReadIndex round: all its reads may be served at `index` once a majority confirmed `round`. */
export interface ReadRound {
  readonly round: number;
  readonly index: number;
  readonly reads: readonly WaitingRead[];
}

/** The state of a leader; a member that does not lead has none of it. */
export class Leadership {
  /** Every other member, learners too. */
  readonly peers = new Map<MemberId, Progress>();
  /** Index of the no-op with which the term began: once committed, so is all before it. */
  readonly termStart: number;
  /** No second membership change before this index is applied (thesis §4.1). */
  pendingConfIndex: number;
  heartbeatElapsedTicks = 0;
  transferee: MemberId = nobody;
  transferElapsedTicks = 0;
  /** This leader is no longer a member: all that is left to do is to hand over. */
  removed = false;
  /** Something may have to be sent to the peers: entries, or a new commit index. */
  sendPending = false;
  /** A commit index waits for entries that take it along, or for the event `announce`. */
  newsHeld = false;
  /** What is held is sent now. */
  newsDue = false;
  /** Own entries that are not committed, for the bound on their bytes. */
  readonly uncommitted: { readonly index: number; readonly bytes: number }[] = [];
  uncommittedBytes = 0;
  readonly readsQueued: WaitingRead[] = [];
  readonly readRounds: ReadRound[] = [];
  lastReadRound = 0;

  constructor(termStart: number) {
    this.termStart = termStart;
    this.pendingConfIndex = termStart - 1;
  }
}

/**
 * All state of one Raft core, and the few operations that every rule needs. The rules themselves
 * stand in the files beside: `election.ts`, `append.ts`, `replication.ts`, `read-index.ts`,
 * `transfer.ts`, `conf.ts`, `roles.ts`. Nothing outside of `raft/` sees this.
 */
export class Core {
  readonly id: MemberId;
  readonly random: Random;
  readonly limits: RaftLimits;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly disconnectedElectionTicks: number;
  readonly holdNews: boolean;
  readonly log: RaftLog;

  role: Role = "follower";
  term: number;
  votedFor: MemberId;
  leader: MemberId = nobody;
  /** Always `applied <= handedOut <= commit <= lastIndex`, and `handedOut <= stable` but for a snapshot. */
  commit: number;
  /** Entries up to here were given out to be applied. */
  handedOut: number;
  applied: number;
  /**
   * A committed membership change of which nobody hears before this member's commit index is durable
   * that far. Otherwise a removed member could hear of it and end, while the one that stays forgets
   * it in a crash and waits for the other's vote for ever.
   */
  guardedIndex = 0;
  /**
   * The last membership change that was met before this member's commit index was durable that far.
   * Nothing from it on is handed out until then: what a member makes of a change it must not forget.
   */
  heldConfIndex = 0;
  conf: ConfState;
  /** The entry or snapshot that `conf` comes from. */
  confIndex: number;
  /** The newest snapshot taken over: `conf` may jump there. */
  restoredIndex = 0;

  /** Ticks seen, to date what was heard from peers. */
  nowTick = 0;
  /** Ticks since the leader was heard from, or since the election began. */
  elapsedTicks = 0;
  /** Randomized: an election begins when `elapsedTicks` reaches it (thesis §3.4). */
  timeoutTicks = 0;
  /** Ticks left in which pre-votes are repeated quickly, because a connection closed or was made. */
  hastyTicks = 0;
  /** Answers of the running election or pre-election. */
  readonly votes = new Map<MemberId, boolean>();
  /** Whether the running election was asked for by the leader (thesis §3.10). */
  transferElection = false;

  leadership: Leadership | undefined;

  /** A follower's own reads that the leader has not answered, and the tick when they were asked. */
  readonly readsAsked = new Map<number, number>();

  /** Hard state as last handed out to be written. */
  written: HardState;
  messages: Message[] = [];
  messagesAfterStored: Message[] = [];
  reads: { readonly context: number; readonly index: number }[] = [];
  readsRefused: number[] = [];
  snapshotsWanted: MemberId[] = [];

  constructor(options: RaftOptions) {
    const { hardState, applied, conf, log } = options;
    assert(options.id !== nobody, "a member's id is not 0");
    assert(options.electionTicks >= 2, "an election timeout is at least two ticks");
    this.id = options.id;
    this.random = options.random;
    this.limits = { ...raftLimits, ...options.limits };
    this.electionTicks = options.electionTicks;
    this.heartbeatTicks = options.heartbeatTicks ?? 1;
    this.holdNews = options.holdNews ?? false;
    this.disconnectedElectionTicks =
      options.disconnectedElectionTicks ?? Math.floor(options.electionTicks / 10) + 1;
    assert(this.heartbeatTicks < this.electionTicks, "heartbeats must be more frequent than elections");
    this.term = hardState.term;
    this.votedFor = hardState.votedFor;
    // The state machine may have got further than the commit index that was last written for sure.
    this.commit = Math.max(hardState.commit, applied);
    this.applied = applied;
    this.handedOut = applied;
    this.conf = conf;
    this.confIndex = applied;
    this.written = { term: this.term, votedFor: this.votedFor, commit: this.commit };
    this.log = new RaftLog(log, this.written);
    const { firstIndex, lastIndex } = this.log;
    assert(
      this.commit <= lastIndex,
      `commit index ${this.commit} is beyond the end of the log, ${lastIndex}`,
    );
    assert(applied >= firstIndex - 1, `the log begins at ${firstIndex}, but only ${applied} is applied`);
    assert(
      this.log.lastTerm <= this.term,
      `the log ends in term ${this.log.lastTerm}, later than ${this.term}`,
    );
  }

  isVoter(member: MemberId): boolean {
    return this.conf.voters.includes(member);
  }

  isMember(member: MemberId): boolean {
    return this.isVoter(member) || this.conf.learners.includes(member);
  }

  send(message: Message): void {
    this.messages.push(message);
  }

  /** Sends what promises durability: it leaves once all that was accepted until now is stored. */
  sendAfterStored(message: Message): void {
    this.messagesAfterStored.push(message);
  }

  commitTo(index: number): void {
    if (index <= this.commit) return;
    const last = this.log.lastIndex;
    if (index > last) {
      assert(false, `commit index ${index} is beyond the log's end ${last}: acknowledged entries are gone`);
    }
    const before = this.commit;
    this.commit = index;
    const leadership = this.leadership;
    if (!leadership) return;
    const change = leadership.pendingConfIndex;
    if (change > before && change <= index) this.guardedIndex = change;
    leadership.sendPending = true;
    const { uncommitted } = leadership;
    for (let first = uncommitted[0]; first && first.index <= index; first = uncommitted[0]) {
      leadership.uncommittedBytes -= first.bytes;
      uncommitted.shift();
    }
  }

  /** The commit index that others may hear of. It may be lower than what they heard before, which they pass over. */
  get announcedCommit(): number {
    const durable = this.log.durable.commit;
    return this.guardedIndex <= durable ? this.commit : durable;
  }

  /** Appends an entry of the leader's own term. */
  appendOwn(leadership: Leadership, kind: EntryKind, data: Uint8Array): Entry {
    const entry: Entry = { index: this.log.lastIndex + 1, term: this.term, kind, data };
    this.log.push(entry);
    leadership.uncommitted.push({ index: entry.index, bytes: data.length });
    leadership.uncommittedBytes += data.length;
    leadership.sendPending = true;
    return entry;
  }

  newProgress(member: MemberId, learner: boolean, next: number): Progress {
    const { appendsInFlightMax, appendsInFlightBytesMax } = this.limits;
    const inFlight = new InFlight(appendsInFlightMax, appendsInFlightBytesMax);
    return new Progress(member, learner, next, this.nowTick, inFlight);
  }

  /** Draws a new election timeout from [electionTicks, 2 * electionTicks) and starts it. */
  restartElectionTimer(): void {
    this.elapsedTicks = 0;
    this.timeoutTicks = this.electionTicks + this.random.below(this.electionTicks);
  }

  /** Whether entries in (applied, commit] change the membership. */
  hasUnappliedConfChange(): boolean {
    let from = this.applied + 1;
    // What a snapshot stands for is not in the log: it counts as a change until it is installed.
    if (from < this.log.firstIndex) return true;
    while (from <= this.commit) {
      const entries = this.log.entries(from, this.commit + 1, this.limits.applyBytesMax);
      if (entries.some((entry) => entry.kind === entryKind.confChange)) return true;
      from += entries.length;
    }
    return false;
  }
}
