import { CoracleError } from "../base/errors.ts";

/** What a watch needs next cannot be read any more. */
export function compacted(revision: number, compactRevision: number): CoracleError {
  return new CoracleError(
    "revision_compacted",
    `The watch needs revision ${revision}, which has been compacted; the oldest that can be read is ${compactRevision}.`,
    { compact_revision: compactRevision },
  );
}

export function shuttingDown(): CoracleError {
  return new CoracleError("shutting_down", "This member is shutting down; watch at another member.");
}
