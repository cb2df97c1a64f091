import type { Clock } from "../base/clock.ts";
import { crc32 } from "../base/crc32.ts";
import { pause } from "../base/pause.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import type { MaintenanceService } from "../service/service.ts";
import { ClientSnapshots, type SnapshotSource } from "./client-snapshots.ts";

/** How often it is looked whether a compaction has come to its end. */
const compactedPollMs = 10;

/** The files of the member's state. */
export interface MaintenanceFiles extends SnapshotSource {
  bytes(): number;
}

export interface MaintenanceContext {
  readonly clock: Clock;
  /** To be asked for each time: a snapshot replaces it. */
  state(): StateMachine;
  /** Commits what is applied, for whoever looks at the state's files from outside. */
  settle(): void;
  readonly files: MaintenanceFiles;
  readonly quotaBytes?: number;
  full(): string | undefined;
}

/** What operators ask of one member's own state. */
export function createMaintenance(context: MaintenanceContext): MaintenanceService {
  const { clock, state, settle, files, quotaBytes = 0 } = context;
  const snapshots = new ClientSnapshots(clock, files);
  return {
    hash: async () => {
      const { revision, compactRevision } = state();
      return { hash: crc32(state().hash()), revision, compactRevision };
    },
    snapshot: () => {
      settle();
      return snapshots.create();
    },
    storage: () => {
      return { bytes: files.bytes(), usedBytes: files.usedBytes(), quotaBytes, full: context.full() };
    },
    compacted: async () => {
      while (state().compactionPending) await pause(clock, compactedPollMs);
    },
  };
}
