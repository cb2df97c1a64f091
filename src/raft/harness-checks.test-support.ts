import { assert } from "../base/assert.ts";
import { toHex } from "../base/bytes.ts";
import type { Harness } from "./harness.test-support.ts";
import type { HarnessMember } from "./harness-member.test-support.ts";
import { majority } from "./quorum.ts";
import type { Entry, MemberId, Message } from "./types.ts";

/** The safety properties of Raft (thesis figure 3.2), over all members and all time. */
export class HarnessChecks {
  readonly #harness: Harness;
  readonly #leaders = new Map<number, MemberId>();
  /** Every entry that ever left a member or reached a disk: one content for an index and term. */
  readonly #known = new Map<string, string>();
  /** What was committed at an index. */
  readonly #committed = new Map<number, string>();
  readonly #commits = new Map<MemberId, number>();
  /** Reads under way, with what was committed anywhere when they were asked. */
  readonly #asked = new Map<number, number>();
  committedMax = 0;
  #committedMaxTerm = 0;
  readsAnswered = 0;

  constructor(harness: Harness) {
    this.#harness = harness;
  }

  afterStep(member: HarnessMember): void {
    const { raft } = member;
    if (!raft.isLeader) {
      this.#commits.delete(member.id);
      return;
    }
    const known = this.#leaders.get(raft.term);
    assert(
      known === undefined || known === member.id,
      `election safety: ${known} and ${member.id} both lead term ${raft.term}`,
    );
    if (known === undefined) this.#elected(member);
    const before = this.#commits.get(member.id);
    if (before === undefined || raft.commit > before) this.#commitMoved(member, before ?? raft.commit);
    this.#commits.set(member.id, raft.commit);
  }

  #elected(member: HarnessMember): void {
    this.#leaders.set(member.raft.term, member.id);
    if (this.committedMax === 0) return;
    // Its own last entry is the no-op of its term, in memory yet; all committed ones are before it.
    const held =
      this.committedMax < member.log.firstIndex()
        ? this.#committedMaxTerm
        : member.log.term(this.committedMax);
    assert(
      held === this.#committedMaxTerm,
      `leader completeness: ${member.id} leads term ${member.raft.term} without entry ${this.committedMax} of term ${this.#committedMaxTerm}, it has ${held}`,
    );
  }

  /** What a leader commits must be on the disks of a majority. */
  #commitMoved(member: HarnessMember, before: number): void {
    const { raft } = member;
    if (raft.commit > before) {
      // In the core's memory perhaps, if its own disk is the slow one: then its followers' disks tell.
      const term = raft.term;
      const { conf } = raft.status();
      const holders = conf.voters.filter((voter) => {
        const disk = this.#harness.member(voter).disk;
        return disk.term(raft.commit) === term || disk.firstIndex() > raft.commit;
      });
      assert(
        holders.length >= majority(conf.voters.length),
        `${member.id} committed ${raft.commit} in term ${term}, durable only on ${holders}`,
      );
      if (raft.commit > this.committedMax) {
        this.committedMax = raft.commit;
        this.#committedMaxTerm = term;
      }
    }
  }

  /** State machine safety: nobody applies another entry at the same index. */
  applied(member: HarnessMember, entry: Entry): void {
    assert(
      entry.index === member.state.applied + 1,
      `${member.id} applies ${entry.index} after ${member.state.applied}`,
    );
    const content = `${entry.term} ${entry.kind} ${toHex(entry.data)}`;
    const known = this.#committed.get(entry.index);
    assert(
      known === undefined || known === content,
      `state machine safety: ${member.id} applies ${content} at ${entry.index}, another applied ${known}`,
    );
    this.#committed.set(entry.index, content);
    assert(
      entry.index <= this.committedMax || this.committedMax === 0,
      `${member.id} applies ${entry.index}, which no leader committed`,
    );
  }

  sent(message: Message): void {
    if (message.type !== "append") return;
    let before = message.prevTerm;
    for (const entry of message.entries) before = this.#match(entry, before);
  }

  stored(entries: readonly Entry[]): void {
    let before: number | undefined;
    for (const entry of entries) before = this.#match(entry, before);
  }

  /** Log matching, by induction: one content for an index and term, and one term before it. */
  #match(entry: Entry, termBefore: number | undefined): number {
    const key = `${entry.index}/${entry.term}`;
    const content = `${entry.kind} ${toHex(entry.data)}`;
    for (const [name, value] of [
      [key, content],
      [`${key} before`, termBefore === undefined ? undefined : `${termBefore}`],
    ] as const) {
      if (value === undefined) continue;
      const known = this.#known.get(name);
      assert(known === undefined || known === value, `log matching: ${name} is ${value} and ${known}`);
      this.#known.set(name, value);
    }
    return entry.term;
  }

  readAsked(context: number): void {
    this.#asked.set(context, this.committedMax);
  }

  /** Linearizable: a read sees at least what was committed when it was asked. */
  readAnswered(context: number, index: number): void {
    const least = this.#asked.get(context);
    assert(least !== undefined, `read ${context} was answered twice, or never asked`);
    this.#asked.delete(context);
    assert(index >= least, `read ${context} was answered at ${index}, but ${least} was committed before it`);
    this.readsAnswered++;
  }

  readEnded(context: number): void {
    assert(this.#asked.delete(context), `read ${context} was refused after its end`);
  }

  crashed(member: HarnessMember): void {
    this.#commits.delete(member.id);
  }

  get readsOpen(): number {
    return this.#asked.size;
  }
}
