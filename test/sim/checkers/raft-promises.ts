import type { PeerMessage } from "../../../src/peer/types.ts";
import { entryKind, type MemberId, type RaftStatus, type RaftWrite } from "../../../src/raft/types.ts";
import type { LogStore } from "../../../src/storage/types.ts";
import type { Coverage } from "../engine/coverage.ts";
import { Violation } from "../engine/violation.ts";
import type { Host } from "../members/host.ts";
import type { MemberProcess } from "../members/process.ts";
import type { CommittedLog } from "./committed-log.ts";
import { checkAnnounced, checkAppliedChange, checkChangeRule } from "./raft-rules.ts";

/** What is durable of a member's log, as its disk reported it. */
interface Durable {
  term: number;
  votedFor: number;
  lastIndex: number;
  commit: number;
  /** Last indexes of the writes under way; a later cut lowers them. */
  readonly pending: { last: number | undefined }[];
}

/** Rules of Raft that can be seen from outside: on the wire and on the disks. */
export class RaftPromises {
  readonly #leaders = new Map<number, number>();
  /** The vote of a member in a term, whatever it forgot since. */
  readonly #votes = new Map<string, number>();
  readonly #durable = new Map<MemberProcess, Durable>();
  readonly #log: CommittedLog;
  readonly #coverage: Coverage;

  constructor(log: CommittedLog, coverage: Coverage) {
    this.#log = log;
    this.#coverage = coverage;
  }

  /** Watches what becomes durable in the life of a process. */
  observeLog(process: MemberProcess): void {
    const { log } = process;
    const { term, votedFor, commit } = log.hardState;
    const durable: Durable = { term, votedFor, commit, lastIndex: log.lastIndex(), pending: [] };
    this.#durable.set(process, durable);
    process.onEnd.push(() => this.#durable.delete(process));
    const write = log.write.bind(log);
    log.write = (request, stored) => {
      this.#cover(log, request);
      this.#cutBack(durable, request);
      checkChangeRule(process, request);
      const last = { last: request.entries[request.entries.length - 1]?.index };
      durable.pending.push(last);
      write(request, (error) => {
        durable.pending.splice(durable.pending.indexOf(last), 1);
        if (error === undefined) note(durable, request, last.last);
        stored(error);
      });
    };
  }

  /** What is cut away counts as durable no more from the moment that it is cut. */
  #cutBack(durable: Durable, { entries }: RaftWrite): void {
    const first = entries[0];
    if (first !== undefined) {
      for (const write of durable.pending) {
        if (write.last !== undefined && write.last >= first.index) write.last = first.index - 1;
      }
      durable.lastIndex = Math.min(durable.lastIndex, first.index - 1);
    }
  }

