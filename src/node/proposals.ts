import { assert, present } from "../base/assert.ts";
import type { ErrorCode } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { firstNumber, type Random } from "../base/prng.ts";
import type { ApplyOutcome } from "../kv/state-machine.ts";
import type { Batch, Command } from "../kv/types.ts";
import type { ForwardOutcome, PeerMessage } from "../peer/types.ts";
import { type MemberId, nobody, type RaftEvent, type StepResult } from "../raft/types.ts";
import { encodeBatch } from "../wire/commands.ts";
import { Gathering, type GatheringContext } from "./gathering.ts";
import { grows } from "./growth.ts";
import type { Blocked } from "./part.ts";
import { commandBytes, notProposed, type Outcome, type Proposal, unknown } from "./waiter.ts";

/** What proposals need to know of the node around them. */
export interface ProposalContext extends GatheringContext {
  readonly self: MemberId;
  readonly random: Random;
  /** The leader this member knows, or `nobody`. */
  leader(): MemberId;
  step(event: RaftEvent): StepResult;
  send(to: MemberId, message: PeerMessage): boolean;
  /** A log entry with so many commands was proposed. */
  observeBatch(commands: number): void;
  /** What the leader must not take now. */
  blocked(): Blocked | undefined;
  readonly requestTimeoutMs: number;
  readonly leaderWaitMs: number;
}

/** Proposals in one log entry of this leader. */
interface Pending {
  readonly term: number;
  readonly batch: Batch;
  readonly proposals: readonly Proposal[];
  readonly sinceMs: number;
}

/**
 * Every proposal between its acceptance and its end, on the leader and on the member that a client
 * asked. All that arrive in one turn become one log entry, or one message to the leader; while an
 * entry is on its way to a majority, and a moment longer, the next ones gather.
 *
 * A proposal is in exactly one place: `#queued` (not sent anywhere: ends as not-proposed),
 * `#pending` (in this member's log: ends when its index is applied, whoever leads then) or
 * `#forwarded` (sent to a leader: ends with its answer, or as unknown).
 */
export class Proposals {
  readonly #context: ProposalContext;
  #queued: Proposal[] = [];
  readonly #pending = new Map<number, Pending>();
  readonly #forwarded = new Map<number, { readonly to: MemberId; readonly proposal: Proposal }>();
  #nextNumber: number;
  readonly #gathering: Gathering;
  #count = 0;
  #bytes = 0;
  #closed = false;

  constructor(context: ProposalContext) {
    this.#context = context;
    this.#nextNumber = firstNumber(context.random);
    this.#gathering = new Gathering(context);
  }

  get inFlight(): number {
    return this.#count;
  }

