import type { MemberRecord } from "../../../src/base/members.ts";
import type { AppliedEntry, ApplyOutcome, StateMachine } from "../../../src/kv/state-machine.ts";
import type { Command, CommandResult, Membership } from "../../../src/kv/types.ts";
import type { MemberId } from "../../../src/raft/types.ts";
import { encodeBatch } from "../../../src/wire/commands.ts";
import { encodeMembershipCommand } from "../../../src/wire/membership.ts";
import type { Coverage } from "../engine/coverage.ts";
import { Violation } from "../engine/violation.ts";
import { ModelStore } from "./model-store.ts";
import { isAbridged, resultText } from "./model-text.ts";

interface Committed {
  readonly term: number;
  readonly digest: number;
  /** A bound on the term in which it was committed. */
  readonly commitTerm: number;
  readonly revisionAfter: number;
}

/**
 * The one log that all members must agree on, as it comes to light: whoever applies an index first
 * fixes it. The entries are also applied to a model of the store.
 */
export class CommittedLog {
  readonly model = new ModelStore();
  readonly #entries = new Map<number, Committed>();
  readonly #hashes = new Map<number, string>();
  /** Marks of all commands that were committed, and of those that were not refused. */
  readonly logged = new Set<string>();
  readonly effective = new Set<string>();
  /** The members as the newest committed entry leaves them. */
  readonly members = new Map<MemberId, { readonly learner: boolean }>();
  /** The members before the last change of the voters: who has not heard of it counts by these. */
  membersBefore: ReadonlyMap<MemberId, { readonly learner: boolean }> = new Map();
  #membership: Membership | undefined;
  /** Told once of each membership change that comes to light as committed. */
  readonly onChange = new Set<() => void>();
  readonly #marksOf: (command: Command) => readonly string[];
  readonly #committed: (command: Command, result: CommandResult) => void;
  readonly #coverage: Coverage;
  readonly #firstIndex: number;
  lastIndex: number;

  constructor(options: {
    readonly firstIndex: number;
    readonly coverage: Coverage;
    readonly marksOf: (command: Command) => readonly string[];
    readonly members: readonly MemberRecord[];
    /** Told of each command as it comes to light, with the result that it must have. */
    readonly committed: (command: Command, result: CommandResult) => void;
  }) {
    for (const { id, learner } of options.members) this.members.set(id, { learner });
    this.#committed = options.committed;
    this.#firstIndex = options.firstIndex;
    this.lastIndex = options.firstIndex - 1;
    this.#coverage = options.coverage;
    this.#marksOf = options.marksOf;
  }

  term(index: number): number | undefined {
    return this.#entries.get(index)?.term;
  }

  /** Indexes that every leader of a later term than `term` must hold, newest last. */
  *requiredOf(term: number, fromIndex: number): Iterable<{ readonly index: number; readonly term: number }> {
    for (let index = Math.max(fromIndex, this.#firstIndex); index <= this.lastIndex; index++) {
      const entry = this.#entries.get(index);
      if (entry !== undefined && entry.commitTerm < term) yield { index, term: entry.term };
    }
  }

  /** A member applied entries in one transaction. */
  applied(
    who: string,
    raftTerm: number,
    entries: readonly AppliedEntry[],
    outcomes: readonly ApplyOutcome[],
  ): void {
    entries.forEach((entry, at) => {
      const digest = digestOf(entry);
      const known = this.#entries.get(entry.index);
      if (known === undefined) {
        this.#commit(who, entry, digest, raftTerm, outcomes[at]);
      } else if (known.term !== entry.term || known.digest !== digest) {
        throw new Violation(
          "state machine safety",
          `${who} applied another entry at ${entry.index} (term ${entry.term}) than was committed (term ${known.term})`,
        );
      }
    });
  }

  #commit(
    who: string,
    entry: AppliedEntry,
    digest: number,
    raftTerm: number,
    outcome: ApplyOutcome | undefined,
  ): void {
    const { index, term, content } = entry;
    if (index !== this.lastIndex + 1) {
      throw new Violation(
        "committed log",
        `${who} applied ${index}, but the last index known is ${this.lastIndex}`,
      );
    }
    this.lastIndex = index;
    if (term < raftTerm) this.#coverage.add("raft: entry of an earlier term committed");
    if (content.type === "batch") {
      content.batch.commands.forEach((command, at) => {
        if (this.model.knows(command)) this.#coverage.add("client: answered from the remembered answers");
        const expected = this.model.apply(command, term);
        this.#committed(command, expected);
        if (expected.type === "compact") this.#coverage.add("compaction: committed");
        for (const mark of this.#marksOf(command)) {
          this.logged.add(mark);
          if (expected.type !== "refused") this.effective.add(mark);
        }
        if (outcome === undefined) return;
        const result = outcome.type === "batch" ? outcome.results[at] : undefined;
        const bare = result !== undefined && isAbridged(result);
        const found = result === undefined ? "nothing" : resultText(result, bare);
        if (found !== resultText(expected, bare)) {
          throw new Violation(
            "model of the store",
            `${who} answered ${found} to command ${at} of entry ${index}; expected ${resultText(expected)}`,
          );
        }
      });
    } else if (content.type === "membership") {
      this.#coverage.add(`membership: ${content.change.op} committed`);
      for (const tell of [...this.onChange]) tell();
    }
    this.#entries.set(index, { term, digest, commitTerm: raftTerm, revisionAfter: this.model.revision });
  }

  #membersOf(membership: Membership): void {
    if (membership === this.#membership) return;
    this.#membership = membership;
    const before = new Map(this.members);
    this.members.clear();
    for (const { id, learner } of membership.members) this.members.set(id, { learner });
    if (!sameVoters(before, this.members)) this.membersBefore = before;
  }

  /** A member's state stands at its applied index: it must be the same as everybody's. */
  stands(who: string, state: StateMachine): void {
    const index = state.appliedIndex;
    if (index < this.#firstIndex) return;
    const hash = state.hash();
    const known = this.#hashes.get(index);
    if (known === undefined) this.#hashes.set(index, hash);
    else if (known !== hash) {
      throw new Violation("state hash", `${who} holds state ${hash} at index ${index}, others ${known}`);
    }
    if (index === this.lastIndex) this.#membersOf(state.membership());
    const entry = this.#entries.get(index);
    if (entry === undefined) return;
    if (entry.revisionAfter !== state.revision || entry.term !== state.appliedTerm) {
      throw new Violation(
        "applied index",
        `${who} at index ${index} has revision ${state.revision} (expected ${entry.revisionAfter}) and term ${state.appliedTerm} (expected ${entry.term})`,
      );
    }
  }
}

type Learning = ReadonlyMap<MemberId, { readonly learner: boolean }>;

function sameVoters(a: Learning, b: Learning): boolean {
  return votersOf(a).sort().join() === votersOf(b).sort().join();
}

export function votersOf(members: Learning): MemberId[] {
  return [...members].filter(([, { learner }]) => !learner).map(([id]) => id);
}

function digestOf({ content }: AppliedEntry): number {
  switch (content.type) {
    case "batch":
      return Bun.hash.crc32(encodeBatch(content.batch));
    case "membership":
      return Bun.hash.crc32(encodeMembershipCommand({ change: content.change }));
    case "noop":
      return 0;
  }
}