  #cover(log: LogStore, { entries, snapshot }: RaftWrite): void {
    const first = entries[0];
    if (first !== undefined && first.index <= log.lastIndex()) {
      this.#coverage.add("raft: conflicting entries cut");
      const cut = log.entries(first.index, log.lastIndex() + 1, Number.MAX_SAFE_INTEGER);
      if (cut.some(({ kind }) => kind === entryKind.confChange)) {
        this.#coverage.add("membership: a change cut from a log");
      }
    }
    if (snapshot === undefined) return;
    this.#coverage.add("snapshot: installed");
    if (snapshot.index < log.lastIndex())
      this.#coverage.add("snapshot: installed over a log that reaches further");
  }

  /** After a step of a member: what it applied it will not forget. */
  checkApplied(process: MemberProcess, before: RaftStatus, now: RaftStatus): void {
    checkAppliedChange(process, before, now, this.#durable.get(process)?.commit ?? 0);
  }

  /** What a leader commits is on the disks of a majority (thesis §3.5, §10.2.1): its own counts no earlier. */
  checkCommit(process: MemberProcess, before: RaftStatus, now: RaftStatus): void {
    if (before.role !== "leader" || now.role !== "leader" || now.commit === before.commit) return;
    const enough = [before.conf, now.conf].some(({ voters }) => {
      const stored = voters.filter((voter) => this.#reaches(process.host.world.hosts, voter, now.commit));
      return stored.length * 2 > voters.length;
    });
    if (enough) return;
    throw new Violation(
      "durability",
      `${process.host.name} committed up to ${now.commit} in term ${now.term}, which is not on the disks of a majority`,
    );
  }

  /** Whether a voter's disk holds the log up to an index; of a disk that was lost anything may be true. */
  #reaches(hosts: readonly Host[], voter: MemberId, index: number): boolean {
    const host = hosts.find(({ disk }) => disk.identity?.memberId === voter);
    const durable = host?.process === undefined ? undefined : this.#durable.get(host.process);
    if (durable !== undefined) return durable.lastIndex >= index;
    return host?.disk.log === undefined || host.disk.log.lastIndex >= index;
  }

  sent(process: MemberProcess, message: PeerMessage): void {
    switch (message.type) {
      case "append":
      case "heartbeat":
        this.#leads(process, message.from, message.term);
        checkAnnounced(process, message.commit, this.#durable.get(process)?.commit ?? 0);
        return;
      case "append-response":
        if (!message.rejected) this.#acknowledged(process, message.index);
        else this.#coverage.add("raft: append rejected");
        return;
      case "vote-response":
        this.#voted(process, message);
        return;
      case "vote":
        this.#coverage.add(message.pre ? "raft: pre-vote asked" : "raft: vote asked");
        if (message.transfer) this.#coverage.add("raft: vote asked after a transfer");
        return;
      case "forward":
        this.#coverage.add("node: commands forwarded to the leader");
        return;
      case "read-index":
        this.#coverage.add("node: read confirmed through the leader");
        return;
      default:
        return;
    }
  }

  #leads(process: MemberProcess, leader: number, term: number): void {
    const known = this.#leaders.get(term);
    if (known === leader) return;
    if (known !== undefined) {
      throw new Violation("election safety", `members ${known} and ${leader} both lead in term ${term}`);
    }
    this.#leaders.set(term, leader);
    this.#coverage.add("raft: leader elected");
    this.#leaderComplete(process, term);
  }

  /** Leader completeness (thesis figure 3.2), as far as it is known what was committed before. */
  #leaderComplete(process: MemberProcess, term: number): void {
    const { log } = process;
    for (const required of this.#log.requiredOf(term, log.firstIndex())) {
      const found = log.term(required.index);
      if (found === required.term) continue;
      throw new Violation(
        "leader completeness",
        `${process.host.name} leads in term ${term} without committed entry ${required.index} of term ${required.term} (it has ${found})`,
      );
    }
  }

  #acknowledged(process: MemberProcess, index: number): void {
    const durable = this.#durable.get(process);
    if (durable === undefined || index <= durable.lastIndex) return;
    throw new Violation(
      "durability",
      `${process.host.name} acknowledged entry ${index}, but only ${durable.lastIndex} is on its disk`,
    );
  }

  #voted(process: MemberProcess, message: Extract<PeerMessage, { type: "vote-response" }>): void {
    if (message.pre || !message.granted) {
      if (!message.granted) this.#coverage.add(message.pre ? "raft: pre-vote refused" : "raft: vote refused");
      return;
    }
    const durable = this.#durable.get(process);
    // A later term on the disk is as good: a past term's vote is never given again.
    const kept =
      durable === undefined ||
      durable.term > message.term ||
      (durable.term === message.term && durable.votedFor === message.to);
    if (!kept) {
      throw new Violation(
        "durability",
        `${process.host.name} gave its vote in term ${message.term} to ${message.to}, but its disk says ${durable.votedFor} in ${durable.term}`,
      );
    }
    const key = `${message.from}/${message.term}`;
    const known = this.#votes.get(key);
    if (known !== undefined && known !== message.to) {
      throw new Violation(
        "election safety",
        `${process.host.name} voted for ${known} and for ${message.to} in term ${message.term}`,
      );
    }
    this.#votes.set(key, message.to);
  }
}

function note(durable: Durable, write: RaftWrite, last: number | undefined): void {
  const { hardState, snapshot, mustSync } = write;
  // A commit index by itself is written without an fsync.
  if (hardState !== undefined && mustSync) {
    durable.term = hardState.term;
    durable.votedFor = hardState.votedFor;
    durable.commit = hardState.commit;
  }
  if (snapshot !== undefined) durable.lastIndex = Math.max(durable.lastIndex, snapshot.index);
  if (last !== undefined) durable.lastIndex = last;
}
