import type { Core, Leadership, ReadRound } from "./core.ts";
import { quorumIndex } from "./quorum.ts";
import { nobody, type ReadIndexRequest, type ReadIndexResponse } from "./types.ts";

/*
 * Linearizable reads without a log entry (thesis §6.4). The leader takes its commit index, has a
 * majority confirm that it still leads, and the read is served once that index is applied.
 * Rounds are numbered within a term; a heartbeat confirms the newest and thereby all before it.
 */

/** A read asked at this member. */
export function askRead(core: Core, context: number): void {
  const { leadership } = core;
  if (leadership) {
    if (leadership.readsQueued.length >= core.limits.readsQueuedMax) core.readsRefused.push(context);
    else leadership.readsQueued.push({ from: core.id, context });
    return;
  }
  if (core.leader === nobody || core.readsAsked.size >= core.limits.readsQueuedMax) {
    core.readsRefused.push(context);
    return;
  }
  core.readsAsked.set(context, core.nowTick);
  core.send({ type: "read-index", from: core.id, to: core.leader, term: core.term, context });
}

/** A read asked at a follower or learner. Without an answer it is refused there after a while. */
export function handleReadRequest(core: Core, request: ReadIndexRequest): void {
  const { leadership } = core;
  if (!leadership?.peers.has(request.from)) return;
  if (leadership.readsQueued.length >= core.limits.readsQueuedMax) return;
  leadership.readsQueued.push({ from: request.from, context: request.context });
}

export function handleReadResponse(core: Core, response: ReadIndexResponse): void {
  // A context that is not there was refused in the meantime: its asker has its answer.
  if (core.readsAsked.delete(response.context)) {
    core.reads.push({ context: response.context, index: response.index });
  }
}

/** Whether `startReadRound` would do something. */
export function canStartReadRound(core: Core, leadership: Leadership): boolean {
  return (
    leadership.readsQueued.length > 0 &&
    leadership.readRounds.length < core.limits.readRoundsInFlightMax &&
    // Before that, the commit index may lack entries that an earlier leader acknowledged.
    core.commit >= leadership.termStart
  );
}

/** All reads that wait become one round. Heartbeats that ask for its confirmation go at once. */
export function startReadRound(core: Core, leadership: Leadership): void {
  const reads = leadership.readsQueued.splice(0);
  const round: ReadRound = { round: ++leadership.lastReadRound, index: core.commit, reads };
  if (core.conf.voters.length === 1 && core.isVoter(core.id)) {
    answer(core, round);
    return;
  }
  leadership.readRounds.push(round);
  for (const progress of leadership.peers.values()) {
    if (progress.learner) continue;
    core.send({
      type: "heartbeat",
      from: core.id,
      to: progress.member,
      term: core.term,
      commit: Math.min(progress.match, core.announcedCommit),
      readRound: round.round,
    });
  }
}

/** Answers the rounds that a majority of the voters, this leader included, has confirmed. */
export function confirmReadRounds(core: Core, leadership: Leadership): void {
  if (leadership.readRounds.length === 0) return;
  const confirmed = quorumIndex(core.conf.voters, (voter) =>
    voter === core.id ? leadership.lastReadRound : (leadership.peers.get(voter)?.readRound ?? 0),
  );
  for (;;) {
    const round = leadership.readRounds[0];
    if (!round || round.round > confirmed) return;
    leadership.readRounds.shift();
    answer(core, round);
  }
}

function answer(core: Core, { index, reads }: ReadRound): void {
  for (const { from, context } of reads) {
    if (from === core.id) core.reads.push({ context, index });
    else core.send({ type: "read-index-response", from: core.id, to: from, term: core.term, context, index });
  }
}

/** Leadership was lost, or the leader is another one now: nobody will confirm these reads. */
export function refuseReads(core: Core): void {
  for (const context of core.readsAsked.keys()) core.readsRefused.push(context);
  core.readsAsked.clear();
  const { leadership } = core;
  if (!leadership) return;
  for (const { reads } of leadership.readRounds) refuseOwn(core, reads);
  refuseOwn(core, leadership.readsQueued);
}

function refuseOwn(core: Core, reads: ReadRound["reads"]): void {
  for (const { from, context } of reads) if (from === core.id) core.readsRefused.push(context);
}

/** Refuses forwarded reads whose question or answer was lost. */
export function expireReads(core: Core): void {
  for (const [context, askedAtTick] of core.readsAsked) {
    if (core.nowTick - askedAtTick < core.electionTicks) return;
    core.readsAsked.delete(context);
    core.readsRefused.push(context);
  }
}
