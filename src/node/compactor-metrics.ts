import { Counter, Gauge, type Registry } from "prom-client";
import { latencyHistogram } from "./metrics.ts";

/** What is counted of compaction. */
export interface CompactorMetrics {
  /** This member, as the leader, had the log compacted by itself. */
  proposed(): void;
  /** Rows were removed in one slice, which took so long. */
  removed(rows: number, milliseconds: number): void;
  /** Pages went back to the file system. */
  released(pages: number): void;
}

export const noCompactorMetrics: CompactorMetrics = {
  proposed: () => {},
  removed: () => {},
  released: () => {},
};

/** What is read of the state when somebody looks. */
export interface CompactionFigures {
  readonly closed: boolean;
  readonly compactRevision: number;
  readonly compactionPending: boolean;
  pages(): { readonly all: number; readonly free: number };
}

export function createCompactorMetrics(registry: Registry, state: () => CompactionFigures): CompactorMetrics {
  const registers = [registry];
  const gauges: readonly (readonly [string, string, (now: CompactionFigures) => number])[] = [
    ["coracle_compact_revision", "The oldest revision that can be read.", (now) => now.compactRevision],
    [
      "coracle_compaction_pending",
      "1 while rows that nobody can read are still to be removed.",
      (now) => Number(now.compactionPending),
    ],
    ["coracle_store_free_pages", "Pages of the state's file that hold nothing.", (now) => now.pages().free],
  ];
  for (const [name, help, value] of gauges) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        const now = state();
        // While a snapshot takes its place.
        if (!now.closed) this.set(value(now));
      },
    });
  }
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  const proposed = counter(
    "coracle_compactions_automatic_total",
    "Compactions that this member had made as the leader, by age or by count.",
  );
  const rows = counter("coracle_compaction_rows_removed_total", "Rows that compaction removed here.");
  const pages = counter(
    "coracle_store_pages_released_total",
    "Pages of the state's file that were given back to the file system.",
  );
  const observe = latencyHistogram(
    registry,
    "coracle_compaction_slice_seconds",
    "One slice of removing rows.",
  );
  return {
    proposed: () => proposed.inc(),
    removed(removed, milliseconds) {
      rows.inc(removed);
      observe(milliseconds);
    },
    released: (released) => pages.inc(released),
  };
}
