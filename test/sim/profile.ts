import type { Random } from "../../src/base/prng.ts";
import type { NodeOptions } from "../../src/node/options.ts";
import { type RaftLimits, raftLimits } from "../../src/raft/options.ts";
import { supportedVersions, type VersionRange } from "../../src/wire/protocol.ts";
import { between, chance, pick, stream } from "./engine/streams.ts";
import type { PartOptions } from "./members/parts.ts";

/** What a seed decides about the cluster before anything happens. */
export interface Profile {
  readonly seed: number;
  readonly members: number;
  /** Machines that may join later. */
  readonly spares: number;
  readonly clients: number;
  readonly thinkMs: number;
  readonly padding: number;
  readonly faultsUntilMs: number;
  readonly networkMs: number;
  readonly fsyncMs: number;
  readonly silenceMs: number;
  readonly snapshotChunkBytes: number;
  /** What the members of two neighbouring releases speak; a rolling upgrade goes from the first to the second. */
  readonly releases: readonly [VersionRange, VersionRange];
  /** How likely a member starts as one of the newer release. */
  readonly upgraded: number;
  readonly subscribers: number;
  readonly leaseHolders: number;
  readonly lockUsers: number;
  readonly parts: PartOptions;
  readonly node: NodeOptions;
  /** Bounds of the core, small now and then: what takes one message otherwise takes many. */
  readonly raft: Pick<RaftLimits, "appendEntriesMax" | "appendsInFlightMax" | "readRoundsInFlightMax">;
  /** A minority of the voters stays down while the others must make progress. */
  readonly minorityStaysDown: boolean;
}

/** This release, and its neighbour before or after: each speaks its own version and its predecessor's. */
function releasesOf(random: Random): Pick<Profile, "releases" | "upgraded"> {
  const { min, max } = supportedVersions;
  const before = { min: Math.max(1, max - 2), max: max - 1 };
  const after = { min: max, max: max + 1 };
  const upgraded = pick(random, [0, 0, 0.5]);
  if (min < max && chance(random, 0.5)) return { releases: [before, supportedVersions], upgraded };
  return { releases: [supportedVersions, after], upgraded };
}

/** Clients that do other things than read and write; in some seeds none, so that those stay simple. */
function companyOf(random: Random): Pick<Profile, "subscribers" | "leaseHolders" | "lockUsers" | "parts"> {
  // With small limits every watch is slow, falls behind and catches up.
  const tight = chance(random, 0.5);
  return {
    subscribers: pick(random, tight ? [1, 3, 5] : [0, 0, 1, 2]),
    leaseHolders: pick(random, [0, 1, 2, 4]),
    lockUsers: pick(random, [0, 0, 3, 4]),
    parts: {
      retention: {
        ...(chance(random, 0.6) ? { keepAgeMs: pick(random, [500, 3000]) } : {}),
        keepRevisions: pick(random, [3, 20, 100]),
        revisionsMax: pick(random, [0, 40]),
      },
      fill: pick(random, [0, 0.85, 0.97]),
      leaseCheckpointMs: pick(random, [1000, 1000, 3000, 300_000]),
      watchLimits: {
        watchesMax: 1000,
        watchQueueBytesMax: tight ? 200 : 1024 * 1024,
        watchQueueEventsMax: tight ? pick(random, [1, 2, 4]) : 10_000,
        watchQueuesBytesMax: tight ? pick(random, [1000, 1024 * 1024]) : 1024 * 1024,
        watchFanOutRows: tight ? pick(random, [1, 3]) : 1000,
        watchSliceRows: tight ? pick(random, [1, 4]) : 500,
        watchSliceBytes: tight ? pick(random, [100, 1024 * 1024]) : 1024 * 1024,
        watchGivenPerTurn: tight ? 1 : 256,
        watchOvertakenRowsMax: tight ? 4 : 16_384,
      },
    },
  };
}

export function profileOf(seed: number): Profile {
  const random = stream(seed, "profile");
  const heartbeatMs = pick(random, [20, 50, 100, 100]);
  const smallLog = chance(random, 0.75);
  const networkMs = pick(random, [0.3, 1, 5]);
  const fsyncMs = pick(random, [0.3, 2, 8]);
  const hasty = networkMs <= 1 && fsyncMs <= 2 && chance(random, 0.4);
  return {
    seed,
    members: pick(random, [1, 2, 3, 3, 3, 3, 3, 4, 5]),
    spares: pick(random, [0, 1, 1, 2]),
    clients: 1 + random.below(4),
    thinkMs: pick(random, [15, 50, 120, 200]),
    padding: pick(random, [0, 0, 60, 900]),
    // Most are short, so that many can be run; some states take their time.
    faultsUntilMs: chance(random, 0.7) ? between(random, 2000, 5000) : between(random, 5000, 12_000),
    networkMs,
    fsyncMs,
    silenceMs: pick(random, [600, 1500, 3000]),
    snapshotChunkBytes: pick(random, [4, 16, 64]) * 1024,
    minorityStaysDown: chance(random, 0.3),
    ...releasesOf(stream(seed, "releases")),
    ...companyOf(stream(seed, "company")),
    raft: {
      appendEntriesMax: pick(random, [1, 2, 1024, 1024]),
      appendsInFlightMax: pick(random, [1, 3, 128, 128]),
      readRoundsInFlightMax: pick(random, [1, 2]),
    },
    node: {
      heartbeatMs,
      // A hasty one makes two candidates at a time, and needs a network and a disk that are quick.
      electionMs: heartbeatMs * (hasty ? 4 : 10),
      requestTimeoutMs: 2500,
      leaderWaitMs: 1200,
      logEntriesMax: smallLog ? pick(random, [8, 20, 60]) : 100_000,
      logBytesMax: smallLog && chance(random, 0.3) ? 8 * 1024 : 64 * 1024 * 1024,
      logTailEntries: pick(random, [0, 2, 10]),
      valueBytesMax: 1_572_864,
      ...(chance(random, 0.15) ? { removeDeadAfterMs: 4000 } : {}),
    },
  };
}

/** The node leaves Raft's limits at their defaults, so these are what they are while `action` runs. */
export function withRaftLimits<T>(limits: Profile["raft"], action: () => T): T {
  const defaults = { ...raftLimits };
  Object.assign(raftLimits, limits);
  try {
    return action();
  } finally {
    Object.assign(raftLimits, defaults);
  }
}
