import { CoracleError, type ErrorCode } from "../base/errors.ts";

export function codeOf(error: unknown): ErrorCode | undefined {
  return error instanceof CoracleError ? error.code : undefined;
}

/** After a compaction a read tells how it stands; the others of these pass by themselves. */
const passing: ReadonlySet<ErrorCode | undefined> = new Set<ErrorCode | undefined>([
  "no_leader",
  "not_proposed",
  "overloaded",
  "outcome_unknown",
  "revision_compacted",
]);

/** Whether a read or a watch that ended so may be had a moment later. */
export function isPassing(error: unknown): boolean {
  return passing.has(codeOf(error));
}
