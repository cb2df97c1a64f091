import { getLogger } from "@logtape/logtape";
import { CoracleError } from "../base/errors.ts";
import type { ConfState, HardState } from "../raft/types.ts";
import type { LogStore } from "./types.ts";

const log = getLogger(["coracle", "storage"]);

/** What of the state machine must fit the log. */
export interface AppliedState {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  confState(): ConfState;
}

/**
 * Makes log and state fit each other at start, before Raft sees them. A state ahead of its log is
 * what a crash in the middle of a snapshot's install leaves: the log then begins after the state,
 * as the install would have made it. What is applied was committed, so the commit index, which is
 * not written for its own sake, rises to it.
 *
 * @throws CoracleError `storage_damaged` when the log no longer holds what the state lacks.
 */
export async function reconcile(store: LogStore, state: AppliedState): Promise<HardState> {
  const { appliedIndex: index, appliedTerm: term } = state;
  const found = store.hardState;
  if (index < store.firstIndex() - 1) {
    throw new CoracleError(
      "storage_damaged",
      `state.db has applied entry ${index} last, but raft.db begins at entry ${store.firstIndex()}. Restore the data folder from a snapshot, or wipe it and start this member again with --join.`,
    );
  }
  const fits = index <= store.lastIndex() && store.term(index) === term;
  const hardState: HardState = {
    term: Math.max(found.term, term),
    votedFor: found.term >= term ? found.votedFor : 0,
    commit: Math.max(found.commit, index),
  };
  if (fits && hardState.commit === found.commit && hardState.term === found.term) return found;
  if (!fits) log.info("The log begins anew after index {index}, which a snapshot brought.", { index });
  await new Promise<void>((resolve, reject) => {
    const snapshot = fits ? {} : { snapshot: { index, term, conf: state.confState() } };
    const mustSync = !fits || hardState.term !== found.term;
    const write = { id: 0, hardState, entries: [], mustSync, ...snapshot };
    store.write(write, (error) => (error === undefined ? resolve() : reject(error)));
  });
  return hardState;
}
