import type { StoreInput, StoreOutput } from "../checkers/store-model.ts";

/** How an operation ended for its client. */
export type Ending =
  | { readonly type: "done"; readonly output: StoreOutput }
  /** Surely without effect: refused by the state machine or by the member that was asked. */
  | { readonly type: "refused"; readonly code: string }
  | { readonly type: "not-proposed"; readonly code: string }
  | { readonly type: "unknown" };

/** An operation of a client on the store, as the checkers judge it at the end. */
export interface RecordedOperation {
  readonly client: number;
  /** The object that it belongs to: operations on different ones are judged apart. */
  readonly object: string;
  readonly input: StoreInput;
  readonly writes: boolean;
  /** A read that may show an older state. */
  readonly stale: boolean;
  /** Unique texts that it writes. */
  readonly marks: readonly string[];
  /** By the count of events: an operation that ended before another began has the smaller number. */
  readonly called: number;
  readonly calledUs: number;
  returned: number;
  ending: Ending | undefined;
}

/** All that clients did. */
export class History {
  readonly operations: RecordedOperation[] = [];
  #clock = 0;
  /** The newest revision that any client was told before now, and the time of it. */
  readonly acknowledged: { readonly atUs: number; readonly revision: number }[] = [];

  call(operation: Omit<RecordedOperation, "called" | "returned" | "ending">): RecordedOperation {
    const recorded: RecordedOperation = {
      ...operation,
      called: ++this.#clock,
      returned: Number.POSITIVE_INFINITY,
      ending: undefined,
    };
    this.operations.push(recorded);
    return recorded;
  }

  end(operation: RecordedOperation, ending: Ending, nowUs: number): void {
    operation.ending = ending;
    operation.returned = ++this.#clock;
    if (ending.type !== "done") return;
    const { revision } = ending.output;
    const newest = this.acknowledged[this.acknowledged.length - 1];
    if (newest === undefined || revision > newest.revision) this.acknowledged.push({ atUs: nowUs, revision });
  }

  /** The newest revision that a client knew of at a moment. */
  revisionKnownAt(atUs: number): number {
    for (let at = this.acknowledged.length - 1; at >= 0; at--) {
      const known = this.acknowledged[at];
      if (known !== undefined && known.atUs <= atUs) return known.revision;
    }
    return 0;
  }
}
