import { assert } from "../base/assert.ts";
import type { Core } from "./core.ts";
import { tally } from "./quorum.ts";
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from "./roles.ts";
import { type MemberId, nobody, type RefusalReason, type VoteRequest, type VoteResponse } from "./types.ts";

/**
 * Leader stickiness (thesis §4.2.3, §6.4): a member that heard from a leader within the minimum
 * election timeout does not help anybody to replace it.
 */
export function isSticky(core: Core): boolean {
  return core.role === "leader" || (core.leader !== nobody && core.elapsedTicks < core.electionTicks);
}

/** Why this member must not start an election now, if it must not. */
export function campaignRefusal(core: Core): RefusalReason | undefined {
  // Learners and joiners never campaign, nor does a member removed from its own membership.
  if (!core.isVoter(core.id)) return "not-a-voter";
  // A snapshot on its way, or a committed change that is not applied: the membership by which the
  // votes would be counted is out of date, perhaps by more than one step (thesis §4.1).
  if (core.log.pendingSnapshot || core.hasUnappliedConfChange()) return "conf-change-pending";
  return undefined;
}

/** Starts with a pre-election, or at once with an election when the leader asked for it. */
export function campaign(core: Core, transfer: boolean): void {
  assert(campaignRefusal(core) === undefined, "campaigns though it must not");
  if (transfer) {
    startElection(core, true);
    return;
  }
  becomePreCandidate(core);
  if (core.hastyTicks > 0) hurry(core, 1);
  requestVotes(core, true);
  recordVote(core, core.id, true);
}

function startElection(core: Core, transfer: boolean): void {
  becomeCandidate(core, transfer);
  if (core.hastyTicks > 0) hurry(core, 2);
  requestVotes(core, false);
  // Its own vote counts when it is durable: `countOwnVote`.
}

function requestVotes(core: Core, pre: boolean): void {
  for (const voter of core.conf.voters) {
    if (voter === core.id) continue;
    core.send({
      type: "vote",
      from: core.id,
      to: voter,
      term: pre ? core.term + 1 : core.term,
      pre,
      lastIndex: core.log.lastIndex,
      lastTerm: core.log.lastTerm,
      transfer: !pre && core.transferElection,
      commit: core.announcedCommit,
      commitTerm: core.log.term(core.announcedCommit) ?? 0,
    });
  }
}

/** Called when writes became durable: a candidate's vote for itself may be among them. */
export function countOwnVote(core: Core): void {
  if (core.role !== "candidate" || core.votes.has(core.id)) return;
  const { term, votedFor } = core.log.durable;
  if (term === core.term && votedFor === core.id) recordVote(core, core.id, true);
}

function recordVote(core: Core, voter: MemberId, granted: boolean): void {
  if (!core.votes.has(voter)) core.votes.set(voter, granted);
  const result = tally(core.conf.voters, core.votes);
  if (result === "lost") {
    becomeFollower(core, core.term, nobody);
  } else if (result === "won") {
    if (core.role === "pre-candidate") startElection(core, false);
    else if (core.votes.get(core.id) === true) becomeLeader(core);
  }
}

/** Answers a request that passed the term rules in `dispatch.ts` (so `term` is not a past one). */
export function handleVoteRequest(core: Core, request: VoteRequest): void {
  // Whether the candidate is in this member's membership does not matter (thesis §4.1): it may be
  // a newer one. A learner answers too: only who counts it as a voter asks it, and it may not yet
  // know that it was promoted; without its vote such a cluster could stand still for ever.
  const free =
    core.votedFor === request.from ||
    (core.votedFor === nobody && core.leader === nobody) ||
    (request.pre && request.term > core.term);
  if (!free || !core.log.isUpToDate(request.lastIndex, request.lastTerm)) {
    refuseVote(core, request);
    return;
  }
  const response: VoteResponse = {
    type: "vote-response",
    from: core.id,
    to: request.from,
    // That of a pre-vote is the one asked for, so that an answer to an older question is told apart.
    term: request.term,
    pre: request.pre,
    granted: true,
  };
  if (request.pre) {
    core.send(response);
    if (core.role === "pre-candidate" && core.hastyTicks > 0) yieldTo(core, request);
    return;
  }
  assert(core.votedFor === nobody || core.votedFor === request.from, "would vote twice in one term");
  assert(request.term === core.term, "would vote in another term");
  core.votedFor = request.from;
  core.hastyTicks = 0;
  core.restartElectionTimer();
  core.sendAfterStored(response);
}

