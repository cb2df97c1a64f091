import { getLogger } from "@logtape/logtape";
import { assert } from "../base/assert.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { isDiskFull } from "../base/sqlite.ts";
import {
  type AppliedEntry,
  type ApplyOutcome,
  type StateMachine,
  TransactionLost,
} from "../kv/state-machine.ts";
import type { Batch } from "../kv/types.ts";
import { type Entry, entryKind } from "../raft/types.ts";
import { decodeBatch } from "../wire/commands.ts";
import { decodeMembershipCommand } from "../wire/membership.ts";

const log = getLogger(["coracle", "node"]);

/** How long the transaction of applied entries stays open. */
const commitAfterMs = 100;
/** A state machine that cannot write because the disk is full is tried again after this long. */
const fullRetryMs = 500;
/** A read that failed took the open transaction with it: should it fail again in applying, that tells. */
const lostRetryMs = 20;
/** Another connection (an operator's tool, perhaps) holds the lock of state.db for now. */
const busyRetryMs = 20;

export interface ApplierHooks {
  /** The batch of an entry that this member proposed itself, which so needs no decoding. */
  proposedBatch(index: number, term: number): Batch | undefined;
  applied(entries: readonly Entry[], outcomes: readonly ApplyOutcome[]): void;
  /** What was applied last is undone for now: the state is older than it was. */
  undone(): void;
  observeApplyMs(milliseconds: number): void;
  fatal(error: unknown): void;
}

/**
 * Applies committed entries in order. Their transaction stays open over many batches: pages that
 * all of them change are then written once. A crash loses what was open, and the log brings it back.
 */
export class Applier {
  #state: StateMachine;
  readonly #clock: Clock;
  readonly #hooks: ApplierHooks;
  #queue: Entry[] = [];
  /** Applied, but not committed: to be applied again should the transaction fail. */
  #open: Entry[] = [];
  #openBytes = 0;
  #commitTimer: Timer | undefined;
  /** The last entry whose outcome was told; what is applied again is not told twice. */
  #toldIndex: number;
  #pauses = 0;
  /** Set while the state cannot be written; said in answers to writes. */
  #trouble: string | undefined;

