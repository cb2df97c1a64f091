import { Counter, Gauge, type Registry } from "prom-client";
import type { NodeAccess } from "../node/part.ts";
import { WatchHub } from "../watch/hub.ts";
import type { WatchFigures } from "../watch/types.ts";

/** The hub of one member's watches, a part of its node, with its metrics. */
export function createWatchHub(
  node: NodeAccess,
  registry: Registry,
  onFatal: (error: unknown) => void,
): WatchHub {
  const hub = new WatchHub({
    source: () => node.state(),
    clock: node.clock,
    random: node.random,
    onFatal,
  });
  registerMetrics(registry, () => hub.figures());
  return hub;
}

type Figure = readonly [name: string, help: string, value: (now: WatchFigures) => number];

const gauges: readonly Figure[] = [
  ["coracle_watches", "Watches open on this member.", (now) => now.watches],
  ["coracle_watches_behind", "Watches that read history to catch up.", (now) => now.behind],
  ["coracle_watches_paused", "Watches whose client does not read for now.", (now) => now.paused],
  ["coracle_watch_topics", "Different ranges and options that are watched.", (now) => now.topics],
  ["coracle_watch_queued_bytes", "Bytes of events that wait for watches.", (now) => now.queuedBytes],
];
const counters: readonly Figure[] = [
  ["coracle_watch_events_total", "Events given to watches.", (now) => now.events],
  [
    "coracle_watch_slow_total",
    "How often a watch was too slow for its queue and fell back to history.",
    (now) => now.slowWatches,
  ],
  [
    "coracle_watch_catch_ups_total",
    "How often a watch began to catch up from history.",
    (now) => now.catchUps,
  ],
  [
    "coracle_watch_compacted_total",
    "Watches that ended because what they needed was compacted.",
    (now) => now.compacted,
  ],
];

function registerMetrics(registry: Registry, figures: () => WatchFigures): void {
  const registers = [registry];
  for (const [name, help, value] of gauges) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value(figures()));
      },
    });
  }
  for (const [name, help, value] of counters) {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(value(figures()));
      },
    });
  }
}
