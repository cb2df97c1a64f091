import { concatBytes, utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import type { RangeOperation, RangeResult } from "../kv/types.ts";
import type { Consistency, KvService } from "../service/service.ts";
import { type Cursor, cursorAfter } from "./cursor.ts";
import { encodeEvent, failureEvent } from "./event-stream.ts";
import { keyValueJson } from "./key-value-json.ts";
import { streamHeaders } from "./watch-stream.ts";

/** Keys that are read at once: a listing must not hold up the member. */
const pageKeys = 64;
/** Bytes of a listing that wait for a client that does not read; then no more is read. */
const waitingBytesMax = 64 * 1024;

export interface ListingOptions {
  readonly kv: KvService;
  readonly page: Cursor;
  /** Most keys to list. */
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly consistency: Consistency;
}

/** A listing of any length, read page by page at one revision as fast as its client reads. */
class Listing {
  readonly #options: ListingOptions;
  #next: Uint8Array;
  #revision: number;
  #listed = 0;
  #page: RangeResult | undefined;
  #cancelled = false;

  constructor(options: ListingOptions) {
    this.#options = options;
    this.#next = options.page.next;
    this.#revision = options.page.revision;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Reads the first page, which fixes the revision. What it throws is the answer's status. */
  async begin(): Promise<void> {
    this.#page = await this.#read(this.#options.consistency);
    if (this.#revision === 0) this.#revision = this.#page.revision;
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      this.#page ??= await this.#readOn();
      if (this.#cancelled) return;
      const page = this.#page;
      this.#page = undefined;
      if (page.keys.length > 0) controller.enqueue(this.#lines(page));
      if (page.more && this.#listed < this.#options.limit && page.keys.length > 0) return;
      controller.enqueue(this.#end(page.more));
    } catch (error) {
      if (this.#cancelled) return;
      controller.enqueue(encodeEvent("ndjson", failureEvent(error)));
    }
    controller.close();
  }

  cancel(): void {
    this.#cancelled = true;
  }

  #read(consistency: Consistency): Promise<RangeResult> {
    const { kv, page, limit, keysOnly } = this.#options;
    const range: RangeOperation = {
      type: "range",
      key: this.#next,
      end: page.end,
      revision: this.#revision,
      limit: Math.min(pageKeys, limit - this.#listed),
      keysOnly,
      uncounted: true,
    };
    return kv.range(range, consistency);
  }

  /** The revision is fixed, so this member's own state will do: it has it since the first page. */
  async #readOn(): Promise<RangeResult> {
    // A read waits for the end of the turn, so others are served between two pages.
    try {
      return await this.#read({ mode: "serializable" });
    } catch (error) {
      // Unless the disk was full and the state stepped back for a moment: this waits for it.
      if (!(error instanceof CoracleError) || error.code !== "revision_future") throw error;
      return this.#read({ mode: "linearizable" });
    }
  }

  #lines({ keys }: RangeResult): Uint8Array {
    const withValue = !this.#options.keysOnly;
    let text = "";
    for (const found of keys) text += `{"type":"key",${keyValueJson(found, withValue)}}\n`;
    this.#listed += keys.length;
    const last = keys.at(-1);
    if (last !== undefined) this.#next = concatBytes([last.key, successor]);
    return utf8(text);
  }

  /** Says that nothing is missing: a listing that was cut has no such line. */
  #end(more: boolean): Uint8Array {
    const { end } = this.#options.page;
    const { length } = this.#next;
    const cursor = more && { cursor: cursorAfter(this.#next.subarray(0, length - 1), end, this.#revision) };
    const document = { revision: this.#revision, keys: this.#listed, more, ...cursor };
    return encodeEvent("ndjson", { type: "end", document });
  }
}

/** What makes of a key the next possible one. */
const successor = new Uint8Array(1);

/** Every key of a range as NDJSON, a line each, and a line that says that it was all. */
export async function listingResponse(options: ListingOptions, headOnly: boolean): Promise<Response> {
  const listing = new Listing(options);
  await listing.begin();
  const body = headOnly
    ? null
    : new ReadableStream<Uint8Array>(
        { pull: (controller) => listing.pull(controller), cancel: () => listing.cancel() },
        { highWaterMark: waitingBytesMax, size: (chunk) => chunk?.byteLength ?? 0 },
      );
  return new Response(body, { status: 200, headers: streamHeaders("ndjson", listing.revision) });
}
