import { getLogger } from "@logtape/logtape";
import type { Timer } from "../base/clock.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import type { LeaseCommand, LeaseId } from "../kv/types.ts";
import { LeaseDeadlines, type LeaseEntry } from "./lease-deadlines.ts";
import { type LeaseMetrics, noLeaseMetrics } from "./lease-metrics.ts";
import type { NodeAccess, NodePart } from "./part.ts";

const log = getLogger(["coracle", "lease"]);

export interface LessorOptions {
  readonly metrics?: LeaseMetrics;
  /** How often it is looked at each lease whether what is left of it has to be recorded. */
  readonly checkpointMs?: number;
  /** The state cannot be read: the member must end. */
  readonly onFatal?: (error: unknown) => void;
}

/** What is left of a lease is recorded about this often, as in etcd. */
const checkpointMsDefault = 5 * 60 * 1000;
/** Leases that one command records. */
const checkpointLeasesMax = 1000;
/** Leases are ended in portions, 1,000 a second at most, so that a flood of them delays nothing else. */
const portionLeases = 100;
const portionMs = 100;
/** Revocations under way at most. */
const revokingMax = 500;
/** What could not be proposed is tried again after this long. */
const retryMs = 500;
/** Leases that are read in one turn when this member begins to lead. */
const loadLeases = 1000;

/**
 * Keeps the deadlines of leases while this member leads, and ends those whose time is over.
 *
 * What it promises (thesis §6.3 on leases by clocks, and DESIGN.md):
 * - a lease is ended only by a leader that has proved, after the deadline, that it still leads;
 * - a renewal is confirmed only by a leader that has proved, after it was asked, that it leads, and
 *   never while the lease's revocation is on its way;
 * - the next leader gives no lease less time than any client was promised: it begins with what the log
 *   has recorded, and less than the whole TTL is recorded only of leases that were not renewed since.
 */
export class Lessor implements NodePart {
  readonly #node: NodeAccess;
  readonly #metrics: LeaseMetrics;
  readonly #checkpointMs: number;
  readonly #onFatal: (error: unknown) => void;
  readonly #deadlines = new LeaseDeadlines();
  /** The term in which this member leads. */
  #term: number | undefined;
  #timer: { readonly timer: Timer; readonly atMs: number } | undefined;
  /** A portion is being ended, or the pause after it goes on. */
  #ending = false;
  #revoking = 0;

  constructor(node: NodeAccess, options: LessorOptions = {}) {
    this.#node = node;
    this.#metrics = options.metrics ?? noLeaseMetrics;
    this.#checkpointMs = options.checkpointMs ?? checkpointMsDefault;
    this.#onFatal =
      options.onFatal ??
      ((error) => {
        throw error;
      });
  }

  leading(term: number | undefined): void {
    this.#forget();
    this.#term = term;
    this.#node.state().leases.record(term !== undefined);
    if (term !== undefined) this.#load(term, undefined, this.#node.clock.nowMs());
  }

