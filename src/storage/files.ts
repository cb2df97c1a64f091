import { closeSync, fsyncSync, openSync } from "node:fs";
import { open } from "node:fs/promises";

/** Names of everything in a data folder. */
export const fileNames = {
  lock: "coracle.lock",
  log: "raft.db",
  logMark: "raft.mark",
  state: "state.db",
  stateMark: "state.mark",
  stateSums: "state.sums",
  stateCondemned: "state.condemned",
  stateInstall: "state.install",
  snapshots: "snapshots",
} as const;

/** Makes the names in a folder (files created, renamed, removed) survive a power loss. */
export function syncFolder(path: string): void {
  syncFile(path);
}

/** Makes the content of a file survive a power loss. */
export function syncFile(path: string): void {
  const handle = openSync(path, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** `syncFolder` without holding the thread up. */
export async function syncFolderSoon(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
