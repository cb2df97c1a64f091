import { Gauge, Histogram, type Registry } from "prom-client";

/** What the node counts as it runs. Durations come in milliseconds and are exported in seconds. */
export interface NodeMetrics {
  proposalMs(milliseconds: number): void;
  applyMs(milliseconds: number): void;
  snapshotMs(milliseconds: number): void;
  batchCommands(count: number): void;
  leaderChanged(): void;
}

export const noMetrics: NodeMetrics = {
  proposalMs: () => {},
  applyMs: () => {},
  snapshotMs: () => {},
  batchCommands: () => {},
  leaderChanged: () => {},
};

/** A snapshot of the figures that are read when somebody looks. */
export interface NodeFigures {
  readonly isLeader: boolean;
  readonly hasLeader: boolean;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly revision: number;
  readonly proposalsInFlight: number;
  readonly storeBytes: number;
  readonly logEntries: number;
  readonly logBytes: number;
  readonly peers: readonly {
    readonly name: string;
    readonly lagEntries: number | undefined;
    readonly connected: boolean;
    readonly roundTripMs: number | undefined;
  }[];
}

const latencyBucketsSeconds = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];

/** A latency histogram in seconds that is fed in milliseconds. */
export function latencyHistogram(
  registry: Registry,
  name: string,
  help: string,
): (milliseconds: number) => void {
  const histogram = new Histogram({ name, help, buckets: latencyBucketsSeconds, registers: [registry] });
  return (milliseconds) => histogram.observe(milliseconds / 1000);
}

/** Registers the node's metrics; `figures` is asked at each scrape. */
export function createNodeMetrics(registry: Registry, figures: () => NodeFigures): NodeMetrics {
  registerGauges(registry, figures);
  registerPeerGauges(registry, figures);
  const changes = new Gauge({
    name: "coracle_raft_leader_changes_seen",
    help: "Changes of leader that this member has seen since its start.",
    registers: [registry],
  });
  const batches = new Histogram({
    name: "coracle_batch_commands",
    help: "Commands in one log entry.",
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
    registers: [registry],
  });
  return {
    proposalMs: latencyHistogram(
      registry,
      "coracle_proposal_seconds",
      "From the arrival of a write to its answer.",
    ),
    applyMs: latencyHistogram(registry, "coracle_apply_seconds", "One transaction of the state machine."),
    snapshotMs: latencyHistogram(
      registry,
      "coracle_snapshot_send_seconds",
      "Making and sending one snapshot.",
    ),
    batchCommands: (count) => batches.observe(count),
    leaderChanged: () => changes.inc(),
  };
}

function registerGauges(registry: Registry, figures: () => NodeFigures): void {
  const gauges: readonly (readonly [string, string, (now: NodeFigures) => number])[] = [
    ["coracle_raft_is_leader", "1 on the leader.", (now) => Number(now.isLeader)],
    ["coracle_raft_has_leader", "1 while a leader is known.", (now) => Number(now.hasLeader)],
    ["coracle_raft_term", "Current term.", (now) => now.term],
    ["coracle_raft_commit_index", "Last index known to be committed.", (now) => now.commitIndex],
    ["coracle_raft_applied_index", "Last index applied to the state.", (now) => now.appliedIndex],
    ["coracle_revision", "Revision of the store.", (now) => now.revision],
    [
      "coracle_proposals_in_flight",
      "Writes accepted here and not yet answered.",
      (now) => now.proposalsInFlight,
    ],
    ["coracle_store_bytes", "Bytes of the state on disk.", (now) => now.storeBytes],
    ["coracle_log_entries", "Entries in the Raft log.", (now) => now.logEntries],
    ["coracle_log_bytes", "Bytes of the Raft log.", (now) => now.logBytes],
  ];
  for (const [name, help, value] of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value(figures()));
      },
    });
  }
}

function registerPeerGauges(registry: Registry, figures: () => NodeFigures): void {
  const gauges: readonly (readonly [
    string,
    string,
    (peer: NodeFigures["peers"][number]) => number | undefined,
  ])[] = [
    [
      "coracle_peer_lag_entries",
      "Entries that this member's log lacks; only on the leader.",
      (peer) => peer.lagEntries,
    ],
    [
      "coracle_peer_connected",
      "1 while a connection to the member is open.",
      (peer) => Number(peer.connected),
    ],
    [
      "coracle_peer_last_round_trip_seconds",
      "The last measured round trip.",
      (peer) => (peer.roundTripMs === undefined ? undefined : peer.roundTripMs / 1000),
    ],
  ];
  for (const [name, help, value] of gauges) {
    new Gauge({
      name,
      help,
      labelNames: ["peer"],
      registers: [registry],
      collect() {
        this.reset();
        for (const peer of figures().peers) {
          const now = value(peer);
          if (now !== undefined) this.set({ peer: peer.name }, now);
        }
      },
    });
  }
}
