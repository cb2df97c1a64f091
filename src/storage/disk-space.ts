import { statfs } from "node:fs/promises";

/** The file system under a folder. */
export interface DiskSpace {
  /** What an ordinary user may still write. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export async function diskSpace(path: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(path);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}
