import type { Core, Leadership } from "./core.ts";
import { bytesOf } from "./log.ts";
import type { Progress } from "./progress.ts";
import { quorumIndex } from "./quorum.ts";
import { confirmReadRounds } from "./read-index.ts";
import { becomeFollower } from "./roles.ts";
import { continueTransfer, giveUpTransfer } from "./transfer.ts";
import { type AppendResponse, type Entry, type HeartbeatResponse, type MemberId, nobody } from "./types.ts";

const noEntries: readonly Entry[] = [];

/** Sends to every peer all that its window allows. Called once a `Ready`, so that entries gather. */
export function sendAppends(core: Core, leadership: Leadership): void {
  leadership.sendPending = false;
  leadership.newsHeld = false;
  for (const progress of leadership.peers.values()) sendAllowed(core, progress);
  leadership.newsDue = false;
}

/** Sends what was held of the commit index. */
export function announce(leadership: Leadership): void {
  if (!leadership.newsHeld) return;
  leadership.newsDue = true;
  leadership.sendPending = true;
}

/**
 * A commit index that goes alone costs a message and an answer; the next entries, or the next
 * heartbeat, bring it as well. Told at once is the end of a membership change, and everything during a
 * transfer, by a removed leader, and to a peer that is probed.
 */
function holdBack(core: Core, { state, sentCommit }: Progress): boolean {
  const { leadership } = core;
  if (!leadership || !core.holdNews || leadership.newsDue || state !== "replicate") return false;
  if (leadership.transferee !== nobody || leadership.removed) return false;
  if (leadership.pendingConfIndex > sentCommit) return false;
  leadership.newsHeld = true;
  return true;
}

function sendAllowed(core: Core, progress: Progress): void {
  while (sendAppend(core, progress, false) > 0) {
    // Until nothing is left or the window is full.
  }
}

/**
 * Sends one append if the state of the peer allows it; gives the number of entries sent.
 * With `probing`, also an empty one that brings no news, which the peer must answer.
 */
function sendAppend(core: Core, progress: Progress, probing: boolean): number {
  if (progress.paused && !(probing && progress.state === "replicate")) return 0;
  const prevIndex = progress.next - 1;
  const prevTerm = core.log.term(prevIndex);
  if (prevTerm === undefined || progress.next < core.log.firstIndex) {
    wantSnapshot(core, progress);
    return 0;
  }
  const entries = progress.paused
    ? noEntries
    : core.log.entries(
        progress.next,
        Math.min(core.log.lastIndex + 1, progress.next + core.limits.appendEntriesMax),
        core.limits.appendBytesMax,
      );
  if (entries.length === 0 && !probing) {
    if (progress.sentCommit >= core.announcedCommit || holdBack(core, progress)) return 0;
  }
  core.send({
    type: "append",
    from: core.id,
    to: progress.member,
    term: core.term,
    prevIndex,
    prevTerm,
    commit: core.announcedCommit,
    entries,
  });
  progress.sentCommit = core.announcedCommit;
  if (progress.state === "probe") {
    progress.probeSent = true;
  } else if (entries.length > 0) {
    // Optimistic: the next append need not wait for the answer to this one (thesis §10.2.1).
    progress.next += entries.length;
    progress.inFlight.add(progress.next - 1, bytesOf(entries));
  }
  return entries.length;
}

/** The log was cut above what the peer needs. */
function wantSnapshot(core: Core, progress: Progress): void {
  if (!isActive(core, progress)) {
    // Its next heartbeat response starts another probe.
    if (progress.state === "replicate") progress.becomeProbe(progress.match + 1);
    progress.probeSent = true;
    return;
  }
  progress.becomeSnapshot();
  core.snapshotsWanted.push(progress.member);
}

export function isActive(core: Core, progress: Progress): boolean {
  return core.nowTick - progress.heardAtTick < core.electionTicks;
}

