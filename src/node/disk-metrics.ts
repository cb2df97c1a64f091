import { Gauge, type Registry } from "prom-client";

/** What is read of a member's disk when somebody looks. */
export interface DiskFigures {
  readonly usedBytes: number;
  readonly quotaBytes: number;
  /** `undefined` when it is not known. */
  readonly freeBytes: number | undefined;
  readonly full: boolean;
}

export function registerDiskMetrics(registry: Registry, figures: () => DiskFigures): void {
  const gauges: readonly (readonly [string, string, (now: DiskFigures) => number | undefined])[] = [
    [
      "coracle_store_used_bytes",
      "Bytes of the state that hold something: what the quota counts.",
      (now) => now.usedBytes,
    ],
    ["coracle_store_quota_bytes", "The quota of the state; 0 for none.", (now) => now.quotaBytes],
    [
      "coracle_disk_free_bytes",
      "Bytes that are free on the disk of the data folder.",
      (now) => now.freeBytes,
    ],
    [
      "coracle_disk_full",
      "1 while what must be stored waits for room on the disk.",
      (now) => Number(now.full),
    ],
  ];
  for (const [name, help, value] of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const now = value(figures());
        if (now !== undefined) this.set(now);
      },
    });
  }
}
