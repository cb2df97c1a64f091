import { unreachable } from "../base/assert.ts";
import { handleAppend, handleHeartbeat, handleSnapshot } from "./append.ts";
import type { Core } from "./core.ts";
import {
  campaign,
  campaignRefusal,
  handleVoteRequest,
  handleVoteResponse,
  isSticky,
  learnCommit,
  refuseVote,
} from "./election.ts";
import { handleReadRequest, handleReadResponse } from "./read-index.ts";
import { handleAppendResponse, handleHeartbeatResponse } from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import { type Message, nobody } from "./types.ts";

/** Takes a message from another member: first the rules on terms, then its own. */
export function handleMessage(core: Core, message: Message): void {
  if (message.to !== core.id || message.from === core.id || message.from === nobody) return;
  if (message.type === "vote") learnCommit(core, message.commit ?? 0, message.commitTerm ?? 0);
  if (message.term < core.term) {
    answerPastTerm(core, message);
  } else if (message.term === core.term || admitLaterTerm(core, message)) {
    handleByType(core, message);
  }
}

/** A message of a later term makes this member follow it (thesis §3.3), with these exceptions. */
function admitLaterTerm(core: Core, message: Message): boolean {
  switch (message.type) {
    case "vote":
      if (isSticky(core) && !message.transfer) return false;
      if (!message.pre) becomeFollower(core, message.term, nobody);
      return true;
    case "vote-response":
      // A granted pre-vote names a term that nobody has begun.
      if (message.pre && message.granted) return true;
      break;
    case "append":
    case "heartbeat":
    case "snapshot":
      // Also from a leader that is not in this member's membership: that may be out of date (§4.1).
      becomeFollower(core, message.term, message.from);
      return true;
    default:
      break;
  }
  // Answers and requests come from members that the sender's leader, or this one, speaks to. A
  // removed member's are stale, and must not disturb.
  if (!core.isMember(message.from)) return false;
  becomeFollower(core, message.term, nobody);
  return true;
}

/**
 * A message of a past term is dropped, except that its sender must learn the newer term where it
 * otherwise would not: with PreVote and stickiness, a member ahead in term does not campaign
 * against a leader behind it, and neither would move.
 */
function answerPastTerm(core: Core, message: Message): void {
  switch (message.type) {
    case "append":
    case "heartbeat":
    case "snapshot":
      core.send({
        type: "append-response",
        from: core.id,
        to: message.from,
        term: core.term,
        index: 0,
        rejected: true,
        hintIndex: 0,
        hintTerm: 0,
      });
      return;
    case "vote":
      if (message.pre) refuseVote(core, message);
      return;
    default:
      return;
  }
}

function handleByType(core: Core, message: Message): void {
  switch (message.type) {
    case "append":
      handleAppend(core, message);
      return;
    case "append-response":
      handleAppendResponse(core, message);
      return;
    case "vote":
      handleVoteRequest(core, message);
      return;
    case "vote-response":
      handleVoteResponse(core, message);
      return;
    case "heartbeat":
      handleHeartbeat(core, message);
      return;
    case "heartbeat-response":
      handleHeartbeatResponse(core, message);
      return;
    case "snapshot":
      handleSnapshot(core, message);
      return;
    case "timeout-now":
      // Asked for by the leader, which is why no pre-vote and no stickiness stands in the way.
      if (core.role === "follower" && campaignRefusal(core) === undefined) campaign(core, true);
      return;
    case "read-index":
      handleReadRequest(core, message);
      return;
    case "read-index-response":
      handleReadResponse(core, message);
      return;
    default:
      unreachable(message);
  }
}
