import { toHex } from "../../../src/base/bytes.ts";
import type { KeyValue } from "../../../src/kv/types.ts";
import type { WatchBatch, WatchEvent, WatchRequest } from "../../../src/service/service.ts";
import { Violation } from "../engine/violation.ts";
import type { ModelEvent, ModelStore } from "./model-store.ts";
import { keyText } from "./model-text.ts";

/**
 * What one subscriber hears, over all the watches that it opens one after the other, wherever they
 * are: ordered, unique, atomic, reliable, resumable, bookmarkable. All six are one statement: what is
 * told up to a revision is exactly what the log says that happened up to there.
 */
export class WatchPromises {
  readonly #model: ModelStore;
  readonly #who: string;
  readonly #request: Omit<WatchRequest, "startRevision">;
  /** Everything before this revision was told. `undefined` before the first watch says where it begins. */
  next: number | undefined;
  /** What the watch of now has told, or promised, last. */
  #floor = 0;

  constructor(model: ModelStore, who: string, request: Omit<WatchRequest, "startRevision">) {
    this.#model = model;
    this.#who = who;
    this.#request = request;
  }

  /** A watch was opened where this one goes on. At a member that is behind it stands before that place. */
  opened(openedRevision: number): void {
    this.#floor = openedRevision;
  }

  /** A watch was opened from the present on. */
  openedAt(revision: number, storeRevision: number): void {
    this.#require(revision >= storeRevision, `opened at ${revision}, the store was at ${storeRevision}`);
    this.next = revision + 1;
  }

  received({ events, revision }: WatchBatch): void {
    const next = this.next ?? 0;
    this.#require(revision <= this.#model.revision, `was told of revision ${revision}, which does not exist`);
    this.#require(revision >= next - 1, `was told up to ${revision} after ${next - 1}`);
    const expected = this.#between(next, revision).map(eventText);
    const found = events.map(eventText);
    const wrong = found.length === expected.length ? found.findIndex((text, at) => text !== expected[at]) : 0;
    if (found.length !== expected.length || wrong >= 0) {
      this.#fail(
        `was told in (${next - 1}, ${revision}]: ${found.join(" ")}; the log says ${expected.join(" ")}`,
      );
    }
    for (const event of events) this.#checkPrevious(event);
    this.next = revision + 1;
    this.#floor = revision;
  }

  /** The watch says that everything up to this revision was told. */
  bookmark(revision: number): void {
    const next = this.next ?? 0;
    this.#require(
      revision <= this.#model.revision,
      `was promised revision ${revision}, which does not exist`,
    );
    this.#require(revision >= this.#floor, `was promised ${revision} after ${this.#floor}`);
    this.#floor = revision;
    if (revision < next) return;
    const missed = this.#between(next, revision)[0];
    if (missed !== undefined) {
      this.#fail(`was promised everything up to ${revision}, but not told ${eventText(missed)}`);
    }
    this.next = revision + 1;
  }

  /** What it needs is compacted: it can only go on from there. */
  compacted(compactRevision: number): void {
    const next = this.next ?? 0;
    this.#require(
      compactRevision > next && compactRevision <= this.#model.compactRevision,
      `needs ${next}, and was ended as compacted at ${compactRevision} (the log says ${this.#model.compactRevision})`,
    );
    this.next = compactRevision;
  }

  #between(first: number, last: number): ModelEvent[] {
    const { withoutPuts, withoutDeletes } = this.#request;
    return [...this.#model.events(this.#request, first, last)].filter(({ type }) => {
      return !(type === "put" ? withoutPuts : withoutDeletes);
    });
  }

  /** The key as it was before, unless that revision is compacted; and only when it was asked for. */
  #checkPrevious({ keyValue, previous }: WatchEvent): void {
    const before = keyValue.modRevision - 1;
    const was = this.#model.read({ key: keyValue.key }, before)[0];
    if (previous === undefined) {
      const excused = this.#request.previous !== true || was === undefined;
      this.#require(
        excused || before < this.#model.compactRevision,
        `was not told what was before ${keyValue.modRevision}`,
      );
      return;
    }
    const same = was !== undefined && keyText(previous) === keyText(was);
    this.#require(
      same && this.#request.previous === true,
      `was told a wrong value before ${keyValue.modRevision}`,
    );
  }

  #require(holds: boolean, what: string): void {
    if (!holds) this.#fail(what);
  }

  #fail(what: string): never {
    throw new Violation("watch", `${this.#who} ${what}`);
  }
}

function eventText({ type, keyValue }: { readonly type: string; readonly keyValue: KeyValue }): string {
  return type === "put" ? keyText(keyValue) : `${toHex(keyValue.key)} deleted @${keyValue.modRevision}`;
}
