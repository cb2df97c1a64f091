import { getLogger } from "@logtape/logtape";
import * as v from "valibot";
import type { Clock } from "../base/clock.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import type { MemberRecord } from "../base/members.ts";
import type { Random } from "../base/prng.ts";
import type { Membership } from "../kv/types.ts";
import type { PeerEndpoint, PeerMessage } from "../peer/types.ts";
import { type MemberId, nobody, type RaftEvent, type RaftStatus, type StepResult } from "../raft/types.ts";
import {
  type AdminRequest,
  adminSchema,
  introductionSchema,
  joinAnswerSchema,
  parsePeerBody,
  type StatusAnswer,
  statusAnswerSchema,
  transferAnswerSchema,
} from "./admin.ts";
import type { JoinAnswer, JoinRequest, MembershipChanges } from "./membership.ts";
import type { NodeFigures } from "./metrics.ts";
import type { BuildInfo } from "./options.ts";
import type { Blocked } from "./part.ts";
import { PeerRequests, type RequestHandler } from "./requests.ts";

const log = getLogger(["coracle", "membership"]);

/** A status question to a member that does not answer must not hold up the others for long. */
const statusTimeoutMs = 1000;
/** While no leader is known, or leadership moves, an administrative request is tried again this often. */
const retryMs = 50;

export interface ClusterContext {
  readonly self: MemberId;
  readonly clock: Clock;
  readonly random: Random;
  leader(): MemberId;
  step(event: RaftEvent): StepResult;
  send(to: MemberId, message: PeerMessage): boolean;
  connected(member: MemberId): boolean;
  /** Why a member is not connected. */
  trouble(member: MemberId): string | undefined;
  readonly membership: MembershipChanges;
  view(): Membership;
  raft(): RaftStatus;
  figures(): NodeFigures;
  readonly build: BuildInfo;
  stopping(): boolean;
  introduce(member: PeerEndpoint): void;
  readonly peerAddress: string | undefined;
  /** Who answers questions that are not about the cluster itself. */
  handler(name: string): RequestHandler | undefined;
  blocked(): Blocked | undefined;
  readonly requestTimeoutMs: number;
  /** How long a request waits for a leader while there is none. */
  readonly leaderWaitMs: number;
}

/** What one member answers about itself; absent when it did not answer. */
export type MemberView = { readonly member: MemberRecord; readonly status: StatusAnswer | undefined };

/** The cluster as operators see it. What only the leader can do is sent there, from whichever member is asked. */
export class Cluster {
  readonly #context: ClusterContext;
  readonly #requests: PeerRequests;
  readonly #handler: (name: string) => RequestHandler | undefined;
  readonly #startedMs: number;

  constructor(context: ClusterContext) {
    this.#context = context;
    this.#startedMs = context.clock.nowMs();
    const own = new Map<string, RequestHandler>([
      ["introduce", async (body, from) => this.#introduced(body, from)],
      ["status", async () => this.#ownStatus()],
      ["admin", (body, from) => this.#lead(parsePeerBody(adminSchema, body, from))],
    ]);
    this.#handler = (name) => own.get(name) ?? context.handler(name);
    this.#requests = new PeerRequests({
      clock: context.clock,
      random: context.random,
      send: (to, message) => context.send(to, message),
      handler: this.#handler,
    });
  }

  onMessage(from: MemberId, message: Parameters<PeerRequests["onMessage"]>[1]): void {
    this.#requests.onMessage(from, message);
  }

  disconnected(member: MemberId): void {
    this.#requests.disconnected(member);
  }

  /** Tells a member that was just connected where this one can be reached: it may not know it yet. */
  introduceTo(member: MemberId): void {
    const own = this.members().find(({ id }) => id === this.#context.self);
    if (own === undefined) return;
    const body = { name: own.name, address: this.#context.peerAddress ?? own.peerAddress };
    this.#requests.ask(member, "introduce", body, this.#context.requestTimeoutMs).catch((error: unknown) => {
      log.debug("Member {member} did not take the introduction: {reason}", {
        member,
        reason: messageOf(error),
      });
    });
  }

  #introduced(body: unknown, from: MemberId): null {
    this.#context.introduce({ id: from, ...parsePeerBody(introductionSchema, body, from) });
    return null;
  }

  members(): readonly MemberRecord[] {
    return this.#context.view().members;
  }

  leader(): MemberRecord | undefined {
    const leader = this.#context.leader();
    return this.members().find(({ id }) => id === leader);
  }

