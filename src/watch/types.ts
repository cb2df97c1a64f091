import type { Change } from "../kv/changes.ts";
import type { RevisionRow } from "../kv/rows.ts";
import type { KeyValue } from "../kv/types.ts";

/** What the hub needs of a state machine. */
export interface WatchSource {
  readonly revision: number;
  /** The oldest revision that can be read; 0 before the first compaction. */
  readonly compactRevision: number;
  /** Nothing can be read now: a snapshot takes its place. */
  readonly closed: boolean;
  /** See `StateMachine.changes`. */
  changes(
    from: number,
    rowsMax: number,
    options: { readonly bytesMax: number; readonly standing: boolean },
  ): readonly Change[];
  /** See `StateMachine.before`. */
  before(row: RevisionRow): KeyValue | undefined;
}

/** Limits of the hub, by name. */
export interface WatchLimits {
  /** Watches on one member. */
  readonly watchesMax: number;
  /** Bytes of events that wait for one receiver. */
  readonly watchQueueBytesMax: number;
  /** Events that wait for one receiver. */
  readonly watchQueueEventsMax: number;
  /** Bytes that wait in all queues together; what several watches share counts for each. */
  readonly watchQueuesBytesMax: number;
  /** Rows read at once for the watches that are synced. */
  readonly watchFanOutRows: number;
  /** Rows read at once for watches that are behind. */
  readonly watchSliceRows: number;
  /** Bytes read at once. */
  readonly watchSliceBytes: number;
  /** Batches given to receivers in one turn. */
  readonly watchGivenPerTurn: number;
  /** Rows that are read in one go when a compaction is about to pass the head. */
  readonly watchOvertakenRowsMax: number;
}

/** What the metrics show. The last four only rise. */
export interface WatchFigures {
  readonly watches: number;
  readonly behind: number;
  readonly paused: number;
  readonly topics: number;
  readonly queuedBytes: number;
  readonly events: number;
  readonly slowWatches: number;
  readonly catchUps: number;
  readonly compacted: number;
}
