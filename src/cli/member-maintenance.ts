import { open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { Clock } from "../base/clock.ts";
import { pause } from "../base/pause.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import type { MaintenanceService, SnapshotStream } from "../service/service.ts";
import type { SnapshotFile } from "../storage/types.ts";

/** How often it is looked whether a compaction has come to its end. */
const compactedPollMs = 10;
const pieceBytes = 64 * 1024;

/** The files of the member's state. */
export interface MaintenanceFiles {
  createSnapshot(): Promise<SnapshotFile>;
  bytes(): number;
  usedBytes(): number;
}

export interface MaintenanceContext {
  readonly clock: Clock;
  /** To be asked for each time: a snapshot replaces it. */
  state(): StateMachine;
  /** Commits what is applied, for whoever looks at the state's files from outside. */
  settle(): void;
  readonly files: MaintenanceFiles;
}

/** What operators ask of one member's own state. */
export function createMaintenance({ clock, state, settle, files }: MaintenanceContext): MaintenanceService {
  return {
    hash: async () => {
      const { revision, compactRevision } = state();
      return { hash: crc32(state().hash()), revision, compactRevision };
    },
    snapshot: async () => {
      settle();
      return streamOf(await files.createSnapshot());
    },
    storage: () => ({ bytes: files.bytes(), usedBytes: files.usedBytes() }),
    compacted: async () => {
      while (state().compactionPending) await pause(clock, compactedPollMs);
    },
  };
}

function streamOf(file: SnapshotFile): SnapshotStream {
  return { bytes: file.bytes, sha256: file.sha256, pieces: piecesOf(file) };
}

/** The file goes when all of it was read, and when the reader gives up. */
async function* piecesOf({ path, release }: SnapshotFile): AsyncGenerator<Uint8Array> {
  try {
    const handle = await open(path);
    try {
      for (;;) {
        const { bytesRead, buffer } = await handle.read(new Uint8Array(pieceBytes), 0, pieceBytes);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await handle.close();
    }
  } finally {
    release();
  }
}
