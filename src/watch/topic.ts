import { Buffer } from "node:buffer";
import type { WatchBatch, WatchEvent, WatchRequest } from "../service/service.ts";
import type { Watcher } from "./watcher.ts";

const decoder = new TextDecoder("latin1");
const beyondAscii = /[\u0080-\uffff]/;

/** Keys as strings of one char a byte: `<` orders them as bytes, and a Map can be keyed by them. */
export function keyText(key: Uint8Array): string {
  const text = decoder.decode(key);
  // What the web calls latin1 is windows-1252, which is not in the order of bytes; but it is fast.
  if (!beyondAscii.test(text)) return text;
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
}

/** What an event takes in memory beside its bytes, about. */
const eventOverheadBytes = 96;

export function eventBytes({ keyValue, previous }: WatchEvent): number {
  const bytes = keyValue.key.length + keyValue.value.length + eventOverheadBytes;
  return previous === undefined ? bytes : bytes + previous.key.length + previous.value.length;
}

/** A batch with what it takes of a queue. */
export interface QueuedBatch {
  readonly batch: WatchBatch;
  readonly bytes: number;
}

/** All watches that want the same: one range, one set of options. They share what is collected. */
export class Topic {
  /** Different for topics that want different things. */
  readonly id: string;
  readonly start: string;
  /** `undefined`: the one key. `null`: no upper bound. */
  readonly end: string | null | undefined;
  readonly wantsPrevious: boolean;
  readonly #withoutPuts: boolean;
  readonly #withoutDeletes: boolean;
  readonly synced = new Set<Watcher>();
  /** Watches of any state. */
  watches = 0;
  /** The pass that collects here; events of other passes are none of its business. */
  pass = 0;
  #events: WatchEvent[] = [];
  #bytes = 0;

  constructor(request: WatchRequest, id: string) {
    this.id = id;
    this.start = keyText(request.key);
    this.end = request.end === undefined || request.end === null ? request.end : keyText(request.end);
    this.wantsPrevious = request.previous === true;
    this.#withoutPuts = request.withoutPuts === true;
    this.#withoutDeletes = request.withoutDeletes === true;
  }

  static idOf({ key, end, previous, withoutPuts, withoutDeletes }: WatchRequest): string {
    const options =
      Number(previous === true) + 2 * Number(withoutPuts === true) + 4 * Number(withoutDeletes === true);
    const kind = end === undefined ? "=" : end === null ? ">" : "-";
    // The length ends the key, whatever bytes stand in both.
    return `${options}${kind}${key.length}:${keyText(key)}${end ? keyText(end) : ""}`;
  }

  wants(type: WatchEvent["type"]): boolean {
    return type === "put" ? !this.#withoutPuts : !this.#withoutDeletes;
  }

  collect(event: WatchEvent): void {
    this.#events.push(event);
    this.#bytes += eventBytes(event);
  }

  /** What was collected, up to `revision`; the next pass begins anew. */
  take(revision: number): QueuedBatch | undefined {
    if (this.#events.length === 0) return undefined;
    const taken = { batch: { events: this.#events, revision }, bytes: this.#bytes };
    this.#events = [];
    this.#bytes = 0;
    return taken;
  }
}

/** What of a batch lies after a revision. */
export function after({ batch, bytes }: QueuedBatch, revision: number): QueuedBatch | undefined {
  const events = batch.events.filter(({ keyValue }) => keyValue.modRevision > revision);
  return events.length === 0 ? undefined : { batch: { events, revision: batch.revision }, bytes };
}