export function handleAppendResponse(core: Core, response: AppendResponse): void {
  const { leadership } = core;
  const progress = leadership?.peers.get(response.from);
  if (!leadership || !progress) return;
  progress.heardAtTick = core.nowTick;
  if (response.rejected) {
    // Also from this side: no entry above with a term beyond the hint's can match.
    const { index } =
      response.hintTerm > 0
        ? core.log.findConflictByTerm(response.hintIndex, response.hintTerm)
        : { index: response.hintIndex };
    if (progress.reject(response.index, index)) sendAllowed(core, progress);
    return;
  }
  // A peer cannot hold what this leader never had; such a message is damaged, not news.
  if (response.index > core.log.lastIndex) return;
  const news = progress.acknowledge(response.index);
  if (news || (progress.state === "probe" && progress.match === response.index)) {
    resume(core, progress, response.index);
    if (news) commitByQuorum(core, leadership);
    sendAllowed(core, progress);
  }
  continueTransfer(core, leadership, progress);
}

function resume(core: Core, progress: Progress, index: number): void {
  if (progress.state === "replicate") {
    progress.inFlight.release(index);
  } else if (progress.state === "probe" || progress.match + 1 >= core.log.firstIndex) {
    progress.becomeReplicate();
  }
}

/**
 * Advances the commit index to what a majority holds durably, this leader's own disk counted like
 * any other. Only an entry of the current term is committed by counting (thesis §3.6.2, figure 3.7).
 */
export function commitByQuorum(core: Core, leadership: Leadership): void {
  const index = quorumIndex(core.conf.voters, (voter) =>
    voter === core.id ? core.log.stable : (leadership.peers.get(voter)?.match ?? 0),
  );
  if (index > core.commit && core.log.matches(index, core.term)) core.commitTo(index);
}

export function sendHeartbeats(core: Core, leadership: Leadership): void {
  leadership.heartbeatElapsedTicks = 0;
  for (const progress of leadership.peers.values()) {
    core.send({
      type: "heartbeat",
      from: core.id,
      to: progress.member,
      term: core.term,
      // Not more than the peer is known to hold: beyond that its log may differ.
      commit: Math.min(progress.match, core.announcedCommit),
      readRound: leadership.readRounds.length > 0 ? leadership.lastReadRound : 0,
    });
  }
}

export function handleHeartbeatResponse(core: Core, response: HeartbeatResponse): void {
  const { leadership } = core;
  const progress = leadership?.peers.get(response.from);
  if (!leadership || !progress) return;
  progress.heardAtTick = core.nowTick;
  if (response.readRound > progress.readRound) {
    progress.readRound = Math.min(response.readRound, leadership.lastReadRound);
    confirmReadRounds(core, leadership);
  }
  progress.probeSent = false;
  // Appends or their answers may be lost. An append that must be answered finds out, and brings a
  // peer whose window is full, or that is probed though it has everything, back into the flow.
  if (progress.match < core.log.lastIndex || progress.state === "probe") sendAppend(core, progress, true);
  continueTransfer(core, leadership, progress);
}

/** A tick of the leader. */
export function tickLeader(core: Core, leadership: Leadership): void {
  leadership.heartbeatElapsedTicks++;
  if (leadership.transferee !== nobody && ++leadership.transferElapsedTicks >= core.electionTicks) {
    giveUpTransfer(core, leadership);
  }
  // CheckQuorum (thesis §6.2): a leader cut off from the majority makes room, so that its clients
  // look elsewhere and its followers become free to elect.
  const heard = core.conf.voters.filter((voter) => {
    const progress = leadership.peers.get(voter);
    return progress === undefined || isActive(core, progress);
  });
  if (heard.length * 2 <= core.conf.voters.length) {
    becomeFollower(core, core.term, nobody);
    return;
  }
  if (leadership.heartbeatElapsedTicks >= core.heartbeatTicks) sendHeartbeats(core, leadership);
}

/** Messages to this peer were lost: send no more ahead of its answers. */
export function peerUnreachable(leadership: Leadership, member: MemberId): void {
  const progress = leadership.peers.get(member);
  if (progress?.state === "replicate") progress.becomeProbe(progress.match + 1);
}

/** The transfer of a snapshot ended: at `index`, or without success. */
export function snapshotSent(
  core: Core,
  leadership: Leadership,
  member: MemberId,
  index: number | undefined,
): void {
  const progress = leadership.peers.get(member);
  if (progress?.state !== "snapshot") return;
  // An index beyond the log would be a snapshot of another history.
  const known = index !== undefined && index <= core.log.lastIndex ? index : 0;
  progress.becomeProbe(known + 1);
  // Its acknowledgement of the snapshot, or else its next heartbeat response, sets it going.
  progress.probeSent = true;
}
