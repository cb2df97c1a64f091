import { assert } from "../base/assert.ts";
import type { Core, Leadership } from "./core.ts";
import { confirmReadRounds } from "./read-index.ts";
import { commitByQuorum } from "./replication.ts";
import { addPeer, becomeFollower } from "./roles.ts";
import { abortTransfer, handOver } from "./transfer.ts";
import { type ConfState, nobody, type RefusalReason } from "./types.ts";

/*
 * Membership changes by one member at a time (thesis §4.1) and takes effect when the entry is
 * applied, on each member by itself. That is safe because a change is proposed only after the one
 * before was applied here, hence committed, and because nobody campaigns with a committed change
 * that it has not applied: majorities that decide at the same time differ by one step at most.
 */

/** Why no membership change may be proposed now, if so. */
export function confChangeRefusal(core: Core, leadership: Leadership): RefusalReason | undefined {
  // Without an entry of its own term committed, an earlier leader's change could still come to
  // light and make it two (Ongaro, "bug in single-server membership changes", raft-dev, 2015).
  if (core.commit < leadership.termStart) return "no-commit-in-term";
  return leadership.pendingConfIndex > core.applied ? "conf-change-pending" : undefined;
}

/** Takes over the membership that holds from `index` on. */
export function applyConf(core: Core, index: number, conf: ConfState): void {
  assert(index >= core.confIndex, `membership went back from index ${core.confIndex} to ${index}`);
  assert(index <= core.handedOut, `membership of index ${index}, which was not handed out`);
  assertWellFormed(conf);
  // A snapshot may skip any number of changes, also one that a later snapshot has overtaken already.
  if (index > core.restoredIndex) assertOneStep(core.conf, conf);
  core.conf = conf;
  core.confIndex = index;
  const { leadership } = core;
  if (leadership) applyConfOnLeader(core, leadership);
  else if (core.role !== "follower" && !core.isVoter(core.id)) becomeFollower(core, core.term, nobody);
}

function applyConfOnLeader(core: Core, leadership: Leadership): void {
  for (const member of leadership.peers.keys()) {
    if (!core.isMember(member)) leadership.peers.delete(member);
  }
  for (const learner of [false, true]) {
    for (const member of learner ? core.conf.learners : core.conf.voters) {
      const progress = leadership.peers.get(member);
      if (progress) progress.learner = learner;
      else addPeer(core, leadership, member, learner);
    }
  }
  leadership.sendPending = true;
  leadership.removed = !core.isVoter(core.id);
  if (leadership.removed) handOver(core, leadership);
  else if (leadership.transferee !== nobody && !core.isVoter(leadership.transferee)) {
    abortTransfer(leadership);
  }
  // A smaller quorum may have been reached already.
  commitByQuorum(core, leadership);
  confirmReadRounds(core, leadership);
}

function assertWellFormed({ voters, learners }: ConfState): void {
  assert(voters.length > 0, "a membership without voters");
  const members = new Set([...voters, ...learners]);
  assert(members.size === voters.length + learners.length, "a member is listed twice");
  assert(!members.has(nobody), "0 is no member");
}

/** At most one member joins, leaves, or changes between voter and learner. */
function assertOneStep(before: ConfState, after: ConfState): void {
  const roles = (conf: ConfState) =>
    new Map([
      ...conf.voters.map((member) => [member, "voter"] as const),
      ...conf.learners.map((member) => [member, "learner"] as const),
    ]);
  const [old, now] = [roles(before), roles(after)];
  let changed = 0;
  for (const member of new Set([...old.keys(), ...now.keys()])) {
    if (old.get(member) !== now.get(member)) changed++;
  }
  assert(changed <= 1, `the membership changed by ${changed} members at once`);
}