  installed(): void {
    this.leading(this.#term);
  }

  applied(): void {
    if (this.#term === undefined) return;
    const { leases } = this.#node.state();
    for (const { id, granted } of leases.takeChanges()) {
      if (granted) this.#lookUp(id);
      else this.#deadlines.remove(id);
    }
  }

  duty(): void {
    if (this.#term !== undefined) this.#checkpoint(this.#term);
  }

  close(): void {
    this.#term = undefined;
    this.#forget();
  }

  #forget(): void {
    this.#deadlines.clear();
    this.#timer?.timer.cancel();
    this.#timer = undefined;
    this.#revoking = 0;
  }

  /** Leases of the leader before begin anew, with an election timeout on top: some time went by without a leader. */
  #load(term: number, after: LeaseId | undefined, sinceMs: number): void {
    if (!this.#leads(term)) return;
    const { clock, options } = this.#node;
    const leases = this.#node.state().leases.list(after, loadLeases);
    for (const lease of leases)
      this.#deadlines.add(lease, sinceMs + lease.remainingSeconds * 1000 + options.electionMs);
    this.#setTimer();
    const last = leases.at(-1);
    if (last === undefined) return;
    clock.endOfTurn(() => {
      try {
        this.#load(term, last.id, sinceMs);
      } catch (error) {
        this.#onFatal(error);
      }
    });
  }

  /** The entry of a lease; one that is not kept yet begins now. */
  #lookUp(id: LeaseId): LeaseEntry | undefined {
    const known = this.#deadlines.get(id);
    if (known !== undefined) return known;
    const lease = this.#node.state().leases.get(id);
    if (lease === undefined) return undefined;
    const entry = this.#deadlines.add(lease, this.#node.clock.nowMs() + lease.remainingSeconds * 1000);
    this.#setTimer();
    return entry;
  }

  // What clients ask of the leader.

  /** Resolves with the term in which this member was found to lead after it was asked. */
  async #proveLeading(): Promise<number> {
    const term = this.#term;
    if (term === undefined) throw notLeading();
    await this.#node.current();
    if (!this.#leads(term)) throw notLeading();
    return term;
  }

  #leads(term: number): boolean {
    const status = this.#node.raft();
    return this.#term === term && status.role === "leader" && status.term === term;
  }

  /** Renews leases: the TTL of each in seconds, 0 where there is no such lease (any more). */
  async renew(ids: readonly LeaseId[]): Promise<number[]> {
    const term = await this.#proveLeading();
    const nowMs = this.#node.clock.nowMs();
    const restored: LeaseEntry[] = [];
    const answers = ids.map((id) => {
      const entry = this.#lookUp(id);
      if (entry === undefined || entry.revoking) return 0;
      entry.deadlineMs = Math.max(entry.deadlineMs, nowMs + entry.ttlSeconds * 1000);
      if (entry.recordedSeconds < entry.ttlSeconds) restored.push(entry);
      return entry.ttlSeconds;
    });
    if (restored.length > 0) await this.#restore(term, restored);
    this.#metrics.renewed(ids.length);
    return answers;
  }

