import type { Random } from "../base/prng.ts";
import type { WatchRequest } from "../service/service.ts";
import { type IntervalHandle, IntervalTree } from "./interval-tree.ts";
import { Topic } from "./topic.ts";

/** Finds the topics that a key concerns. */
export class TopicIndex {
  readonly #byId = new Map<string, Topic>();
  readonly #byKey = new Map<string, Topic[]>();
  readonly #ranges: IntervalTree<Topic>;
  readonly #handles = new Map<Topic, IntervalHandle>();

  constructor(random: Random) {
    this.#ranges = new IntervalTree(random);
  }

  get size(): number {
    return this.#byId.size;
  }

  /** The topic of a request, made when there is none yet. */
  topicOf(request: WatchRequest): Topic {
    const id = Topic.idOf(request);
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    const topic = new Topic(request, id);
    this.#byId.set(id, topic);
    if (topic.end === undefined) {
      const others = this.#byKey.get(topic.start);
      if (others === undefined) this.#byKey.set(topic.start, [topic]);
      else others.push(topic);
    } else {
      this.#handles.set(topic, this.#ranges.insert(topic.start, topic.end, topic));
    }
    return topic;
  }

  remove(topic: Topic): void {
    this.#byId.delete(topic.id);
    const handle = this.#handles.get(topic);
    if (handle !== undefined) {
      this.#ranges.remove(handle);
      this.#handles.delete(topic);
      return;
    }
    const left = this.#byKey.get(topic.start)?.filter((other) => other !== topic) ?? [];
    if (left.length === 0) this.#byKey.delete(topic.start);
    else this.#byKey.set(topic.start, left);
  }

  /** Calls `visit` for each topic whose range holds the key. */
  visit(key: string, visit: (topic: Topic) => void): void {
    const exact = this.#byKey.get(key);
    if (exact !== undefined) for (const topic of exact) visit(topic);
    this.#ranges.visit(key, visit);
  }
}
