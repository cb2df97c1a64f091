import type { RangeOperation, RangeResult } from "../../../src/kv/types.ts";
import { Violation } from "../engine/violation.ts";
import type { MemberProcess } from "../members/process.ts";
import type { History } from "../workload/history.ts";
import type { CommittedLog } from "./committed-log.ts";
import { resultText } from "./model-text.ts";

export interface LocalRead {
  readonly who: string;
  readonly request: RangeOperation;
  readonly result: RangeResult;
  readonly askedUs: number;
  readonly calledUs: number;
  /** How old the answer may be: 0 for a linearizable read, `undefined` for any age. */
  readonly staleMs: number | undefined;
  /** How slowly the clock of the member ever ran that measured the age; 1 is true time. */
  readonly slowestRate: number;
}

/**
 * Every read, however stale it may be, must show the store exactly as it was at the revision that
 * it names, and that revision must be as new as was asked for.
 */
export class LocalReads {
  readonly #committed: CommittedLog;
  readonly #history: History;

  constructor(committed: CommittedLog, history: History) {
    this.#committed = committed;
    this.#history = history;
  }

  /** What went back behind what it had told is no fresh state: such a read waits until it is there again. */
  checkNotUndone({ host, appliedIndex, appliedOnce }: MemberProcess, fresh: boolean): void {
    if (!fresh || appliedIndex >= appliedOnce) return;
    throw new Violation(
      "stale read",
      `${host.name} answered at index ${appliedIndex} after it had applied ${appliedOnce}`,
    );
  }

  check({ who, request, result, calledUs, askedUs, staleMs, slowestRate }: LocalRead): void {
    const found = resultText(result);
    const expected = resultText(this.#committed.model.answer(request, result.revision));
    if (found !== expected) {
      throw new Violation("read", `${who} answered ${found}; the log says ${expected}`);
    }
    if (staleMs === undefined) return;
    // The member's clock may have been slower than true time while it measured.
    const allowedUs = staleMs === 0 ? 0 : (staleMs * 1000) / slowestRate + 1000;
    const sinceUs = staleMs === 0 ? calledUs : askedUs - allowedUs;
    const known = this.#history.revisionKnownAt(sinceUs);
    if (result.revision >= known) return;
    throw new Violation(
      "stale read",
      `${who} answered at revision ${result.revision}, but revision ${known} was known ${staleMs === 0 ? "before the read began" : `more than ${staleMs} ms before`}`,
    );
  }
}