  /** Asks every member, side by side. */
  status(): Promise<readonly MemberView[]> {
    return Promise.all(
      this.members().map(async (member): Promise<MemberView> => {
        if (member.id === this.#context.self) return { member, status: this.#ownStatus() };
        try {
          const body = await this.#requests.ask(member.id, "status", null, statusTimeoutMs);
          return { member, status: parsePeerBody(statusAnswerSchema, body, member.id) };
        } catch {
          return { member, status: undefined };
        }
      }),
    );
  }

  async join(request: JoinRequest): Promise<JoinAnswer> {
    const answer = await this.#admin({ op: "join", ...copyJoin(request) });
    return v.parse(joinAnswerSchema, answer);
  }

  async removeMember(id: MemberId): Promise<void> {
    await this.#admin({ op: "remove", id });
  }

  async promoteMember(id: MemberId): Promise<void> {
    await this.#admin({ op: "promote", id });
  }

  async updateMember(member: MemberRecord): Promise<void> {
    await this.#admin({
      op: "update",
      member: { id: member.id, learner: member.learner, ...copyJoin(member) },
    });
  }

  /** Resolves with the new leader's id. */
  async transferLeadership(to: MemberId | undefined): Promise<MemberId> {
    const answer = await this.#admin(to === undefined ? { op: "transfer" } : { op: "transfer", to });
    return v.parse(transferAnswerSchema, answer).leader;
  }

  /** Before a stop: a cluster that has another voter shall not wait for an election. */
  async handOver(): Promise<void> {
    const { role, conf } = this.#context.raft();
    if (role !== "leader" || conf.voters.length === 1) return;
    try {
      await this.transferLeadership(undefined);
    } catch (error) {
      log.info("Leadership was not handed over: {reason}", { reason: messageOf(error) });
    }
  }

  async leave(): Promise<void> {
    if (this.members().length === 1) {
      throw new CoracleError(
        "quorum_at_risk",
        "This is the cluster's only member; stop it and delete its data folder instead.",
      );
    }
    await this.removeMember(this.#context.self);
  }

  #otherVoters(): number {
    return this.#context.raft().conf.voters.filter((voter) => voter !== this.#context.self).length;
  }

  #admin(request: AdminRequest): Promise<unknown> {
    return this.askLeader("admin", request);
  }

  /**
   * Has the leader do it, wherever it is; what was surely not done is tried again until the deadline,
   * which comes sooner while nobody leads.
   */
  async askLeader(name: string, body: unknown): Promise<unknown> {
    const { clock, requestTimeoutMs, leaderWaitMs, self } = this.#context;
    const startMs = clock.nowMs();
    for (;;) {
      const leader = this.#context.leader();
      const untilMs = startMs + (leader === nobody ? leaderWaitMs : requestTimeoutMs);
      try {
        if (leader === nobody) {
          throw new CoracleError("no_leader", "The cluster has no leader now; nothing was changed.");
        }
        if (leader === self) return await this.#answerSelf(name, body);
        return await this.ask(leader, name, body, requestTimeoutMs);
      } catch (error) {
        const retry =
          error instanceof CoracleError && (error.code === "no_leader" || error.code === "not_proposed");
        if (!retry || clock.nowMs() >= untilMs) throw error;
      }
      await this.#pause(retryMs);
    }
  }

  async #answerSelf(name: string, body: unknown): Promise<unknown> {
    const handler = this.#handler(name);
    if (handler !== undefined) return handler(body, this.#context.self);
    // What answers is gone as soon as the member has stopped.
    throw new CoracleError(
      "shutting_down",
      "This member is shutting down; send the request to another member.",
    );
  }

  /** Has another member answer a question; see `PeerRequests.ask`. */
  ask(member: MemberId, name: string, body: unknown, timeoutMs: number): Promise<unknown> {
    return this.#requests.ask(member, name, body, timeoutMs);
  }

  async #lead(request: AdminRequest): Promise<unknown> {
    switch (request.op) {
      case "join":
        return this.#context.membership.join(request);
      case "remove":
        await this.#remove(request.id);
        return null;
      case "promote":
        await this.#context.membership.promote(request.id);
        return null;
      case "update":
        await this.#context.membership.update(request.member);
        return null;
      case "transfer":
        return { leader: await this.#transfer(request.to) };
    }
  }

  /** A leader that removes itself would lead a cluster that it is no part of: its successor does it. */
  async #remove(id: MemberId): Promise<void> {
    const { self } = this.#context;
    if (id === self && this.#otherVoters() > 0) {
      await this.#transfer(undefined);
      throw new CoracleError("not_proposed", "This member handed leadership over in order to be removed.");
    }
    await this.#context.membership.remove(id);
  }

  async #transfer(to: MemberId | undefined): Promise<MemberId> {
    const { self } = this.#context;
    const status = this.#context.raft();
    if (status.role !== "leader") throw new CoracleError("not_proposed", "The member asked does not lead.");
    if (to === self) return self;
    const target = to ?? this.#bestVoter(status);
    if (target === undefined) {
      throw new CoracleError(
        "bad_transferee",
        "No other voter is reachable that could take over leadership.",
      );
    }
    if (!status.conf.voters.includes(target)) {
      throw new CoracleError(
        "bad_transferee",
        `Member ${target} is no voter of this cluster; leadership stays here.`,
      );
    }
    const result = this.#context.step({ type: "transfer", to: target });
    if (!result.ok && result.reason !== "transferring") {
      throw new CoracleError("not_proposed", "Leadership could not be handed over now; try again.");
    }
    return this.#transferred(status.term);
  }

  /** The reachable voter with the longest log. */
  #bestVoter(status: RaftStatus): MemberId | undefined {
    let best: RaftStatus["progress"][number] | undefined;
    for (const peer of status.progress) {
      if (peer.learner || !peer.active || !this.#context.connected(peer.member)) continue;
      if (best === undefined || peer.match > best.match) best = peer;
    }
    return best?.member;
  }

  async #transferred(oldTerm: number): Promise<MemberId> {
    const untilMs = this.#context.clock.nowMs() + this.#context.requestTimeoutMs;
    for (;;) {
      await this.#pause(5);
      const { term, leader, transferee, conf } = this.#context.raft();
      if (this.#context.clock.nowMs() >= untilMs) {
        throw new CoracleError("outcome_unknown", "Leadership was given up, and no new leader is known yet.");
      }
      if (term > oldTerm && leader !== nobody) return leader;
      // As when all members stop at once: nobody is left that could lead, or tell who does.
      if (!conf.voters.some((voter) => voter !== this.#context.self && this.#context.connected(voter))) {
        throw new CoracleError("outcome_unknown", "No other voter is reachable any more.");
      }
      if (term === oldTerm && transferee === nobody) {
        throw new CoracleError(
          "not_proposed",
          "The other member did not take over leadership in time; it stays here.",
        );
      }
    }
  }

  #ownStatus(): StatusAnswer {
    const { ready, reason } = this.readiness();
    const trouble = ready ? this.full() : reason;
    const { role, term, leader, conf } = this.#context.raft();
    const figures = this.#context.figures();
    return {
      role: role === "follower" && conf.learners.includes(this.#context.self) ? "learner" : role,
      term,
      leaderId: leader,
      commitIndex: figures.commitIndex,
      appliedIndex: figures.appliedIndex,
      revision: figures.revision,
      storeBytes: figures.storeBytes,
      logEntries: figures.logEntries,
      logBytes: figures.logBytes,
      version: this.#context.build.version,
      uptimeSeconds: Math.round((this.#context.clock.nowMs() - this.#startedMs) / 1000),
      ...(trouble === undefined ? {} : { trouble }),
    };
  }

  /** Whether requests that need the cluster can be served from here, and if not, why. */
  readiness(): { readonly ready: boolean; readonly reason: string } {
    if (this.#context.stopping()) return { ready: false, reason: "this member is shutting down" };
    if (!this.members().some(({ id }) => id === this.#context.self)) {
      return { ready: false, reason: "this member waits for the cluster's data" };
    }
    if (this.#context.leader() === nobody) return { ready: false, reason: this.#whyNoLeader() };
    const { commit, applied } = this.#context.raft();
    if (applied === 0) return { ready: false, reason: "this member waits for a snapshot" };
    if (commit - applied > 1000)
      return { ready: false, reason: `${commit - applied} entries are still to be applied` };
    const unready = this.#context.blocked()?.unready;
    if (unready !== undefined) return { ready: false, reason: unready };
    return { ready: true, reason: "" };
  }

  /** With what keeps this member from others: else a join token that differs shows in the log alone. */
  #whyNoLeader(): string {
    const troubles = this.members().flatMap(({ id, name }) => {
      const trouble = this.#context.trouble(id);
      return trouble === undefined ? [] : [`${name}: ${trouble}`];
    });
    return ["no leader is known", ...troubles].join("; ");
  }

  /** Why writes that grow the store cannot be taken with this member's disk and quota. */
  full(): string | undefined {
    return this.#context.blocked()?.reason;
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      this.#context.clock.after(milliseconds, resolve);
    });
  }
}

function copyJoin(request: JoinRequest): {
  name: string;
  peerAddress: string;
  clientUrls: string[];
  grpcUrls: string[];
} {
  const { name, peerAddress, clientUrls, grpcUrls } = request;
  return { name, peerAddress, clientUrls: [...clientUrls], grpcUrls: [...grpcUrls] };
}
