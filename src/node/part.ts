import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/prng.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import type { Command, CommandResult } from "../kv/types.ts";
import type { MemberId, RaftStatus } from "../raft/types.ts";
import type { NodeOptions } from "./options.ts";
import type { RequestHandler } from "./requests.ts";

/** Commands that are refused as `quota_exceeded` before anything is proposed. */
export interface Blocked {
  /** A sentence for the client: what is wrong, and what to do. */
  readonly reason: string;
  /** Only commands that make the store grow: deletes and compactions are still taken. */
  readonly growthOnly: boolean;
  /** One command that makes the store grow is taken all the same. */
  readonly exceptOne?: boolean;
  /** Set when this member should get no requests at all: why. */
  readonly unready?: string;
}

/**
 * A duty of a member that stands beside replication: leases, watches, compaction. It is called at
 * the moments below and uses the member through `NodeAccess`; the node knows nothing else of it.
 * What a part throws stops the member, except from `requests`.
 */
export interface NodePart {
  /** Commands were applied: the state may have changed. Once a turn, before their proposers hear of it. */
  applied?(): void;
  /** A snapshot took the place of the state. */
  installed?(): void;
  /**
   * The term in which this member leads, told once it has applied an entry of that term (so all that
   * was committed before); `undefined` when it leads no longer.
   */
  leading?(term: number | undefined): void;
  /** Once a second. */
  duty?(): void;
  /** Which commands the leader must not take now, and why. Asked before commands go into the log. */
  blocked?(): Blocked | undefined;
  /** Questions of other members that this part answers, by name. */
  readonly requests?: ReadonlyMap<string, RequestHandler>;
  /** The member stops: nothing is called after this. */
  close?(): void;
}

/** What a part may use of its member. */
export interface NodeAccess {
  readonly self: MemberId;
  readonly clock: Clock;
  readonly random: Random;
  readonly options: NodeOptions;
  /** To be asked for each time: a snapshot replaces it. */
  state(): StateMachine;
  raft(): RaftStatus;
  /** Why the state cannot be written at the moment. */
  stateTrouble(): string | undefined;
  /**
   * Has something done to this member's state that is not in the log and that nobody can read. False
   * when that cannot be now, or failed: then it is undone.
   */
  maintain(work: (state: StateMachine) => void): boolean;
  /** Proposes through whoever leads. */
  propose(command: Command): Promise<Exclude<CommandResult, { type: "refused" }>>;
  /** Proposes only as the leader: ends as `not_proposed` when this member leads no longer. */
  proposeHere(command: Command): Promise<Exclude<CommandResult, { type: "refused" }>>;
  /** Resolves when a read of this member's state is linearizable; on the leader it proves that it still leads. */
  current(): Promise<void>;
  /**
   * Has the leader answer a question, wherever it is, also when it is this member; asked again for a
   * while when there is no leader, so the answer must be one that may be given twice.
   */
  askLeader(name: string, body: unknown): Promise<unknown>;
  /** Has another member answer a question. */
  ask(member: MemberId, name: string, body: unknown, timeoutMs: number): Promise<unknown>;
}

export type NodePartFactory = (node: NodeAccess) => NodePart;

/** The parts of one member, called together. */
export class Parts {
  readonly #parts: NodePart[] = [];
  #leading: number | undefined;

  add(part: NodePart): void {
    this.#parts.push(part);
    if (this.#leading !== undefined) part.leading?.(this.#leading);
  }

  handler(name: string): RequestHandler | undefined {
    for (const { requests } of this.#parts) {
      const handler = requests?.get(name);
      if (handler !== undefined) return handler;
    }
    return undefined;
  }

  applied(): void {
    for (const part of this.#parts) part.applied?.();
  }

  installed(): void {
    for (const part of this.#parts) part.installed?.();
  }

  /** Tells a change only. */
  leading(term: number | undefined): void {
    if (term === this.#leading) return;
    this.#leading = term;
    for (const part of this.#parts) part.leading?.(term);
  }

  duty(): void {
    for (const part of this.#parts) part.duty?.();
  }

  /** What must be refused now; @param trouble why the state cannot be written. */
  blocked(trouble: string | undefined): Blocked | undefined {
    if (trouble !== undefined) {
      const unready = `this member cannot write its state: ${trouble}`;
      const reason = `The leader cannot write its state (${trouble}); make room on its disk, it goes on by itself.`;
      return { reason, growthOnly: false, unready };
    }
    for (const part of this.#parts) {
      const blocked = part.blocked?.();
      if (blocked !== undefined) return blocked;
    }
    return undefined;
  }

  close(): void {
    for (const part of this.#parts.splice(0)) part.close?.();
  }
}
