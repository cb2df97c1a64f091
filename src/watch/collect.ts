import type { Change } from "../kv/changes.ts";
import type { WatchEvent } from "../service/service.ts";
import { keyText, type Topic } from "./topic.ts";
import type { TopicIndex } from "./topic-index.ts";
import type { WatchSource } from "./types.ts";

/** Has the wanted topics collect their events. Gives those that got one. */
export function collect(
  index: TopicIndex,
  source: WatchSource,
  changes: readonly Change[],
  wanted: (topic: Topic) => boolean,
): Set<Topic> {
  const touched = new Set<Topic>();
  for (const { rows } of changes) {
    for (const row of rows) {
      const type = row.version === 0 ? "delete" : "put";
      // Made when the first topic asks for it, then shared by all.
      let plain: WatchEvent | undefined;
      let full: WatchEvent | undefined;
      index.visit(keyText(row.key), (topic) => {
        if (!topic.wants(type) || !wanted(topic)) return;
        touched.add(topic);
        if (topic.wantsPrevious) {
          if (full === undefined) {
            const previous = source.before(row);
            full = previous === undefined ? { type, keyValue: row } : { type, keyValue: row, previous };
          }
          topic.collect(full);
        } else {
          plain ??= { type, keyValue: row };
          topic.collect(plain);
        }
      });
    }
  }
  return touched;
}