  /** Records that leases have all of their time again: before that, the next leader would give them less. */
  async #restore(term: number, entries: readonly LeaseEntry[]): Promise<void> {
    for (const entry of entries) entry.restoring++;
    try {
      for (let at = 0; at < entries.length; at += checkpointLeasesMax) {
        const leases = entries
          .slice(at, at + checkpointLeasesMax)
          .map(({ id, ttlSeconds }) => ({ id, remainingSeconds: ttlSeconds }));
        await this.#proposeHere({ type: "lease-checkpoint", term, leases });
      }
      for (const entry of entries) entry.recordedSeconds = entry.ttlSeconds;
    } finally {
      for (const entry of entries) entry.restoring--;
    }
  }

  /** What is left of a lease, and its TTL. */
  async left(id: LeaseId): Promise<{ ttlSeconds: number; remainingMs: number } | undefined> {
    await this.#proveLeading();
    const entry = this.#lookUp(id);
    if (entry === undefined || entry.revoking) return undefined;
    const remainingMs = Math.max(0, entry.deadlineMs - this.#node.clock.nowMs());
    return { ttlSeconds: entry.ttlSeconds, remainingMs };
  }

  // The end of leases.

  #setTimer(): void {
    const next = this.#deadlines.nextMs;
    if (next === undefined || this.#ending || this.#term === undefined) return;
    if (this.#timer !== undefined && this.#timer.atMs <= next) return;
    this.#timer?.timer.cancel();
    const { clock } = this.#node;
    const timer = clock.after(Math.max(0, next - clock.nowMs()), () => {
      this.#timer = undefined;
      void this.#end();
    });
    this.#timer = { timer, atMs: next };
  }

  /** Ends a portion of what is due, then waits: for the next portion, or for the next deadline. */
  async #end(): Promise<void> {
    const term = this.#term;
    if (term === undefined || this.#ending) return;
    this.#ending = true;
    const { clock } = this.#node;
    const count = Math.min(portionLeases, revokingMax - this.#revoking);
    const due = count > 0 ? this.#deadlines.takeDue(clock.nowMs(), count) : [];
    if (due.length > 0) await this.#revoke(term, due);
    const again = (): void => {
      this.#ending = false;
      this.#setTimer();
    };
    if (due.length > 0 || count <= 0) clock.after(portionMs, again);
    else again();
  }

  async #revoke(term: number, due: readonly LeaseEntry[]): Promise<void> {
    const { clock } = this.#node;
    let leads = false;
    try {
      await this.#node.current();
      // Renewals that were proved in the same round come first, though they may have come in later.
      await new Promise<void>((resolve) => clock.endOfTurn(resolve));
      leads = this.#leads(term);
    } catch (error) {
      log.debug("Leases that are over cannot be ended now: {reason}", { reason: messageOf(error) });
    }
    const nowMs = clock.nowMs();
    for (const entry of due) {
      if (!leads) this.#deadlines.putBack(entry, nowMs + retryMs);
      // Renewed while leadership was being proved: the client was early enough.
      else if (entry.deadlineMs > nowMs) this.#deadlines.putBack(entry, nowMs);
      else if (this.#deadlines.get(entry.id) === entry) this.#revokeOne(term, entry);
    }
  }

  #revokeOne(term: number, entry: LeaseEntry): void {
    entry.revoking = true;
    this.#revoking++;
    this.#proposeHere({ type: "lease-revoke", id: entry.id, term }).then(
      () => {
        this.#metrics.expired(1);
        if (this.#term === term) this.#revoking--;
      },
      (error: unknown) => {
        if (this.#term !== term) return;
        this.#revoking--;
        this.#notRevoked(entry, error);
      },
    );
  }

  #notRevoked(entry: LeaseEntry, error: unknown): void {
    const code = error instanceof CoracleError ? error.code : "internal";
    // It stands in this leader's log, which loses nothing as long as it leads: it will be applied.
    if (code === "outcome_unknown") return;
    if (code === "lease_not_found") {
      if (this.#deadlines.get(entry.id) === entry) this.#deadlines.remove(entry.id);
      return;
    }
    log.warn("Lease {lease} is over and could not be ended, it is tried again: {reason}", {
      lease: `${entry.id}`,
      reason: messageOf(error),
    });
    this.#deadlines.putBack(entry, this.#node.clock.nowMs() + retryMs);
    this.#setTimer();
  }

  // What is left is recorded now and then.

  /** Looks at a few leases each second, so that each comes up once in the period. */
  #checkpoint(term: number): void {
    const { clock } = this.#node;
    const share = Math.ceil((this.#deadlines.size * 1000) / this.#checkpointMs);
    const leases: { id: LeaseId; remainingSeconds: number }[] = [];
    for (const entry of this.#deadlines.nextOfRound(Math.min(share, checkpointLeasesMax))) {
      const remainingMs = entry.deadlineMs - clock.nowMs();
      const goneMs = entry.recordedSeconds * 1000 - remainingMs;
      if (entry.restoring > 0 || entry.revoking || remainingMs <= 0 || goneMs < this.#checkpointMs / 2)
        continue;
      const remainingSeconds = Math.ceil(remainingMs / 1000);
      // At once: from here on the log may have it, whatever becomes of the command.
      entry.recordedSeconds = remainingSeconds;
      leases.push({ id: entry.id, remainingSeconds });
    }
    if (leases.length === 0) return;
    this.#proposeHere({ type: "lease-checkpoint", term, leases }).catch((error: unknown) => {
      log.debug("What is left of {count} leases was not recorded: {reason}", {
        count: leases.length,
        reason: messageOf(error),
      });
    });
  }

  async #proposeHere(body: LeaseCommand): Promise<void> {
    await this.#node.proposeHere({ body });
  }
}

function notLeading(): CoracleError {
  return new CoracleError("not_proposed", "The member asked does not lead, or does not yet.");
}