  /**
   * Takes a command in. `end` is called exactly once, never from inside this call unless the
   * proposal is refused at once.
   */
  submit(command: Command, forwarded: boolean, end: (outcome: Outcome) => void): void {
    if (this.#closed) {
      end(notProposed("shutting_down", "This member is shutting down; send the request to another member."));
      return;
    }
    const bytes = commandBytes(command);
    if (
      this.#count >= limits.proposalsInFlightMax ||
      this.#bytes + bytes > limits.proposalsInFlightBytesMax
    ) {
      end(notProposed("overloaded", `${this.#count} writes are already under way here; try again shortly.`));
      return;
    }
    this.#count++;
    this.#bytes += bytes;
    const wait = this.#context.requestTimeoutMs;
    this.#queued.push({
      command,
      bytes,
      forwarded,
      deadlineMs: this.#context.clock.nowMs() + wait,
      end: (outcome) => {
        this.#count--;
        this.#bytes -= bytes;
        end(outcome);
      },
    });
    if (this.#queued.length === 1) this.#context.wake();
  }

  /** Sends what was queued to where it belongs; called once a turn. */
  flush(): void {
    if (this.#queued.length === 0) return;
    const leader = this.#context.leader();
    if (leader === this.#context.self) {
      if (this.#gathers()) return;
      this.#gathering.proposed(this.#queued.length);
      this.#propose();
    } else if (leader === nobody) this.#endForwarded();
    else this.#forward(leader);
  }

  /** Whether what is queued should wait for more, to be one entry with it. */
  #gathers(): boolean {
    if (this.#closed || batchLength(this.#queued) < this.#queued.length) return false;
    return this.#gathering.waits(this.#queued.length);
  }

  #propose(): void {
    this.#refuseBlocked();
    while (this.#queued.length > 0) {
      const count = batchLength(this.#queued);
      const proposals = this.#queued.slice(0, count);
      const batch: Batch = {
        timeMs: this.#context.clock.wallMs(),
        commands: proposals.map((proposal) => proposal.command),
      };
      const data = encodeBatch(batch);
      assert(data.length < limits.entryBytesMax, `an entry of ${data.length} bytes does not fit a frame`);
      const result = this.#context.step({ type: "propose", data });
      // A refusal leaves them queued: leadership may be on its way elsewhere, or the log may drain.
      if (!result.ok) return;
      this.#queued = count === this.#queued.length ? [] : this.#queued.slice(count);
      this.#context.observeBatch(count);
      // What was proposed here before was cut by another leader. Some member may still hold it, and
      // lead later: only an applied entry of another term proves that it took no effect.
      const cut = this.#pending.get(result.index);
      for (const proposal of cut?.proposals ?? []) proposal.end(overtaken);
      const sinceMs = this.#context.clock.nowMs();
      this.#pending.set(result.index, { term: result.term, batch, proposals, sinceMs });
    }
  }

  /** Decided here, before the log: what is in the log is applied by every member alike. */
  #refuseBlocked(): void {
    const blocked = this.#context.blocked();
    if (blocked === undefined) return;
    const taken: Proposal[] = [];
    let exceptions = blocked.exceptOne === true ? 1 : 0;
    for (const proposal of this.#queued) {
      const harmless = blocked.growthOnly && !grows(proposal.command.body);
      if (harmless || exceptions-- > 0) taken.push(proposal);
      else proposal.end(notProposed("quota_exceeded", blocked.reason));
    }
    this.#queued = taken;
  }

  /** What other members forwarded goes back to them: they know best where to send it next. */
  #endForwarded(): void {
    if (!this.#queued.some((proposal) => proposal.forwarded)) return;
    const own: Proposal[] = [];
    for (const proposal of this.#queued) {
      if (proposal.forwarded)
        proposal.end(notProposed("not_proposed", "The member asked does not lead any more."));
      else own.push(proposal);
    }
    this.#queued = own;
  }

  #forward(leader: MemberId): void {
    this.#endForwarded();
    while (this.#queued.length > 0) {
      const count = batchLength(this.#queued);
      const proposals = this.#queued.slice(0, count);
      const first = this.#nextNumber;
      const commands = proposals.map((proposal) => proposal.command);
      if (!this.#context.send(leader, { type: "forward", first, commands })) return;
      this.#nextNumber += count;
      this.#queued = this.#queued.slice(count);
      proposals.forEach((proposal, at) => {
        this.#forwarded.set(first + at, { to: leader, proposal });
      });
    }
  }

  /** The batch of an entry of this leader's own term, so that it need not be decoded to be applied. */
  proposedBatch(index: number, term: number): Batch | undefined {
    const pending = this.#pending.get(index);
    return pending?.term === term ? pending.batch : undefined;
  }

  /** An entry was applied. Whoever waits at its index learns the end, also when another's entry stands there. */
  applied(index: number, term: number, outcome: ApplyOutcome): void {
    const pending = this.#pending.get(index);
    if (pending === undefined) return;
    this.#pending.delete(index);
    if (pending.term !== term || outcome.type !== "batch") {
      for (const proposal of pending.proposals) proposal.end(lost);
      return;
    }
    const { proposals, sinceMs } = pending;
    const tookMs = this.#context.clock.nowMs() - sinceMs;
    this.#gathering.answered(proposals.length, tookMs, this.#queued.length);
    proposals.forEach((proposal, at) => {
      const result = present(outcome.results[at], `the result of command ${at} of entry ${index}`);
      proposal.end({ status: "done", result });
    });
  }

  /** Answers of the leader to forwarded commands. What was not proposed is sent again while there is time. */
  answered(outcomes: readonly (readonly [number, ForwardOutcome])[]): void {
    for (const [number, outcome] of outcomes) {
      const forwarded = this.#forwarded.get(number);
      if (forwarded === undefined) continue;
      this.#forwarded.delete(number);
      if (outcome.status === "not-proposed" && !isFinal(outcome.code) && !this.#closed) {
        this.#queued.push(forwarded.proposal);
      } else {
        forwarded.proposal.end(outcome);
      }
    }
  }

  /** The connection broke: what was sent over it may or may not have been proposed. */
  disconnected(member: MemberId): void {
    for (const [number, { to, proposal }] of this.#forwarded) {
      if (to !== member) continue;
      this.#forwarded.delete(number);
      proposal.end(
        unknown("The connection to the leader broke before it answered; the write may have taken effect."),
      );
    }
  }

  /** A snapshot replaced the log up to `index`: what waited there is not told any more. */
  skipped(index: number): void {
    for (const [at, { proposals }] of this.#pending) {
      if (at > index) continue;
      this.#pending.delete(at);
      for (const proposal of proposals) {
        proposal.end(unknown("This member was overtaken by a snapshot; the write may have taken effect."));
      }
    }
  }

  /** Ends what waited too long. Called from time to time, not for each proposal. */
  sweep(): void {
    const nowMs = this.#context.clock.nowMs();
    this.#sweepQueued(nowMs);
    const late = unknown("The write was not confirmed in time; it may still take effect.");
    for (const [index, { proposals }] of this.#pending) {
      if (proposals.some((proposal) => proposal.deadlineMs > nowMs)) continue;
      this.#pending.delete(index);
      for (const proposal of proposals) proposal.end(late);
    }
    for (const [number, { proposal }] of this.#forwarded) {
      if (proposal.deadlineMs > nowMs) continue;
      this.#forwarded.delete(number);
      proposal.end(late);
    }
  }

  #sweepQueued(nowMs: number): void {
    const patience = this.#context.requestTimeoutMs - this.#context.leaderWaitMs;
    const expired = (proposal: Proposal): boolean => proposal.deadlineMs - patience <= nowMs;
    if (!this.#queued.some(expired)) return;
    const waiting = this.#queued.filter((proposal) => !expired(proposal));
    const late = this.#queued.filter(expired);
    this.#queued = waiting;
    const code = this.#context.leader() === nobody ? "no_leader" : "not_proposed";
    const refusal = notProposed(code, "No leader accepted the write in time; nothing was proposed.");
    for (const proposal of late) proposal.end(refusal);
  }

  /** Takes nothing in any more; resolves when everything under way has ended, or after `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    this.#closed = true;
    const until = this.#context.clock.nowMs() + graceMs;
    while (this.#count > 0 && this.#context.clock.nowMs() < until) {
      await new Promise<void>((resolve) => {
        this.#context.clock.after(5, resolve);
      });
    }
    for (const proposal of this.#queued.splice(0)) {
      proposal.end(notProposed("shutting_down", "This member shut down before the write was proposed."));
    }
    const lost = unknown("This member shut down before the write was confirmed; it may take effect.");
    for (const { proposals } of this.#pending.values()) for (const proposal of proposals) proposal.end(lost);
    for (const { proposal } of this.#forwarded.values()) proposal.end(lost);
    this.#pending.clear();
    this.#forwarded.clear();
  }
}

const lost = notProposed(
  "not_proposed",
  "Leadership changed before the write was replicated; it took no effect.",
);
const overtaken = unknown(
  "Leadership changed twice before the write was replicated; it may still take effect.",
);

/** The leader would say the same again: its client shall know at once. */
function isFinal(code: ErrorCode): boolean {
  return code === "overloaded" || code === "quota_exceeded";
}

/** How many of the first proposals fit one log entry; at least one. */
function batchLength(proposals: readonly Proposal[]): number {
  let bytes = 0;
  let count = 0;
  for (const proposal of proposals) {
    bytes += proposal.bytes;
    if (count > 0 && (bytes > limits.batchBytesMax || count >= limits.batchCommandsMax)) break;
    count++;
  }
  return count;
}
