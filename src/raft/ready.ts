import { assert } from "../base/assert.ts";
import type { Core } from "./core.ts";
import { canStartReadRound, startReadRound } from "./read-index.ts";
import { sendAppends } from "./replication.ts";
import { type Entry, entryKind, type HardState, nobody, type Ready } from "./types.ts";

const noEntries: readonly Entry[] = [];

export function hasReady(core: Core): boolean {
  const { leadership } = core;
  return (
    core.messages.length > 0 ||
    core.messagesAfterStored.length > 0 ||
    core.log.hasUnwritten ||
    hardStateMoved(core) ||
    appliable(core) > core.handedOut ||
    core.reads.length > 0 ||
    core.readsRefused.length > 0 ||
    core.snapshotsWanted.length > 0 ||
    (leadership !== undefined && (leadership.sendPending || canStartReadRound(core, leadership)))
  );
}

export function makeReady(core: Core): Ready {
  const { leadership } = core;
  if (leadership) {
    if (canStartReadRound(core, leadership)) startReadRound(core, leadership);
    if (leadership.sendPending) sendAppends(core, leadership);
  }
  assertInvariants(core);
  const committed = takeCommitted(core);
  const write = takeWrite(core);
  let messages = core.messages;
  let messagesAfterStored = core.messagesAfterStored;
  core.messages = [];
  core.messagesAfterStored = [];
  if (!write?.mustSync && !core.log.writing && messagesAfterStored.length > 0) {
    // All they promise is durable already.
    messages = messages.length > 0 ? messages.concat(messagesAfterStored) : messagesAfterStored;
    messagesAfterStored = [];
  }
  const { reads, readsRefused, snapshotsWanted } = core;
  if (reads.length > 0) core.reads = [];
  if (readsRefused.length > 0) core.readsRefused = [];
  if (snapshotsWanted.length > 0) core.snapshotsWanted = [];
  return {
    ...(write && { write }),
    messages,
    messagesAfterStored,
    committed,
    reads: reads.length > 0 ? reads : [],
    readsRefused: readsRefused.length > 0 ? readsRefused : [],
    snapshotsWanted: snapshotsWanted.length > 0 ? snapshotsWanted : [],
  };
}

function hardStateMoved({ written, term, votedFor, commit }: Core): boolean {
  return written.commit !== commit || written.term !== term || written.votedFor !== votedFor;
}

function takeWrite(core: Core) {
  const { written, log } = core;
  const voteMoved = written.term !== core.term || written.votedFor !== core.votedFor;
  const commitNeeded = Math.max(core.guardedIndex, core.heldConfIndex) > log.promisedCommit;
  const mustSync = voteMoved || log.hasUnwritten || commitNeeded;
  const commitMoved = written.commit !== core.commit;
  // Messages that wait for durability must not wait for a write that nobody needs to sync: the
  // commit index goes with the next `Ready` then.
  if (!mustSync && (!commitMoved || core.messagesAfterStored.length > 0)) return undefined;
  let hardState: HardState | undefined;
  if (voteMoved || commitMoved || commitNeeded) {
    hardState = { term: core.term, votedFor: core.votedFor, commit: core.commit };
    core.written = hardState;
  }
  return log.takeWrite(hardState, mustSync);
}

/** Committed and durable here; nothing new before all that was handed out is applied. */
function appliable(core: Core): number {
  const { applied, handedOut, commit, log, heldConfIndex } = core;
  if (applied !== handedOut) return handedOut;
  return Math.min(commit, log.stable, heldConfIndex > log.durable.commit ? heldConfIndex - 1 : commit);
}

function takeCommitted(core: Core): readonly Entry[] {
  const end = appliable(core);
  if (end <= core.handedOut) return noEntries;
  const entries = core.log.entries(core.handedOut + 1, end + 1, core.limits.applyBytesMax);
  if (entries.length === 0) assert(false, `the log holds no entry ${core.handedOut + 1}, which is committed`);
  const durable = core.log.durable.commit;
  const held = entries.find(({ index, kind }) => kind === entryKind.confChange && index > durable);
  if (held) core.heldConfIndex = held.index;
  const ripe = held ? entries.slice(0, held.index - core.handedOut - 1) : entries;
  core.handedOut += ripe.length;
  return ripe;
}

/** Checked with every `Ready`. The texts are made only when they are needed: this is the hot path. */
function assertInvariants(core: Core): void {
  const { applied, handedOut, commit, written, log } = core;
  if (applied > handedOut) assert(false, `applied ${applied} is beyond ${handedOut}, which was handed out`);
  if (handedOut > commit) assert(false, `${handedOut} was handed out, but only ${commit} is committed`);
  if (commit > log.lastIndex)
    assert(false, `commit index ${commit} is beyond the log's end ${log.lastIndex}`);
  if (handedOut > log.stable && !log.pendingSnapshot) assert(false, `${handedOut} is not durable`);
  if (commit < written.commit) assert(false, `commit index went back from ${written.commit} to ${commit}`);
  if (core.term < written.term) assert(false, `term went back from ${written.term} to ${core.term}`);
  const { votedFor } = written;
  if (core.term === written.term && votedFor !== nobody && votedFor !== core.votedFor) {
    assert(false, `the vote of term ${core.term} changed from ${votedFor} to ${core.votedFor}`);
  }
  assert((core.role === "leader") === (core.leadership !== undefined), "leadership without the role");
}
