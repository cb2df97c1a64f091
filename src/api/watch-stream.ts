import { utf8 } from "../base/bytes.ts";
import type { CoracleError } from "../base/errors.ts";
import type { Watch, WatchBatch, WatchEvent, WatchRequest, WatchService } from "../service/service.ts";
import { encodeEvent, failureEvent } from "./event-stream.ts";
import { deletedKeyJson, keyValueJson } from "./key-value-json.ts";
import { mediaTypes, type StreamForm } from "./media.ts";

/** Bytes of a stream that wait for a client that does not read; then its watch is paused. */
const waitingBytesMax = 64 * 1024;
/** When the network broke, a browser connects again after this long. */
const reconnectMs = 1000;

/** What every watch of one range is sent, made once: the hub gives all of them the same batch. */
const encoded: Record<StreamForm, WeakMap<WatchBatch, Uint8Array>> = {
  ndjson: new WeakMap(),
  sse: new WeakMap(),
};

function eventJson({ type, keyValue, previous }: WatchEvent): string {
  const was = previous === undefined ? "" : `,"previous":{${keyValueJson(previous, true)}}`;
  const fields = type === "put" ? keyValueJson(keyValue, true) : deletedKeyJson(keyValue);
  return `{"type":"${type}",${fields}${was}}`;
}

/**
 * One message a revision: SSE's `id:` is what a client resumes from, so a revision must not be torn
 * between two messages. SSE gives them without a name, which is where a browser's `onmessage` looks.
 */
function encodeBatch(form: StreamForm, batch: WatchBatch): Uint8Array {
  const known = encoded[form].get(batch);
  if (known !== undefined) return known;
  const lines = form === "ndjson";
  let text = "";
  let revision = 0;
  for (const event of batch.events) {
    const { modRevision } = event.keyValue;
    if (modRevision === revision) text += ",";
    else {
      if (revision > 0) text += lines ? "]}\n" : "]}\n\n";
      text += lines ? `{"type":"events",` : `id: ${modRevision}\ndata: {`;
      text += `"revision":${modRevision},"events":[`;
      revision = modRevision;
    }
    text += eventJson(event);
  }
  text += lines ? "]}\n" : "]}\n\n";
  const bytes = utf8(text);
  encoded[form].set(batch, bytes);
  return bytes;
}

export interface WatchStreamOptions {
  readonly watches: WatchService;
  readonly request: WatchRequest;
  readonly form: StreamForm;
  /** A client that hears nothing for so long is told how far the watch is. */
  readonly bookmarkMs: number;
}

/** One watch on its way to one client. */
class WatchStream {
  readonly #form: StreamForm;
  readonly #watch: Watch;
  readonly #bookmarkMs: number;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** The revision that the client was told of last. */
  #told: number;
  /** Something was sent since the timer fired last. */
  #sent = true;
  #ended = false;

  /** @throws CoracleError as `WatchService.open` does. */
  constructor({ watches, request, form, bookmarkMs }: WatchStreamOptions) {
    this.#form = form;
    this.#bookmarkMs = bookmarkMs;
    this.#watch = watches.open(request, {
      receive: (batch) => this.#receive(batch),
      ended: (error) => this.#end(error),
    });
    // A client that comes back to a member which lags is not sent back to an older id.
    this.#told = Math.max(this.#watch.openedRevision, request.startRevision - 1);
  }

  /** Before the hub's first call: that comes at the end of the turn at the earliest. */
  begin(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    if (this.#form === "sse") controller.enqueue(utf8(`retry: ${reconnectMs}\n`));
    this.#tell("created");
    this.#timer = setInterval(() => this.#bookmark(), this.#bookmarkMs);
  }

  /** The revision after which it tells events. */
  get told(): number {
    return this.#told;
  }

  /** The client has read. */
  resume(): void {
    if (!this.#ended) this.#watch.resume();
  }

  /** The client is gone. */
  cancel(): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#watch.cancel();
  }

  #receive(batch: WatchBatch): boolean {
    this.#controller?.enqueue(encodeBatch(this.#form, batch));
    this.#told = batch.events.at(-1)?.keyValue.modRevision ?? this.#told;
    this.#sent = true;
    return this.#hasRoom();
  }

  /** Also says that the stream is alive: proxies close what is silent for long. */
  #bookmark(): void {
    const revision = this.#watch.deliveredRevision;
    if (this.#hasRoom() && (revision > this.#told || !this.#sent)) {
      this.#told = Math.max(revision, this.#told);
      this.#tell("bookmark");
    }
    this.#sent = false;
  }

  #tell(type: "created" | "bookmark"): void {
    const revision = this.#told;
    this.#controller?.enqueue(encodeEvent(this.#form, { type, id: revision, document: { revision } }));
  }

  #hasRoom(): boolean {
    return (this.#controller?.desiredSize ?? 0) > 0;
  }

  #end(error: CoracleError): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#controller?.enqueue(encodeEvent(this.#form, failureEvent(error)));
    this.#controller?.close();
  }
}

/**
 * An answer that tells events until the client goes or the watch ends: then with an event `error`.
 *
 * @throws CoracleError as `WatchService.open` does.
 */
export function watchResponse(options: WatchStreamOptions): Response {
  const stream = new WatchStream(options);
  const body = new ReadableStream<Uint8Array>(
    {
      start: (controller) => stream.begin(controller),
      pull: () => stream.resume(),
      cancel: () => stream.cancel(),
    },
    { highWaterMark: waitingBytesMax, size: (chunk) => chunk?.byteLength ?? 0 },
  );
  return new Response(body, { status: 200, headers: streamHeaders(options.form, stream.told) });
}

export function streamHeaders(form: StreamForm, revision: number | undefined): Record<string, string> {
  return {
    "content-type": mediaTypes[form],
    "cache-control": "no-store",
    // What nginx reads: a stream must not wait in its buffer.
    "x-accel-buffering": "no",
    vary: "accept",
    ...(revision !== undefined && { "coracle-revision": String(revision) }),
  };
}
