import type { Context } from "hono";
import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import type { KeyRange } from "../kv/types.ts";
import type { ApiContext, Handler } from "./context.ts";
import { invalidArgument, quoted } from "./errors.ts";
import { type RangeWords, spanOf } from "./listing-routes.ts";
import { type Form, isStream, negotiate } from "./media.ts";
import { choice, flag, integer, keyBytes, parseQuery, queryOf } from "./query.ts";
import { streamHeaders, watchResponse } from "./watch-stream.ts";

const streamForms: readonly Form[] = ["sse", "ndjson"];
const bookmarkMsDefault = 15_000;

const watchQuery = v.object({
  key: v.optional(keyBytes),
  prefix: v.optional(keyBytes),
  start: v.optional(keyBytes),
  end: v.optional(keyBytes),
  revision: v.optional(integer(1)),
  prev: v.optional(flag),
  only: v.optional(choice(["put", "delete"])),
  bookmark_ms: v.optional(integer(100, 3_600_000)),
});

/** `GET /v1/watch`: what happens to keys, as Server-Sent Events or NDJSON, without end. */
export function watchRoute({ service }: ApiContext): Handler {
  return (c: Context) => {
    const request = c.req.raw;
    const query = parseQuery(watchQuery, queryOf(request.url));
    const form = negotiate(request.headers.get("accept"), streamForms);
    if (!isStream(form)) throw new Error(`the form ${form} is no stream`);
    const watched = {
      ...rangeOf(query),
      startRevision: startOf(request.headers.get("last-event-id"), query.revision),
      previous: query.prev === true,
      withoutPuts: query.only === "delete",
      withoutDeletes: query.only === "put",
    };
    const { compactRevision } = service.watches;
    // Said by the status as long as there is one: an EventSource gives up then, and does not ask for ever.
    if (watched.startRevision !== 0 && watched.startRevision < compactRevision) {
      throw new CoracleError(
        "revision_compacted",
        `Revision ${watched.startRevision} has been compacted, the oldest that can be watched from is ${compactRevision}: read the keys, then watch from there.`,
        { compact_revision: compactRevision },
      );
    }
    if (request.method === "HEAD") return new Response(null, { headers: streamHeaders(form, undefined) });
    const bookmarkMs = query.bookmark_ms ?? bookmarkMsDefault;
    return watchResponse({ watches: service.watches, request: watched, form, bookmarkMs });
  };
}

function rangeOf(query: RangeWords & { readonly key?: Uint8Array | undefined }): KeyRange {
  if (query.key === undefined) return spanOf(query);
  if (query.prefix !== undefined || query.start !== undefined || query.end !== undefined) {
    throw invalidArgument("What to watch is given by key, by prefix, or by start and end; by one of them.");
  }
  if (query.key.length === 0) {
    throw new CoracleError("key_empty", "The parameter key is empty; a key has at least one byte.");
  }
  return { key: query.key };
}

/** A browser that connects again sends the same URL, and with the header how far it had come. */
function startOf(lastEventId: string | null, revision: number | undefined): number {
  if (lastEventId === null || lastEventId === "") return revision ?? 0;
  const last = /^\d{1,16}$/.test(lastEventId) ? Number(lastEventId) : Number.NaN;
  if (!(last < Number.MAX_SAFE_INTEGER)) {
    throw invalidArgument(
      `The header last-event-id must be the id of an event, a revision; it is ${quoted(lastEventId)}.`,
    );
  }
  return Math.max(last + 1, revision ?? 0);
}
