import type { PeerMessage } from "../../../src/peer/types.ts";
import type { MemberId, RaftStatus } from "../../../src/raft/types.ts";
import { Violation } from "../engine/violation.ts";
import type { Host } from "../members/host.ts";
import type { MemberProcess } from "../members/process.ts";
import { changes } from "./raft-rules.ts";

/** Rules of single members that seldom show when they are broken: looked at where they are kept. */

/** A number that names a question is used in one life of a member only: an answer may come late. */
export class NumberRule {
  readonly #lives = new Map<string, MemberProcess>();

  sent(process: MemberProcess, message: PeerMessage): void {
    const number = numberOf(message);
    if (number === undefined) return;
    const name = `${process.memberId} ${message.type} ${number}`;
    const life = this.#lives.get(name);
    if (life === undefined) this.#lives.set(name, process);
    else if (life !== process) {
      throw new Violation(
        "numbers",
        `${process.host.name} used number ${number} of a ${message.type} in two lives`,
      );
    }
  }
}

function numberOf(message: PeerMessage): number | undefined {
  switch (message.type) {
    case "forward":
      return message.first;
    case "request":
      return message.id;
    case "read-index":
      return message.context;
    default:
      return undefined;
  }
}

/**
 * A removed member goes on answering until a majority of the others knows of the removal, or for ten
 * election timeouts: should the leader fail, they still count its vote.
 */
export function checkFarewell(process: MemberProcess, removedSinceMs: number): void {
  const { host, memberId } = process;
  const { hosts, nodeOptions } = host.world;
  // As far as it knows them: what has changed since it cannot know.
  const { members } = process.node.state.membership();
  const others = members.map(({ id }) => id).filter((id) => id !== memberId);
  const knowing = others.filter((id) => knows(hosts, id, memberId));
  if (knowing.length * 2 > others.length || others.length === 0) return;
  const waitedMs = host.clock.nowMs() - removedSinceMs;
  if (waitedMs >= 10 * nodeOptions.electionMs - 1) return;
  throw new Violation(
    "farewell",
    `${host.name} ends ${Math.round(waitedMs)} ms after its removal, when ${knowing.length} of ${others.length} others know of it`,
  );
}

/**
 * Of a member that is down or was wiped anything may be true. One that has begun anew is about to apply the
 * changes of which its disk says that they are committed, and campaigns no earlier.
 */
function knows(hosts: readonly Host[], member: MemberId, removed: MemberId): boolean {
  const process = hosts.find(({ disk }) => disk.identity?.memberId === member)?.process;
  if (process?.ready !== true) return true;
  const { state } = process.node;
  if (state.closed || state.membership().removed.includes(removed)) return true;
  return changes(process, state.appliedIndex + 1, process.log.hardState.commit).length > 0;
}

/** A voter without a leader campaigns before long (thesis §3.4): nothing but a leader, a later term or a vote stops it. */
export class TimerRule {
  readonly #since = new WeakMap<MemberProcess, number>();

  /** Something that may restart the timer reached the member or left it. */
  restarted(process: MemberProcess): void {
    this.#since.set(process, process.host.clock.nowMs());
  }

  heard(process: MemberProcess, message: PeerMessage): void {
    if (message.type === "vote" || message.type === "vote-response" || message.type === "read-index") return;
    this.restarted(process);
  }

  afterStep(process: MemberProcess, before: RaftStatus, now: RaftStatus): void {
    const waits =
      now.role === "follower" &&
      before.role === now.role &&
      before.term === now.term &&
      before.leader === now.leader &&
      now.applied === now.commit &&
      now.conf.voters.includes(now.id);
    const since = this.#since.get(process);
    if (!waits || since === undefined) {
      this.restarted(process);
      return;
    }
    const { clock, world } = process.host;
    const quietMs = clock.nowMs() - since;
    // The timer runs out after one to two election timeouts, on ticks of a heartbeat.
    const { electionMs, heartbeatMs } = world.nodeOptions;
    if (quietMs <= 2 * electionMs + 4 * heartbeatMs + 20) return;
    throw new Violation(
      "election timer",
      `${process.host.name} has heard of no leader for ${Math.round(quietMs)} ms in term ${now.term} and does not campaign`,
    );
  }
}
