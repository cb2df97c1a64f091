import { assert } from "../base/assert.ts";
import { emptyBytes } from "../base/bytes.ts";
import { type Core, Leadership } from "./core.ts";
import { refuseReads } from "./read-index.ts";
import { entryKind, type MemberId, nobody } from "./types.ts";

/** Follows `leader` (or nobody known) in `term`, which may be the current one. */
export function becomeFollower(core: Core, term: number, leader: MemberId): void {
  assert(term >= core.term, `term went back from ${core.term} to ${term}`);
  if (term !== core.term) {
    core.term = term;
    core.votedFor = nobody;
  }
  if (core.leader !== leader || core.leadership) refuseReads(core);
  core.role = "follower";
  core.leader = leader;
  core.leadership = undefined;
  // A snapshot goes out in the name of the leader of the term in which it leaves.
  core.snapshotsWanted = [];
  if (leader !== nobody) core.hastyTicks = 0;
  core.votes.clear();
  core.restartElectionTimer();
}

/** Asks around before it raises its term (thesis §9.6). Changes neither term nor vote. */
export function becomePreCandidate(core: Core): void {
  assert(core.role !== "leader", "a leader does not campaign");
  refuseReads(core);
  core.role = "pre-candidate";
  core.leader = nobody;
  core.votes.clear();
  core.restartElectionTimer();
}

/** Begins a new term and votes for itself (thesis §3.4). */
export function becomeCandidate(core: Core, transfer: boolean): void {
  assert(core.role !== "leader", "a leader does not campaign");
  refuseReads(core);
  core.role = "candidate";
  core.term += 1;
  core.votedFor = core.id;
  core.leader = nobody;
  core.transferElection = transfer;
  core.votes.clear();
  core.restartElectionTimer();
}

/** Leads its term, which it opens with an empty entry. */
export function becomeLeader(core: Core): void {
  assert(core.role === "candidate", `a ${core.role} cannot become leader`);
  assert(core.votedFor === core.id, "a leader has voted for itself");
  const { term, votedFor } = core.log.durable;
  // Otherwise it could lead the same term twice, with a crash between, and fill an index twice.
  assert(
    term === core.term && votedFor === core.id,
    `leads term ${core.term} before its vote in it is durable`,
  );
  core.role = "leader";
  core.leader = core.id;
  core.hastyTicks = 0;
  core.votes.clear();
  core.elapsedTicks = 0;
  const leadership = new Leadership(core.log.lastIndex + 1);
  core.leadership = leadership;
  for (const member of core.conf.voters) addPeer(core, leadership, member, false);
  for (const member of core.conf.learners) addPeer(core, leadership, member, true);
  core.appendOwn(leadership, entryKind.noop, emptyBytes);
}

/** Starts to keep track of another member; its log is taken to be as long as the leader's. */
export function addPeer(core: Core, leadership: Leadership, member: MemberId, learner: boolean): void {
  if (member === core.id) return;
  leadership.peers.set(member, core.newProgress(member, learner, core.log.lastIndex + 1));
}
