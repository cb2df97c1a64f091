import { getLogger } from "@logtape/logtape";
import { utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { errorFaces, internalError } from "./errors.ts";
import { type Document, mediaTypes, type StreamForm } from "./media.ts";

const log = getLogger(["coracle", "api"]);

/** One line (NDJSON) or event (SSE) of an answer that goes on. */
export interface StreamEvent {
  /** The event's name; in NDJSON the field `type`. */
  readonly type: string;
  /** SSE's `id:`, from which a client resumes. */
  readonly id?: string | number;
  readonly document: Document;
}

/** A silent stream says so often that it is alive: proxies close what is silent for long. */
const beatMs = 15_000;
const beats: Readonly<Record<StreamForm, Uint8Array>> = {
  sse: utf8(":\n\n"),
  ndjson: utf8('{"type":"alive"}\n'),
};

/** The bytes of one event. */
export function encodeEvent(form: StreamForm, { type, id, document }: StreamEvent): Uint8Array {
  if (form === "ndjson") return utf8(`${JSON.stringify({ type, ...document })}\n`);
  // JSON has no line breaks of its own, so one data line holds it (WHATWG HTML §9.2.6).
  const idLine = id === undefined ? "" : `id: ${id}\n`;
  return utf8(`${idLine}event: ${type}\ndata: ${JSON.stringify(document)}\n\n`);
}

/** What ends a stream that failed: what a problem document would say. */
export function failureEvent(error: unknown): StreamEvent {
  const known = error instanceof CoracleError ? error : internalError("of this stream");
  if (known !== error) log.error("A stream ended by a bug: {error}.", { error });
  const { status, title } = errorFaces[known.code];
  const problem = { status, title, detail: known.message, code: known.code, ...known.details };
  return { type: "error", document: problem };
}

/**
 * An answer that goes on event by event, as fast as the client reads. It ends after the source's last
 * event, or after an event `error` with what a problem document would say.
 *
 * @param source is given a signal that aborts when the client is gone.
 */
export function streamResponse(
  form: StreamForm,
  source: (signal: AbortSignal) => AsyncGenerator<StreamEvent, void>,
  headers: Record<string, string> = {},
): Response {
  const gone = new AbortController();
  const events = source(gone.signal);
  let timer: ReturnType<typeof setInterval> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      timer = setInterval(() => {
        // A client that does not read gets nothing more.
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(beats[form]);
      }, beatMs);
    },
    async pull(controller) {
      let last: StreamEvent | undefined;
      try {
        const { done, value } = await events.next();
        if (gone.signal.aborted) return;
        if (done !== true) {
          controller.enqueue(encodeEvent(form, value));
          return;
        }
      } catch (error) {
        if (gone.signal.aborted) return;
        last = failureEvent(error);
      }
      clearInterval(timer);
      if (last !== undefined) controller.enqueue(encodeEvent(form, last));
      controller.close();
    },
    async cancel() {
      clearInterval(timer);
      gone.abort();
      await events.return();
    },
  });
  return new Response(body, {
    status: 200,
    headers: { "content-type": mediaTypes[form], "cache-control": "no-store", ...headers },
  });
}
