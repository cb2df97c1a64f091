import type { Coverage } from "../engine/coverage.ts";
import { Violation } from "../engine/violation.ts";
import type { History, RecordedOperation } from "../workload/history.ts";
import type { CommittedLog } from "./committed-log.ts";
import { checkLinearizable, type HistoryOperation } from "./linearizability.ts";
import { type StoreInput, type StoreOutput, storeModel } from "./store-model.ts";

/** What is judged when a run is over: all that the clients saw. A new checker of histories is called here. */
export function checkHistory(
  history: History,
  committed: Pick<CommittedLog, "logged" | "effective">,
  coverage: Coverage,
): void {
  checkEffects(history, committed);
  checkRevisions(history);
  for (const object of new Set(history.operations.map((operation) => operation.object))) {
    checkObject(history, object, coverage);
  }
}

/** Nothing acknowledged is lost, what was refused has no effect, and what was "not proposed" is in no log. */
function checkEffects(history: History, committed: Pick<CommittedLog, "logged" | "effective">): void {
  for (const { ending, marks, called } of history.operations) {
    for (const mark of marks) {
      if (ending?.type === "done" && !committed.effective.has(mark)) {
        throw new Violation(
          "acknowledged write lost",
          `operation ${called} wrote ${mark}, and no log holds it`,
        );
      }
      const refused = ending?.type === "refused" && committed.effective.has(mark);
      const notProposed = ending?.type === "not-proposed" && committed.logged.has(mark);
      if (!refused && !notProposed) continue;
      throw new Violation(
        "outcome",
        `operation ${called} ended as ${ending.type} (${ending.code}), but ${mark} is in the log`,
      );
    }
  }
}

/** Whether a done operation surely changed something, and so has a revision of its own. */
function changes({ input, ending }: RecordedOperation): boolean {
  if (ending?.type !== "done") return false;
  const { output } = ending;
  const steps = output.succeeded ? input.success : input.failure;
  return steps.some((step, at) => step.op === "put" || (step.op === "delete" && output.results[at] === 1));
}

/** Revisions rise along the order in which clients saw things happen; each change has its own. */
function checkRevisions(history: History): void {
  const owners = new Map<number, RecordedOperation>();
  const events: { readonly at: number; readonly operation: RecordedOperation; readonly end: boolean }[] = [];
  for (const operation of history.operations) {
    if (operation.ending?.type !== "done" || operation.stale) continue;
    events.push({ at: operation.called, operation, end: false });
    events.push({ at: operation.returned, operation, end: true });
    if (!changes(operation)) continue;
    const { revision } = operation.ending.output;
    const owner = owners.get(revision);
    if (owner !== undefined) {
      throw new Violation(
        "revisions",
        `operations ${owner.called} and ${operation.called} were both told revision ${revision}`,
      );
    }
    owners.set(revision, operation);
  }
  checkOrder(events);
}

function checkOrder(
  events: { readonly at: number; readonly operation: RecordedOperation; readonly end: boolean }[],
): void {
  events.sort((a, b) => a.at - b.at);
  const floor = new Map<RecordedOperation, number>();
  let newest = 0;
  for (const { operation, end } of events) {
    if (!end) {
      floor.set(operation, newest);
      continue;
    }
    if (operation.ending?.type !== "done") continue;
    const { revision } = operation.ending.output;
    const least = (floor.get(operation) ?? 0) + (changes(operation) ? 1 : 0);
    if (revision < least) {
      throw new Violation(
        "revisions",
        `operation ${operation.called} was told revision ${revision}, but ${least - 1} was known before it began`,
      );
    }
    newest = Math.max(newest, revision);
  }
}

/** Reads that may be old are left to `LocalReads`. */
function checkObject(history: History, object: string, coverage: Coverage): void {
  const operations: HistoryOperation<StoreInput, StoreOutput>[] = [];
  for (const operation of history.operations) {
    if (operation.object !== object || operation.stale) continue;
    const { ending, input, called, returned } = operation;
    if (ending?.type === "done") operations.push({ input, output: ending.output, called, returned });
    else if (operation.writes && (ending === undefined || ending.type === "unknown")) {
      operations.push({ input, output: undefined, called, returned: Number.POSITIVE_INFINITY });
    }
  }
  const verdict = checkLinearizable(storeModel, operations, 200_000);
  coverage.add(`history: ${verdict}`);
  if (verdict === "not-linearizable") {
    throw new Violation(
      "linearizability",
      `the history of ${object} (${operations.length} operations) has no order`,
    );
  }
}
