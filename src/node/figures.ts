import type { StateMachine } from "../kv/state-machine.ts";
import { nobody, type RaftStatus } from "../raft/types.ts";
import type { NodeDependencies } from "./dependencies.ts";
import type { NodeFigures } from "./metrics.ts";
import type { PeerSet } from "./peer-set.ts";
import type { Proposals } from "./proposals.ts";

/** What a member tells operators and `/metrics` of itself. */
export function figuresOf(
  { log, store, transport }: NodeDependencies,
  state: StateMachine,
  status: RaftStatus,
  proposals: Proposals,
  peers: PeerSet,
): NodeFigures {
  const size = log.size();
  return {
    isLeader: status.role === "leader",
    hasLeader: status.leader !== nobody,
    term: status.term,
    commitIndex: status.commit,
    appliedIndex: state.appliedIndex,
    revision: state.revision,
    proposalsInFlight: proposals.inFlight,
    storeBytes: store.bytes(),
    logEntries: size.entries,
    logBytes: size.bytes,
    peers: peers.others.map(({ id, name }) => {
      const progress = status.progress.find(({ member }) => member === id);
      return {
        name,
        lagEntries: progress === undefined ? undefined : Math.max(0, status.lastIndex - progress.match),
        connected: transport.connected(id),
        roundTripMs: transport.roundTripMs(id),
      };
    }),
  };
}
