import type { Core, Leadership } from "./core.ts";
import type { Progress } from "./progress.ts";
import { type MemberId, nobody, type RefusalReason } from "./types.ts";

/*
 * Leadership transfer (thesis §3.10): the leader takes no more proposals, brings the target's log
 * up to its own, and tells it to start an election at once. After an election timeout it gives up.
 */

/** Starts a transfer, or says why it cannot. Another one under way is given up. */
export function startTransfer(
  core: Core,
  leadership: Leadership,
  target: MemberId,
): RefusalReason | undefined {
  if (!core.isVoter(target)) return "not-a-voter";
  if (target === core.id) {
    abortTransfer(leadership);
    return undefined;
  }
  if (leadership.transferee === target) return undefined;
  leadership.transferee = target;
  leadership.transferElapsedTicks = 0;
  const progress = leadership.peers.get(target);
  if (progress) continueTransfer(core, leadership, progress);
  // What the target lacks goes out with the next `Ready`.
  leadership.sendPending = true;
  return undefined;
}

/** Called when the peer was heard from: it may have caught up now, or the message was lost. */
export function continueTransfer(core: Core, leadership: Leadership, progress: Progress): void {
  if (leadership.transferee !== progress.member || progress.match !== core.log.lastIndex) return;
  core.send({ type: "timeout-now", from: core.id, to: progress.member, term: core.term });
}

/**
 * A leader that was removed (thesis §4.2.2) takes no more proposals and does not count itself, but
 * leads until somebody else does: were it to leave at once, and the news of its removal be lost,
 * the others might lack its vote, or its last entries, to elect anybody.
 */
export function handOver(core: Core, leadership: Leadership): void {
  let best: Progress | undefined;
  for (const progress of leadership.peers.values()) {
    // Another one than before, if there is one: that one had its chance.
    if (progress.learner || progress.member === leadership.transferee) continue;
    if (!best || progress.match > best.match) best = progress;
  }
  const target = best?.member ?? leadership.transferee;
  abortTransfer(leadership);
  startTransfer(core, leadership, target);
}

/** The transfer took too long, or its target is gone. */
export function giveUpTransfer(core: Core, leadership: Leadership): void {
  if (leadership.removed) handOver(core, leadership);
  else abortTransfer(leadership);
}

export function abortTransfer(leadership: Leadership): void {
  leadership.transferee = nobody;
  leadership.transferElapsedTicks = 0;
}
