import { assert } from "../base/assert.ts";
import type { Core } from "./core.ts";
import { becomeFollower } from "./roles.ts";
import {
  type AppendRequest,
  type Entry,
  type Heartbeat,
  type InstallSnapshot,
  type MemberId,
  nobody,
} from "./types.ts";

/** A message that only the leader of this term sends. Restarts the election timer. */
function hearLeader(core: Core, leader: MemberId): void {
  if (core.role === "follower" && core.leader === leader) {
    core.elapsedTicks = 0;
    return;
  }
  // Election safety (thesis figure 3.2); a leader is its own `leader`.
  assert(
    core.leader === leader || core.leader === nobody,
    `two leaders in term ${core.term}: ${core.leader} and ${leader}`,
  );
  becomeFollower(core, core.term, leader);
}

/** AppendEntries (thesis §3.5), receiver's side. */
export function handleAppend(core: Core, request: AppendRequest): void {
  if (!isContiguous(request)) return;
  hearLeader(core, request.from);
  const { prevIndex, prevTerm, entries } = request;
  if (prevIndex < core.commit) {
    // Old news: all up to the commit index agrees already (state machine safety).
    acknowledge(core, request.from, core.commit);
    return;
  }
  if (!core.log.matches(prevIndex, prevTerm)) {
    reject(core, request);
    return;
  }
  const last = prevIndex + entries.length;
  const fresh = firstConflict(core, entries);
  const first = entries[fresh];
  if (first) {
    if (first.index <= core.commit) assert(false, `entry ${first.index} would replace a committed one`);
    core.log.replaceFrom(fresh === 0 ? entries : entries.slice(fresh));
  }
  // Only up to `last` is it known that the logs agree.
  core.commitTo(Math.min(request.commit, last));
  acknowledge(core, request.from, last);
}

/** The first position whose entry is not in the log, or is there with another term. */
function firstConflict(core: Core, entries: readonly Entry[]): number {
  for (let at = 0; at < entries.length; at++) {
    const entry = entries[at] as Entry;
    if (!core.log.matches(entry.index, entry.term)) return at;
  }
  return entries.length;
}

/** Whether the entries follow `prevIndex` one by one, with terms that do not fall. */
function isContiguous({ prevIndex, prevTerm, entries, term }: AppendRequest): boolean {
  let index = prevIndex;
  let last = prevTerm;
  for (const entry of entries) {
    if (entry.index !== ++index || entry.term < last) return false;
    last = entry.term;
  }
  return last <= term;
}

function acknowledge(core: Core, leader: MemberId, index: number): void {
  core.sendAfterStored({
    type: "append-response",
    from: core.id,
    to: leader,
    term: core.term,
    index,
    rejected: false,
    hintIndex: 0,
    hintTerm: 0,
  });
}

/**
 * Fast back-off (thesis §3.5): no index above the hint with a term above `prevTerm` can match, so
 * the leader skips a term, not an entry, a round trip.
 */
function reject(core: Core, { from, prevIndex, prevTerm }: AppendRequest): void {
  const hint = core.log.findConflictByTerm(Math.min(prevIndex, core.log.lastIndex), prevTerm);
  core.send({
    type: "append-response",
    from: core.id,
    to: from,
    term: core.term,
    index: prevIndex,
    rejected: true,
    hintIndex: hint.index,
    hintTerm: hint.term,
  });
}

export function handleHeartbeat(core: Core, heartbeat: Heartbeat): void {
  hearLeader(core, heartbeat.from);
  // The leader never says more than this member acknowledged as durable.
  core.commitTo(heartbeat.commit);
  core.send({
    type: "heartbeat-response",
    from: core.id,
    to: heartbeat.from,
    term: core.term,
    readRound: heartbeat.readRound,
  });
}

/** The data of a snapshot is here (thesis §5.1): install it, unless the log knows better. */
export function handleSnapshot(core: Core, { from, snapshot }: InstallSnapshot): void {
  hearLeader(core, from);
  if (snapshot.index <= core.commit) {
    acknowledge(core, from, core.commit);
  } else if (core.log.matches(snapshot.index, snapshot.term)) {
    // The log holds all that the snapshot stands for; now it is known to be committed.
    core.commitTo(snapshot.index);
    acknowledge(core, from, snapshot.index);
  } else {
    core.log.restore(snapshot, core.commit);
    core.commit = snapshot.index;
    core.handedOut = snapshot.index;
    core.restoredIndex = snapshot.index;
    acknowledge(core, from, snapshot.index);
  }
}
