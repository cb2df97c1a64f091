import { getLogger } from "@logtape/logtape";
import type { Clock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import type { MemberChange, MemberRecord } from "../base/members.ts";
import type { ApplyOutcome } from "../kv/state-machine.ts";
import type { Membership } from "../kv/types.ts";
import type { MemberId, RaftEvent, RaftStatus, StepResult } from "../raft/types.ts";
import { encodeMembershipCommand } from "../wire/membership.ts";

const log = getLogger(["coracle", "membership"]);

/** A refused proposal of a change is tried again after this long, while another change is under way. */
const retryMs = 50;
/** A learner that lags no more entries than this is caught up: the next round trip closes the gap. */
const caughtUpEntries = 64;

export interface MembershipContext {
  readonly self: MemberId;
  readonly clock: Clock;
  step(event: RaftEvent): StepResult;
  raft(): RaftStatus;
  membership(): Membership;
  /** Whether a connection to this member is open: its process runs. */
  connected(member: MemberId): boolean;
  newId(): MemberId;
  readonly requestTimeoutMs: number;
  readonly removeDeadAfterMs: number | undefined;
}

export interface JoinRequest {
  readonly name: string;
  readonly peerAddress: string;
  readonly clientUrls: readonly string[];
  readonly grpcUrls: readonly string[];
}

export interface JoinAnswer {
  readonly clusterId: number;
  readonly memberId: MemberId;
  readonly members: readonly MemberRecord[];
}

interface Waiting {
  readonly term: number;
  resolve(): void;
  reject(error: CoracleError): void;
}

/** Changes of membership, on the leader: one at a time (thesis §4.1), never at the cost of the quorum. */
export class MembershipChanges {
  readonly #context: MembershipContext;
  readonly #waiting = new Map<number, Waiting>();
  /** Since when a voter has been unreachable, by this leader's clock. */
  readonly #deadSinceMs = new Map<MemberId, number>();
  #automatic: Promise<void> | undefined;

  constructor(context: MembershipContext) {
    this.#context = context;
  }

  /** The id that a new member got, and whom it will find. The same name again replaces a dead member. */
  async join(request: JoinRequest): Promise<JoinAnswer> {
    const holder = this.#context.membership().members.find(({ name }) => name === request.name);
    if (holder !== undefined) {
      if (holder.id === this.#context.self || this.#context.connected(holder.id)) {
        throw new CoracleError(
          "name_taken",
          `The name "${request.name}" belongs to a running member at ${holder.peerAddress}; choose another --name, or stop that member first.`,
        );
      }
      log.warn("A new member replaces the dead member {name} ({id}).", { name: holder.name, id: holder.id });
      await this.remove(holder.id);
    }
    const memberId = this.#context.newId();
    await this.#change({ op: "add-learner", member: { id: memberId, ...request, learner: true } });
    const { clusterId, members } = this.#context.membership();
    return { clusterId, memberId, members };
  }

  async remove(id: MemberId): Promise<void> {
    const member = this.#known(id);
    if (!member.learner) this.#requireQuorumWithout(id, member.name);
    await this.#change({ op: "remove", id });
  }

  async promote(id: MemberId): Promise<void> {
    const member = this.#known(id);
    if (!member.learner) throw new CoracleError("invalid_argument", `Member ${member.name} votes already.`);
    if (!this.#caughtUp(id)) {
      throw new CoracleError(
        "learner_not_ready",
        `Learner ${member.name} has not caught up with the log yet.`,
      );
    }
    await this.#change({ op: "promote", id });
  }

  async update(member: MemberRecord): Promise<void> {
    const known = this.#known(member.id);
    await this.#change({ op: "update", member: { ...member, learner: known.learner } });
  }

  applied(index: number, term: number, outcome: ApplyOutcome): void {
    const waiting = this.#waiting.get(index);
    if (waiting === undefined) return;
    this.#waiting.delete(index);
    if (waiting.term !== term || outcome.type !== "membership") {
      waiting.reject(
        new CoracleError("not_proposed", "Leadership changed before the change was replicated."),
      );
    } else if (outcome.refused !== undefined) {
      waiting.reject(new CoracleError(outcome.refused.code, outcome.refused.message));
    } else {
      waiting.resolve();
    }
  }

  /** Promotes learners that caught up and, where allowed, removes voters that are long dead. Called about once a second. */
  autopilot(): void {
    const status = this.#context.raft();
    if (status.role !== "leader") {
      this.#deadSinceMs.clear();
      return;
    }
    if (this.#automatic !== undefined) return;
    const work = this.#promotable() ?? this.#removable(status);
    if (work === undefined) return;
    this.#automatic = work()
      .catch((error: unknown) => {
        log.warn("An automatic change of membership did not happen: {error}", { error });
      })
      .finally(() => {
        this.#automatic = undefined;
      });
  }

  #promotable(): (() => Promise<void>) | undefined {
    const learner = this.#context
      .membership()
      .members.find((member) => member.learner && this.#caughtUp(member.id));
    if (learner === undefined) return undefined;
    return async () => {
      await this.#change({ op: "promote", id: learner.id });
      log.info("Promoted {name} ({id}): it has caught up and votes from now on.", {
        name: learner.name,
        id: learner.id,
      });
    };
  }

  #removable(status: RaftStatus): (() => Promise<void>) | undefined {
    const patienceMs = this.#context.removeDeadAfterMs;
    if (patienceMs === undefined) return undefined;
    const nowMs = this.#context.clock.nowMs();
    for (const { member, active, learner } of status.progress) {
      if (active || learner) {
        this.#deadSinceMs.delete(member);
        continue;
      }
      const sinceMs = this.#deadSinceMs.get(member) ?? nowMs;
      this.#deadSinceMs.set(member, sinceMs);
      if (nowMs - sinceMs < patienceMs) continue;
      return async () => {
        log.warn("Removing member {id}: unreachable for {seconds} s.", {
          id: member,
          seconds: Math.round((nowMs - sinceMs) / 1000),
        });
        await this.remove(member);
      };
    }
    return undefined;
  }

  #known(id: MemberId): MemberRecord {
    const member = this.#context.membership().members.find((candidate) => candidate.id === id);
    if (member === undefined) throw new CoracleError("member_not_found", `There is no member with id ${id}.`);
    return member;
  }

  #caughtUp(id: MemberId): boolean {
    const { lastIndex, progress } = this.#context.raft();
    const peer = progress.find(({ member }) => member === id);
    return (
      peer?.active === true &&
      peer.state !== "snapshot" &&
      peer.match > 0 &&
      peer.match + caughtUpEntries >= lastIndex
    );
  }

  /** Refuses a removal after which the members known to be alive are no majority of those left. */
  #requireQuorumWithout(id: MemberId, name: string): void {
    const { conf, progress } = this.#context.raft();
    const left = conf.voters.filter((voter) => voter !== id);
    // A new leader takes everybody for active at first; an open connection is proof.
    const reachable = (voter: MemberId): boolean =>
      this.#context.connected(voter) && progress.some((peer) => peer.member === voter && peer.active);
    const alive = left.filter((voter) => voter === this.#context.self || reachable(voter));
    if (left.length > 0 && alive.length < Math.floor(left.length / 2) + 1) {
      throw new CoracleError(
        "quorum_at_risk",
        `Without ${name} only ${alive.length} of ${left.length} voters are reachable, which is no majority; bring a member back first.`,
      );
    }
  }

  async #change(change: MemberChange): Promise<void> {
    const data = encodeMembershipCommand({ change });
    const untilMs = this.#context.clock.nowMs() + this.#context.requestTimeoutMs;
    for (;;) {
      const result = this.#context.step({ type: "propose-conf-change", data });
      if (result.ok) return this.#end(result.index, result.term, untilMs);
      if (result.reason === "not-leader" || result.reason === "transferring") {
        throw new CoracleError("not_proposed", "The member asked does not lead; nothing was changed.");
      }
      if (this.#context.clock.nowMs() >= untilMs) {
        throw new CoracleError(
          "membership_change_in_progress",
          "Another change of membership is under way; try again.",
        );
      }
      await new Promise<void>((resolve) => {
        this.#context.clock.after(retryMs, resolve);
      });
    }
  }

  #end(index: number, term: number, untilMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#context.clock.after(untilMs - this.#context.clock.nowMs(), () => {
        this.#waiting.delete(index);
        reject(
          new CoracleError(
            "outcome_unknown",
            "The change of membership was proposed, and not confirmed in time.",
          ),
        );
      });
      // Cut by another leader, which proves nothing: some member may hold it still, and lead later.
      this.#waiting
        .get(index)
        ?.reject(new CoracleError("outcome_unknown", "Leadership changed before the change was replicated."));
      this.#waiting.set(index, {
        term,
        resolve: () => {
          timer.cancel();
          resolve();
        },
        reject: (error) => {
          timer.cancel();
          reject(error);
        },
      });
    });
  }
}
