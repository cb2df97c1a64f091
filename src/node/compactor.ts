import { getLogger } from "@logtape/logtape";
import type { Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import { type CompactorMetrics, noCompactorMetrics } from "./compactor-metrics.ts";
import type { NodeAccess, NodePart } from "./part.ts";
import { RevisionClock } from "./revision-clock.ts";

const log = getLogger(["coracle", "compact"]);

/** Which revisions stay readable. */
export interface Retention {
  /** Revisions that were the newest so long ago go; absent: nothing is compacted by itself. */
  readonly keepAgeMs?: number;
  /** So many of the newest stay, however old they are. */
  readonly keepRevisions: number;
  /** No more than so many stay, however young they are; 0 for no limit. */
  readonly revisionsMax: number;
}

export interface CompactorOptions {
  readonly retention: Retention;
  /** How full the state is, from 0 to 1, by the quota. */
  readonly fill: () => number;
  readonly metrics?: CompactorMetrics;
}

/** Age counts no longer when the state is so full, and hardly anything does when it is nearly full. */
const fillHigh = 0.8;
const fillFull = 0.95;
/** Revisions that stay even then, for watches and listings under way. */
const keepWhenFull = 100;

/** A compaction is an entry of the log: one a minute (more with a short age), or when it is worth one. */
const proposeMsMax = 60_000;
const proposesPerAge = 10;
const proposeRevisions = 10_000;

/** Rows that are looked at in one slice; well under 5 ms. */
const sliceRows = 50;
/** Pages that are given back in one slice. */
const slicePages = 16;
/** After a slice the others have this many times its length, and at least so long. */
const pauseTimes = 3;
const pauseMsMin = 2;
/** When the state cannot be written. */
const retryMs = 500;

/** Free pages that stay in the file, for the writes to come: a tenth, and 4 MiB in any case. */
const freePagesMin = 1024;
const freePagesShare = 0.1;

/**
 * Keeps the history bounded. The leader proposes compactions by age and count. Every member removes the
 * rows that a compaction made unreadable, whoever asked for it, in slices between which everything else
 * has its turn, and then gives the pages back that it does not need.
 */
export class Compactor implements NodePart {
  readonly #node: NodeAccess;
  readonly #options: CompactorOptions;
  readonly #metrics: CompactorMetrics;
  readonly #times: RevisionClock;
  readonly #proposeMs: number;
  #leading = false;
  #proposing = false;
  #proposedMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #closed = false;
  /** The compact revision that was seen last. */
  #seenRevision = 0;

  constructor(node: NodeAccess, options: CompactorOptions) {
    this.#node = node;
    this.#options = options;
    this.#metrics = options.metrics ?? noCompactorMetrics;
    const { keepAgeMs = 0 } = options.retention;
    this.#times = new RevisionClock(keepAgeMs);
    this.#proposeMs = Math.min(proposeMsMax, keepAgeMs / proposesPerAge);
  }

  leading(term: number | undefined): void {
    this.#leading = term !== undefined;
  }

  applied(): void {
    const { compactRevision } = this.#node.state();
    if (compactRevision === this.#seenRevision) return;
    this.#seenRevision = compactRevision;
    this.#wake(pauseMsMin);
  }

  installed(): void {
    this.#wake(pauseMsMin);
  }

  duty(): void {
    const state = this.#node.state();
    if (state.closed) return;
    // Also what a rollback brought back, or a restart left.
    if (state.compactionPending || excessPages(state) > 0) this.#wake(pauseMsMin);
    const nowMs = this.#node.clock.nowMs();
    this.#times.note(nowMs, state.revision);
    if (this.#leading && !this.#proposing) void this.#consider(nowMs);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #consider(nowMs: number): Promise<void> {
    const { revision: newest, compactRevision } = this.#node.state();
    const fill = this.#options.fill();
    const revision = wantedRevision(this.#options.retention, newest, this.#times.oldest(nowMs), fill);
    const gain = revision - compactRevision;
    if (revision <= 0 || gain <= 0) return;
    const due = nowMs - this.#proposedMs >= this.#proposeMs || gain >= proposeRevisions || fill >= fillHigh;
    if (!due) return;
    this.#proposing = true;
    this.#proposedMs = nowMs;
    try {
      await this.#node.proposeHere({ body: { type: "compact", revision } });
      this.#metrics.proposed();
      log.debug("Compacted the history below revision {revision}.", { revision });
    } catch (error) {
      // The next leader, or this one in a minute, sees to it.
      log.debug("The history was not compacted: {reason}", { reason: messageOf(error) });
    } finally {
      this.#proposing = false;
    }
  }

  #wake(delayMs: number): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = this.#node.clock.after(delayMs, () => {
      this.#timer = undefined;
      if (!this.#closed) this.#slice();
    });
  }

  #slice(): void {
    const { clock } = this.#node;
    const startMs = clock.nowMs();
    let more = false;
    const written = this.#node.maintain((state) => {
      more = this.#work(state, startMs);
    });
    if (!written) this.#wake(retryMs);
    else if (more) this.#wake(Math.max(pauseMsMin, pauseTimes * (clock.nowMs() - startMs)));
  }

  /** One slice of whatever there is to do; false when that was nothing. */
  #work(state: StateMachine, startMs: number): boolean {
    if (state.compactionPending) {
      const { removed } = state.compactSlice(sliceRows, { hold: true });
      this.#metrics.removed(removed, this.#node.clock.nowMs() - startMs);
      return true;
    }
    const excess = excessPages(state);
    if (excess <= 0) return false;
    const { all } = state.pages();
    state.releaseSlice(Math.min(excess, slicePages), { hold: true });
    const released = all - state.pages().all;
    this.#metrics.released(released);
    return released > 0;
  }
}

/** Free pages beyond those that stay. */
function excessPages(state: StateMachine): number {
  const { all, free } = state.pages();
  return Math.floor(free - Math.max(freePagesMin, all * freePagesShare));
}

/**
 * The revision below which nothing needs to stay readable; 0 or less for none.
 *
 * @param aged was the newest revision when the age to keep began.
 */
export function wantedRevision(retention: Retention, newest: number, aged: number, fill: number): number {
  const { keepAgeMs, keepRevisions, revisionsMax } = retention;
  if (keepAgeMs === undefined) return 0;
  if (fill >= fillFull) return newest - Math.min(keepWhenFull, keepRevisions);
  if (fill >= fillHigh) return newest - keepRevisions;
  const byCount = revisionsMax > 0 ? newest - revisionsMax : 0;
  return Math.max(Math.min(aged, newest - keepRevisions), byCount);
}
