import type { MemberRecord } from "../../../src/base/members.ts";
import type { StateMachine } from "../../../src/kv/state-machine.ts";
import type { Command } from "../../../src/kv/types.ts";
import type { PeerMessage } from "../../../src/peer/types.ts";
import type { RaftStatus } from "../../../src/raft/types.ts";
import type { Coverage } from "../engine/coverage.ts";
import type { Trace } from "../engine/trace.ts";
import { SimulatedCrash, Violation } from "../engine/violation.ts";
import type { MemberProcess } from "../members/process.ts";
import { CommittedLog } from "./committed-log.ts";
import { LeasePromises } from "./lease-promises.ts";
import { LockPromises } from "./lock-promises.ts";
import { NumberRule, TimerRule } from "./member-rules.ts";
import { RaftPromises } from "./raft-promises.ts";
import { checkCampaignRule, checkCommitRule } from "./raft-rules.ts";

/** What must hold after every step of every member. A new checker of this kind is called from here. */
export class Checks {
  readonly committed: CommittedLog;
  readonly leases: LeasePromises;
  readonly locks: LockPromises;
  readonly #promises: RaftPromises;
  readonly #numbers = new NumberRule();
  readonly timers = new TimerRule();
  readonly #coverage: Coverage;
  readonly #trace: Trace;
  readonly #seen = new WeakMap<MemberProcess, RaftStatus>();

  constructor(options: {
    readonly coverage: Coverage;
    readonly trace: Trace;
    readonly marksOf: (command: Command) => readonly string[];
    readonly members: readonly MemberRecord[];
    readonly nowUs: () => number;
    readonly fastestRate: () => number;
  }) {
    this.#coverage = options.coverage;
    this.#trace = options.trace;
    const leases = new LeasePromises(options.nowUs, options.fastestRate);
    const { coverage, marksOf, members } = options;
    this.committed = new CommittedLog({
      firstIndex: 2,
      coverage,
      marksOf,
      members,
      committed: (command, result) => leases.committed(command, result),
    });
    this.leases = leases;
    this.locks = new LockPromises(this.committed.model);
    this.#promises = new RaftPromises(this.committed, options.coverage);
  }

  observeLog(process: MemberProcess): void {
    this.#promises.observeLog(process);
  }

  /** Watches a state machine from the moment that it was opened. */
  observeState(process: MemberProcess, state: StateMachine): void {
    const who = process.host.name;
    this.committed.stands(who, state);
    this.#observeCompaction(who, state);
    process.noticeRemoval(state);
    const apply = state.apply.bind(state);
    state.apply = (entries, options) => {
      const last = entries[entries.length - 1];
      if (last === undefined) return apply(entries, options);
      const { term } = process.node.raftStatus();
      this.#trace.note("apply", process.host.number, last.index, last.term);
      try {
        const outcomes = apply(entries, options);
        this.committed.applied(who, term, entries, outcomes);
        this.committed.stands(who, state);
        if (entries.some(({ content }) => content.type === "membership")) process.noticeRemoval(state);
        return outcomes;
      } catch (error) {
        // Nobody learned the results, but what was handed over to be applied is committed.
        if (error instanceof SimulatedCrash) this.committed.applied(who, term, entries, []);
        throw error;
      }
    };
  }

  /** Rows that go change nothing that can be read, and not the hash by which members are compared. */
  #observeCompaction(who: string, state: StateMachine): void {
    const slice = state.compactSlice.bind(state);
    state.compactSlice = (...args) => {
      const [before, revision] = [state.hash(), state.revision];
      const done = slice(...args);
      if (done.removed > 0) this.#coverage.add("compaction: rows removed", done.removed);
      if (state.hash() === before && state.revision === revision) return done;
      throw new Violation(
        "compaction",
        `a slice of ${who} changed revision ${revision} to ${state.revision}, or the hash`,
      );
    };
  }

  sent(process: MemberProcess, message: PeerMessage): void {
    this.#promises.sent(process, message);
    this.#numbers.sent(process, message);
    if (message.type === "vote-response") this.timers.restarted(process);
  }

  /** After each event that a member worked off. */
  afterStep(process: MemberProcess): void {
    const now = process.node.raftStatus();
    const before = this.#seen.get(process);
    this.#seen.set(process, now);
    if (before === undefined) return;
    checkOrder(process, before, now);
    checkCommitRule(process, before, now);
    this.#promises.checkCommit(process, before, now);
    this.#promises.checkApplied(process, before, now);
    checkCampaignRule(process, before, now);
    if (!process.leaving) this.timers.afterStep(process, before, now);
    this.#cover(process, before, now);
  }

  /** Counts the rare states of Raft. */
  #cover({ host }: MemberProcess, before: RaftStatus, now: RaftStatus): void {
    const { role, term, conf, id } = now;
    if (term > before.term) {
      this.#trace.note("term", host.number, term, 0, () => `${host.name} ${role} in term ${term}`);
    }
    if (role === "leader") {
      if (conf.voters.length === 1 && conf.voters[0] === id) this.#coverage.add("raft: lone leader at work");
      if (before.role !== "leader" && host.world.hosts.some((other) => other !== host && other.isLeader)) {
        this.#coverage.add("raft: elected while another still leads an older term");
      }
    }
    // Its time was over: it asks again whether it may campaign.
    if (before.role === "candidate" && role === "pre-candidate") {
      this.#coverage.add("raft: election without a winner");
    }
    if (before.role !== "leader" || role === "leader") return;
    if (term === before.term) this.#coverage.add("raft: leader stepped down without a quorum");
    else if (before.lastIndex > before.commit) {
      this.#coverage.add("raft: leader deposed with entries under way");
    } else this.#coverage.add("raft: leader deposed");
  }
}

function checkOrder({ host }: MemberProcess, before: RaftStatus, now: RaftStatus): void {
  const { commit, applied, term, lastIndex } = now;
  if (commit < before.commit || applied < before.applied || term < before.term) {
    throw new Violation(
      "monotonic",
      `${host.name} went back from commit ${before.commit}, applied ${before.applied}, term ${before.term} to ${commit}, ${applied}, ${term}`,
    );
  }
  if (applied > commit || commit > lastIndex) {
    throw new Violation(
      "order of indexes",
      `${host.name} has applied ${applied}, commit ${commit}, last ${lastIndex}`,
    );
  }
}
