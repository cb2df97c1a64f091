import type { Context } from "hono";
import * as v from "valibot";
import { compareBytes, equalBytes, prefixEnd } from "../base/bytes.ts";
import { limits } from "../base/limits.ts";
import type { KeyRange } from "../kv/types.ts";
import { admitAnswer, answerGate } from "../service/answer-gate.ts";
import { consistencyOf, consistencyParameters } from "./consistency.ts";
import type { ApiContext, Handler } from "./context.ts";
import { type Cursor, cursorAfter, parseCursor } from "./cursor.ts";
import { keyValueDocuments, writeFields } from "./documents.ts";
import { invalidArgument } from "./errors.ts";
import { listingResponse } from "./listing-stream.ts";
import { documentForms, documentResponse, type Form, type Item, negotiate } from "./media.ts";
import { flag, integer, keyBytes, parseQuery, queryOf, textParameter } from "./query.ts";
import { commandOf, redirectParameter, redirectToLeader } from "./write-options.ts";

const rangeParameters = {
  prefix: v.optional(keyBytes),
  start: v.optional(keyBytes),
  end: v.optional(keyBytes),
};
const listQuery = v.object({
  ...rangeParameters,
  limit: v.optional(integer(1, limits.rangeKeysMax)),
  cursor: v.optional(textParameter),
  revision: v.optional(integer(1)),
  keys_only: v.optional(flag),
  count_only: v.optional(flag),
  ...consistencyParameters,
});
/** A stream may be of any length, and counts for itself. */
const { count_only: _, ...streamEntries } = listQuery.entries;
const streamQuery = v.object({ ...streamEntries, limit: v.optional(integer(1)) });
const listForms: readonly Form[] = ["json", "cbor", "ndjson"];
const deleteQuery = v.object({
  ...rangeParameters,
  all: v.optional(flag),
  prev: v.optional(flag),
  ...redirectParameter,
});

/** A range as a query or a body of a transaction names it. */
export interface RangeWords {
  readonly prefix?: Uint8Array | undefined;
  readonly start?: Uint8Array | undefined;
  readonly end?: Uint8Array | undefined;
}

/** A range between two keys; `end` null for no upper bound. */
type Span = Required<KeyRange>;

const firstKey = new Uint8Array(1);

/** The keys that the words name; every key when they name nothing. */
export function spanOf(words: RangeWords): Span {
  const { prefix, start, end } = words;
  if (prefix !== undefined) {
    if (start !== undefined || end !== undefined) {
      throw invalidArgument("A range is given by prefix, or by start and end; not by both.");
    }
    return prefix.length === 0 ? { key: firstKey, end: null } : { key: prefix, end: prefixEnd(prefix) };
  }
  if (end !== undefined && end.length === 0) {
    throw invalidArgument("The end of the range is empty; leave it out for a range without end.");
  }
  return { key: start === undefined || start.length === 0 ? firstKey : start, end: end ?? null };
}

/** Listing and deleting many keys: `/v1/kv?prefix=`, `/v1/kv?start=&end=`. */
export function listingRoutes(api: ApiContext): { readonly list: Handler; readonly delete: Handler } {
  return { list: (c) => listKeys(api, c), delete: (c) => deleteKeys(api, c) };
}

async function listKeys(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const form = negotiate(request.headers.get("accept"), listForms);
  if (form === "ndjson") return streamKeys(api, request);
  const query = parseQuery(listQuery, queryOf(request.url));
  const countOnly = query.count_only === true;
  const keysOnly = query.keys_only === true;
  const page = pageOf(query);
  const limit = query.limit ?? limits.rangeKeysDefault;
  const range = {
    type: "range",
    key: page.next,
    end: page.end,
    revision: page.revision,
    limit,
    keysOnly,
    countOnly,
    uncounted: true,
  } as const;
  const result = await api.service.kv.range(range, consistencyOf(query), admitAnswer);
  await answerGate.turn(result);

  const document: Record<string, Item> = { revision: result.revision };
  if (countOnly) document.count = result.count;
  else {
    const last = result.keys.at(-1);
    document.more = result.more;
    if (result.more && last !== undefined) {
      document.cursor = cursorAfter(
        last.key,
        page.end,
        page.revision === 0 ? result.revision : page.revision,
      );
    }
    document.keys = keyValueDocuments(result, form, !keysOnly);
  }
  return documentResponse(form, document, 200, {
    "coracle-revision": String(result.revision),
    vary: "accept",
  });
}

function streamKeys({ service }: ApiContext, request: Request): Promise<Response> {
  const query = parseQuery(streamQuery, queryOf(request.url));
  const options = {
    kv: service.kv,
    page: pageOf(query),
    limit: query.limit ?? Number.POSITIVE_INFINITY,
    keysOnly: query.keys_only === true,
    consistency: consistencyOf(query),
  };
  return listingResponse(options, request.method === "HEAD");
}

/** The first page, or the one that the cursor names. Words given beside a cursor must be its own. */
function pageOf(
  query: RangeWords & { readonly cursor?: string | undefined; readonly revision?: number | undefined },
): Cursor {
  const span = spanOf(query);
  const revision = query.revision ?? 0;
  if (query.cursor === undefined) return { revision, next: span.key, end: span.end };
  const cursor = parseCursor(query.cursor);
  if (query.revision !== undefined && query.revision !== cursor.revision) {
    throw invalidArgument(
      `The cursor is for revision ${cursor.revision}, the parameter revision is ${revision}; leave one out.`,
    );
  }
  const ranged = query.prefix !== undefined || query.start !== undefined || query.end !== undefined;
  if (ranged && !(compareBytes(span.key, cursor.next) <= 0 && sameEnd(span.end, cursor.end))) {
    throw invalidArgument(
      "The cursor is of another range than the one given; repeat that range, or give the cursor alone.",
    );
  }
  return cursor;
}

function sameEnd(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : equalBytes(a, b);
}

async function deleteKeys(api: ApiContext, c: Context): Promise<Response> {
  const request = c.req.raw;
  const headers = request.headers;
  const query = parseQuery(deleteQuery, queryOf(request.url));
  const form = negotiate(headers.get("accept"), documentForms);
  for (const header of ["if-match", "if-none-match"]) {
    if (headers.has(header))
      throw invalidArgument(`The header ${header} is for one key; use POST /v1/txn for a condition on many.`);
  }
  // An unset variable in `?prefix=$PREFIX` must not empty the store.
  const named = (query.prefix?.length ?? 0) + (query.start?.length ?? 0) + (query.end?.length ?? 0) > 0;
  if (query.all === true ? named : !named) {
    throw invalidArgument(
      "Name the keys to delete by prefix, or start and end, that are not empty; or every key by all=true alone.",
    );
  }
  const redirect = redirectToLeader(api, request, query.redirect);
  if (redirect !== undefined) return redirect;
  const body = { type: "delete", ...spanOf(query), previous: query.prev === true } as const;
  const result = await api.service.kv.propose(commandOf(body, headers));
  if (result.type !== "delete") throw new Error(`a delete was answered with a result of type ${result.type}`);
  return documentResponse(form, writeFields(result, form), 200, {
    "coracle-revision": String(result.revision),
  });
}
