import type { MemberRecord } from "../base/members.ts";
import type { Command, CommandResult, RangeOperation, RangeResult } from "../kv/types.ts";

/**
 * What the HTTP and gRPC faces need from a member. `node/` implements it; tests use a fake.
 * Methods throw `CoracleError`; its code tells "not proposed" (`no_leader`, `not_proposed`,
 * `overloaded`, `quota_exceeded`, `shutting_down`), "outcome unknown" (`outcome_unknown`) and
 * "refused" (all others) apart.
 */
export interface Service {
  readonly kv: KvService;
  readonly cluster: ClusterService;
}

export type Consistency =
  | { readonly mode: "linearizable" }
  /** This member's own state, however old; with `maxStaleMs` no older than that. */
  | { readonly mode: "serializable"; readonly maxStaleMs?: number };

export interface KvService {
  /** Proposes a command and resolves when it is applied. A result of type `refused` is thrown instead. */
  propose(command: Command): Promise<Exclude<CommandResult, { type: "refused" }>>;
  range(request: RangeOperation, consistency: Consistency): Promise<RangeResult>;
}

export interface MemberStatus {
  readonly member: MemberRecord;
  /** Whether the asked member could reach it; the fields below are then absent when it could not. */
  readonly reachable: boolean;
  readonly role?: "leader" | "follower" | "candidate" | "pre-candidate" | "learner";
  readonly term?: number;
  readonly leaderId?: number;
  readonly commitIndex?: number;
  readonly appliedIndex?: number;
  readonly revision?: number;
  readonly storeBytes?: number;
  readonly logEntries?: number;
  readonly logBytes?: number;
  readonly version?: string;
  readonly uptimeSeconds?: number;
}

export interface ClusterHead {
  readonly clusterId: number;
  readonly memberId: number;
  readonly memberName: string;
  readonly term: number;
  /** 0 when none is known. */
  readonly leaderId: number;
  readonly revision: number;
  readonly appliedIndex: number;
}

export interface ClusterService {
  /** This member's view, without asking anybody. */
  head(): ClusterHead;
  members(): readonly MemberRecord[];
  leader(): MemberRecord | undefined;
  /** Every member asked, within about a second. */
  status(): Promise<readonly MemberStatus[]>;
  removeMember(id: number): Promise<void>;
  promoteMember(id: number): Promise<void>;
  /** To the given member, or to the most up-to-date voter. Resolves with the new leader. */
  transferLeadership(to?: number): Promise<MemberRecord>;
  /** This member leaves the cluster for good. */
  leave(): Promise<void>;
  /** Healthy enough to serve linearizable requests now: a leader is known and the state is caught up. */
  readiness(): { readonly ready: boolean; readonly reason: string };
}
