import { type Entry, entryKind, type RaftStatus, type RaftWrite } from "../../../src/raft/types.ts";
import { Violation } from "../engine/violation.ts";
import type { MemberProcess } from "../members/process.ts";

/**
 * Rules that a leader or candidate must keep for itself. Breaking one seldom shows at once, and
 * then as lost data much later: so they are looked at where they are broken.
 */

/** A leader commits by counting only entries of its own term (thesis §3.6.2). */
export function checkCommitRule(process: MemberProcess, before: RaftStatus, now: RaftStatus): void {
  const led = before.role === "leader" && now.role === "leader" && before.term === now.term;
  if (!led || now.commit === before.commit) return;
  const term = process.log.term(now.commit);
  if (term === undefined || term === now.term) return;
  throw new Violation(
    "commit of the current term",
    `${process.host.name} leads in term ${now.term} and committed up to entry ${now.commit} of term ${term}`,
  );
}

/** Nobody campaigns with a committed change of membership that it has not applied (thesis §4.1). */
export function checkCampaignRule(process: MemberProcess, before: RaftStatus, now: RaftStatus): void {
  if (before.role !== "follower" || (now.role !== "pre-candidate" && now.role !== "candidate")) return;
  if (!changes(process, now.applied + 1, now.commit).length) return;
  throw new Violation(
    "campaign",
    `${process.host.name} campaigns in term ${now.term} with a membership change in (${now.applied}, ${now.commit}] that it has not applied`,
  );
}

/** One change of membership at a time, and only after an entry of the term is committed (thesis §4.1). */
export function checkChangeRule(process: MemberProcess, { entries }: RaftWrite): void {
  const proposed = entries.find((entry) => entry.kind === entryKind.confChange);
  if (proposed === undefined || !process.ready) return;
  const { role, term, commit, applied } = process.node.raftStatus();
  if (role !== "leader" || proposed.term !== term) return;
  if (process.log.term(commit) !== term) {
    throw new Violation(
      "membership change",
      `${process.host.name} proposes one in term ${term} before an entry of that term is committed (commit ${commit})`,
    );
  }
  const earlier = changes(process, applied + 1, proposed.index - 1);
  const also = entries.filter((entry) => entry.kind === entryKind.confChange && entry !== proposed);
  if (earlier.length + also.length === 0) return;
  throw new Violation(
    "membership change",
    `${process.host.name} proposes one at ${proposed.index} while that at ${[...earlier, ...also][0]?.index} is under way`,
  );
}

/**
 * A leader tells others of a committed change only when its own disk knows that it is committed: the
 * one that was removed may end at once, and nobody else would remember.
 */
export function checkAnnounced(process: MemberProcess, told: number, durableCommit: number): void {
  checkRemembered(process, "tells others of", told, durableCommit);
}

/** A member applies a change only when its own disk knows that it is committed: the removed end by what it says. */
export function checkAppliedChange(
  process: MemberProcess,
  before: RaftStatus,
  now: RaftStatus,
  durableCommit: number,
): void {
  if (now.conf !== before.conf) checkRemembered(process, "applies", now.applied, durableCommit);
}

function checkRemembered(process: MemberProcess, does: string, upTo: number, durableCommit: number): void {
  const early = changes(process, durableCommit + 1, upTo)[0];
  if (early === undefined) return;
  throw new Violation(
    "membership change",
    `${process.host.name} ${does} entry ${early.index}, and its disk knows only that ${durableCommit} is committed`,
  );
}

/** Changes of membership among the entries from `first` to `last`, as far as the log holds them. */
export function changes(process: MemberProcess, first: number, last: number): Entry[] {
  const { log } = process;
  const from = Math.max(first, log.firstIndex());
  const to = Math.min(last, log.lastIndex());
  if (from > to) return [];
  return log
    .entries(from, to + 1, Number.MAX_SAFE_INTEGER)
    .filter(({ kind }) => kind === entryKind.confChange);
}
