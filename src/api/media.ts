import { Encoder } from "cbor-x/index-no-eval";
import { utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { answerGate, countedBytesMin } from "../service/answer-gate.ts";

/** A form an answer can take. `raw` is the value's bytes alone; the last two go on event by event. */
export type Form = "raw" | "json" | "cbor" | StreamForm;
export type StreamForm = "ndjson" | "sse";

export const mediaTypes: Readonly<Record<Form, string>> = {
  raw: "application/octet-stream",
  json: "application/json",
  cbor: "application/cbor",
  ndjson: "application/x-ndjson",
  sse: "text/event-stream",
};

/** A value of a document. Bytes occur in CBOR documents only. */
export type Item =
  | null
  | boolean
  | number
  /** An integer beyond 2^53, in CBOR documents only. */
  | bigint
  | string
  | Uint8Array
  | readonly Item[]
  | { readonly [name: string]: Item };
export type Document = { readonly [name: string]: Item };

export const rawFirst: readonly Form[] = ["raw", "json", "cbor"];
export const documentForms: readonly Form[] = ["json", "cbor"];
/** Of a route that answers once, or goes on when that is asked for. */
export const documentOrStreamForms: readonly Form[] = ["json", "cbor", "ndjson", "sse"];

export function isStream(form: Form): form is StreamForm {
  return form === "ndjson" || form === "sse";
}

/** Accept headers seen before: clients send the same one over and over. */
const negotiated = new WeakMap<readonly Form[], Map<string, Form | null>>();
const negotiatedMax = 256;

/**
 * The form of the answer by RFC 9110 §12.5.1; the first offer wins a tie and stands for no header.
 *
 * @throws CoracleError not_acceptable, naming what there is.
 */
export function negotiate(accept: string | null, offers: readonly Form[]): Form {
  if (accept === null || accept === "*/*") return offers[0] as Form;
  let known = negotiated.get(offers);
  if (known === undefined) {
    known = new Map();
    negotiated.set(offers, known);
  }
  let form = known.get(accept);
  if (form === undefined) {
    form = bestOffer(accept, offers);
    if (known.size >= negotiatedMax) known.clear();
    known.set(accept, form);
  }
  if (form !== null) return form;
  const offered = offers.map((offer) => mediaTypes[offer]).join(", ");
  throw new CoracleError("not_acceptable", `The Accept header allows none of ${offered}, which exist here.`);
}

function bestOffer(accept: string, offers: readonly Form[]): Form | null {
  const ranges = accept.split(",").map(parseMediaRange);
  let best: Form | null = null;
  let bestQuality = 0;
  for (const offer of offers) {
    const quality = qualityOf(mediaTypes[offer], ranges);
    if (quality > bestQuality) {
      best = offer;
      bestQuality = quality;
    }
  }
  return best;
}

interface MediaRange {
  readonly type: string;
  readonly quality: number;
}

function parseMediaRange(text: string): MediaRange {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  let quality = 1;
  for (const parameter of parameters) {
    if (!parameter.startsWith("q=")) continue;
    const value = Number(parameter.slice(2));
    quality = Number.isNaN(value) ? 0 : Math.min(Math.max(value, 0), 1);
  }
  return { type, quality };
}

/** The most specific range that covers the type decides (RFC 9110 §12.5.1). */
function qualityOf(mediaType: string, ranges: readonly MediaRange[]): number {
  const kind = `${mediaType.slice(0, mediaType.indexOf("/"))}/*`;
  for (const wanted of [mediaType, kind, "*/*"]) {
    const range = ranges.find((candidate) => candidate.type === wanted);
    if (range !== undefined) return range.quality;
  }
  return 0;
}

/** The form of a problem document: CBOR only for a client that prefers it to JSON. */
export function problemForm(accept: string | null): "json" | "cbor" {
  if (accept === null || !accept.includes("cbor")) return "json";
  const cbor = qualityOf(mediaTypes.cbor, accept.split(",").map(parseMediaRange));
  const ranges = `${accept},application/problem+json;q=0`.split(",").map(parseMediaRange);
  return cbor > 0 && cbor >= qualityOf(mediaTypes.json, ranges) ? "cbor" : "json";
}

// Plain maps and byte strings, without cbor-x's own record and typed array tags: any decoder reads it.
const encoder = new Encoder({ useRecords: false, tagUint8Array: false });

/** cbor-x writes integers over 32 bits as floats, which other decoders would give as floats. */
function withWideIntegers(item: Item): unknown {
  if (typeof item === "number")
    return Number.isInteger(item) && Math.abs(item) > 0xffff_ffff ? BigInt(item) : item;
  if (item === null || typeof item !== "object" || item instanceof Uint8Array) return item;
  if (Array.isArray(item)) return item.map(withWideIntegers);
  const copy: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(item)) copy[name] = withWideIntegers(value);
  return copy;
}

export function encodeCbor(document: Document): Uint8Array<ArrayBuffer> {
  // A copy at once: the encoder uses its memory again. (`Uint8Array.from` would take it byte by byte.)
  return new Uint8Array(encoder.encode(withWideIntegers(document)));
}

export type Headers = Record<string, string>;

/** An answer with a document as its body. */
export function documentResponse(form: Form, document: Document, status: number, headers: Headers): Response {
  if (form === "cbor") {
    headers["content-type"] = mediaTypes.cbor;
    return new Response(answerGate.body(encodeCbor(document)), { status, headers });
  }
  headers["content-type"] ??= mediaTypes.json;
  const text = `${JSON.stringify(document)}\n`;
  const body = text.length < countedBytesMin ? text : answerGate.body(utf8(text));
  return new Response(body, { status, headers });
}