/**
 * Two members hurry in the same moment: one of them gives way, so that
 * they do not split the votes of the term to come. The one with the longer log, or else the smaller
 * id, goes on.
 */
function yieldTo(core: Core, { from, lastIndex, lastTerm }: VoteRequest): void {
  const equal = lastTerm === core.log.lastTerm && lastIndex === core.log.lastIndex;
  if (equal && core.id < from) return;
  becomeFollower(core, core.term, nobody);
  hurry(core, 2);
}

/**
 * A refusal says what is committed. Else a cluster of two could stand still for ever after one was
 * removed: the other, which has that entry but not the news of its commitment, needs a vote that
 * the removed member's longer log denies, while that one knows it is no member.
 */
export function refuseVote(core: Core, { from, pre }: VoteRequest): void {
  core.send({
    type: "vote-response",
    from: core.id,
    to: from,
    term: core.term,
    pre,
    granted: false,
    commit: core.announcedCommit,
    commitTerm: core.log.term(core.announcedCommit) ?? 0,
  });
}

/**
 * What is committed anywhere is committed everywhere, if it is the same entry. A member that forgot in
 * a crash that it became a voter learns it so from the one that needs its vote.
 */
export function learnCommit(core: Core, index: number, term: number): void {
  if (core.role === "leader" || index <= core.commit || !core.log.matches(index, term)) return;
  core.commitTo(index);
  // The membership that this campaign counts by may have become an old one.
  if (core.role !== "follower" && core.hasUnappliedConfChange()) becomeFollower(core, core.term, nobody);
}

export function handleVoteResponse(core: Core, response: VoteResponse): void {
  if (!core.isVoter(response.from)) return;
  if (!response.granted) learnCommit(core, response.commit ?? 0, response.commitTerm ?? 0);
  if (response.pre) {
    if (core.role !== "pre-candidate") return;
    if (response.granted && response.term !== core.term + 1) return;
  } else if (core.role !== "candidate" || response.term !== core.term) {
    return;
  }
  recordVote(core, response.from, response.granted);
}

/** A tick of a member that does not lead. */
export function tickElection(core: Core): void {
  core.elapsedTicks++;
  if (core.hastyTicks > 0) core.hastyTicks--;
  if (core.elapsedTicks < core.timeoutTicks) return;
  if (campaignRefusal(core) === undefined) campaign(core, false);
  // It may not campaign, but the leader is as silent to it as to others: to restart the timer alone
  // would renew its stickiness, and could withhold the vote that a candidate lacks.
  else becomeFollower(core, core.term, nobody);
}

/**
 * The connection to the leader closed: its process is probably gone, so waiting for the timeout
 * gains nothing. Only timers change: a vote still needs a majority that believes the same, so a
 * leader that others hear is not disturbed.
 */
export function leaderDisconnected(core: Core): void {
  becomeFollower(core, core.term, nobody);
  core.hastyTicks = core.electionTicks;
  hurry(core, 0);
  if (core.elapsedTicks >= core.timeoutTicks && campaignRefusal(core) === undefined) campaign(core, false);
}

/**
 * While no leader is known, each voter that appears may complete a majority, as when a whole cluster
 * starts: it is asked within a few ticks. A leader that is there makes itself heard, or keeps others
 * from voting.
 */
export function voterConnected(core: Core, member: MemberId): void {
  if (core.leader !== nobody || !core.isVoter(member)) return;
  if (core.role !== "follower" && core.role !== "pre-candidate") return;
  // Whom it has just voted for would lose its term to the next election.
  const { term, votedFor } = core.log.durable;
  if (term !== core.term || votedFor !== core.votedFor) return;
  core.hastyTicks = core.electionTicks;
  hurry(core, 0);
}

/** Random, so that the followers do not all start at once and split the vote. */
function hurry(core: Core, ticksMin: number): void {
  const ticks = ticksMin + core.random.below(core.disconnectedElectionTicks + 1);
  core.timeoutTicks = Math.min(core.timeoutTicks, core.elapsedTicks + ticks);
}