  constructor(state: StateMachine, clock: Clock, hooks: ApplierHooks) {
    this.#state = state;
    this.#clock = clock;
    this.#hooks = hooks;
    this.#toldIndex = state.appliedIndex;
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  push(entries: readonly Entry[]): void {
    if (this.#queue.length === 0) this.#queue = entries.slice();
    else for (const entry of entries) this.#queue.push(entry);
    this.#drain();
  }

  /** Holds entries back, for the few milliseconds in which the state's files are worked on. */
  pause(): void {
    this.#pauses++;
  }

  resume(): void {
    assert(this.#pauses > 0, "resume without pause");
    this.#pauses--;
    this.#drain();
  }

  /**
   * Commits what is applied, so that other connections see it and a checkpoint covers it. False when
   * that failed: it is applied again later.
   */
  commit(): boolean {
    this.#commitTimer?.cancel();
    this.#commitTimer = undefined;
    if (!this.#state.uncommitted) return true;
    try {
      this.#state.commit();
    } catch (error) {
      this.#failed(error);
      return false;
    }
    this.#open = [];
    this.#openBytes = 0;
    this.#trouble = undefined;
    return true;
  }

  /**
   * Has something done to the state that is not in the log, in the transaction of what is applied.
   * False when that cannot be now, or failed: then it is undone.
   */
  maintain(work: (state: StateMachine) => void): boolean {
    if (this.#pauses > 0) return false;
    try {
      work(this.#state);
    } catch (error) {
      this.#failed(error);
      return false;
    }
    this.#commitTimer ??= this.#clock.after(commitAfterMs, () => this.commit());
    return true;
  }

  /** Goes on with another state, from a snapshot; what waited and is in it already is dropped. */
  replace(state: StateMachine): void {
    this.#state = state;
    this.#open = [];
    this.#openBytes = 0;
    this.#toldIndex = Math.max(this.#toldIndex, state.appliedIndex);
    this.#queue = this.#queue.filter((entry) => entry.index > state.appliedIndex);
  }

  #drain(): void {
    while (this.#pauses === 0 && this.#queue.length > 0) {
      // A change of membership ends its transaction, so that Raft is told of each step by itself.
      const change = this.#queue.findIndex((entry) => entry.kind === entryKind.confChange);
      const group = change < 0 ? this.#queue : this.#queue.slice(0, change + 1);
      if (!this.#apply(group, change >= 0)) return;
    }
  }

  #apply(entries: readonly Entry[], commit: boolean): boolean {
    const startMs = this.#clock.nowMs();
    let outcomes: readonly ApplyOutcome[];
    try {
      outcomes = this.#state.apply(
        entries.map((entry) => this.#decode(entry)),
        { hold: true },
      );
    } catch (error) {
      this.#failed(error);
      return false;
    }
    this.#queue = entries.length === this.#queue.length ? [] : this.#queue.slice(entries.length);
    for (const entry of entries) {
      this.#open.push(entry);
      this.#openBytes += entry.data.length;
    }
    if (commit || this.#openBytes > limits.applyOpenBytesMax) {
      if (!this.commit()) return false;
    } else {
      this.#commitTimer ??= this.#clock.after(commitAfterMs, () => this.commit());
    }
    this.#hooks.observeApplyMs(this.#clock.nowMs() - startMs);
    this.#tell(entries, outcomes);
    return true;
  }

  #tell(entries: readonly Entry[], outcomes: readonly ApplyOutcome[]): void {
    const known = entries.findIndex((entry) => entry.index > this.#toldIndex);
    if (known < 0) return;
    this.#toldIndex = entries.at(-1)?.index ?? this.#toldIndex;
    this.#hooks.applied(
      known === 0 ? entries : entries.slice(known),
      known === 0 ? outcomes : outcomes.slice(known),
    );
  }

  #decode(entry: Entry): AppliedEntry {
    const { index, term } = entry;
    switch (entry.kind) {
      case entryKind.noop:
        return { index, term, content: { type: "noop" } };
      case entryKind.confChange:
        return {
          index,
          term,
          content: { type: "membership", change: decodeMembershipCommand(entry.data).change },
        };
      case entryKind.normal: {
        const batch = this.#hooks.proposedBatch(index, term) ?? decodeBatch(entry.data);
        return { index, term, content: { type: "batch", batch } };
      }
    }
  }

  /** The transaction was rolled back. Some reasons end by themselves; anything else is a bug or damage, and stops the member. */
  #failed(error: unknown): void {
    if (this.#open.length > 0) this.#hooks.undone();
    this.#queue = [...this.#open, ...this.#queue];
    this.#open = [];
    this.#openBytes = 0;
    const retryMs = retryAfterMs(error);
    if (retryMs === undefined) {
      this.#hooks.fatal(error);
      return;
    }
    // Nothing but what `maintain` did: whoever wanted that tries again.
    if (this.#queue.length === 0) return;
    if (this.#trouble === undefined) {
      log.error("The state cannot be written, applying waits: {reason}", { reason: messageOf(error) });
    }
    this.#trouble = messageOf(error);
    this.#pauses++;
    this.#clock.after(retryMs, () => this.resume());
  }
}

/** When to try again after this error of SQLite, whichever driver reports it; `undefined` for never. */
function retryAfterMs(error: unknown): number | undefined {
  const { code, errcode } = (error ?? {}) as { code?: unknown; errcode?: unknown };
  if (isDiskFull(error)) return fullRetryMs;
  if (error instanceof TransactionLost) return lostRetryMs;
  if (code === "SQLITE_BUSY" || errcode === 5) return busyRetryMs;
  return undefined;
}
