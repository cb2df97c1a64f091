import { CoracleError } from "../base/errors.ts";
import { invalidArgument } from "./errors.ts";
import { decodePercent } from "./percent.ts";

const keysPath = "/v1/kv/";
const dotSegment = /(?:^|\/)(?:\.|%2[Ee]){1,2}(?:\/|$)/;

/** The path of a request as it was sent, still percent-encoded: Hono's own would decode it. */
export function rawPath(request: Request): string {
  const url = request.url;
  // Without a usable Host header (HTTP/1.0) the URL is the path alone.
  const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("://") + 3);
  const end = url.indexOf("?", start);
  return end === -1 ? url.slice(start) : url.slice(start, end);
}

/**
 * The key that a request is about: the bytes behind `/v1/kv/`, or those of the query's `key` when
 * the path has none.
 *
 * @throws CoracleError key_empty, invalid_argument
 */
export function keyOf(path: string, fromQuery: Uint8Array | undefined): Uint8Array {
  const encoded = path.slice(keysPath.length);
  if (fromQuery !== undefined) {
    if (encoded !== "") throw invalidArgument("The path and the parameter key both name a key; give one.");
    if (fromQuery.length === 0)
      throw new CoracleError("key_empty", "The parameter key is empty; a key has at least one byte.");
    return fromQuery;
  }
  if (encoded === "") {
    throw new CoracleError(
      "key_empty",
      "The path has no key behind /v1/kv/; a key has at least one byte (the keys . and .. are given as ?key=).",
    );
  }
  return decodedPath(encoded, ", or give the key as ?key=");
}

/**
 * The bytes that a part of a path stands for.
 *
 * @param otherwise what may be done about a dot segment besides encoding its slash.
 * @throws CoracleError invalid_argument
 */
export function decodedPath(encoded: string, otherwise = ""): Uint8Array {
  const plain = plainKey(encoded);
  if (plain !== undefined) return plain;
  if (encoded.includes("#")) throw invalidArgument("The path has a # in it; write it as %23.");
  // One runtime resolves such segments before anybody sees them, the other does not: never guess.
  if (dotSegment.test(encoded)) {
    throw invalidArgument(`The path has a segment . or .., which URLs resolve; write / as %2F${otherwise}.`);
  }
  const key = decodePercent(encoded, false);
  if (key === null) {
    throw invalidArgument(
      "The path has a % that two hexadecimal digits do not follow; write a percent sign as %25.",
    );
  }
  return key;
}

/** Most keys are short and have no char that means something in a URL: those take one pass. */
function plainKey(encoded: string): Uint8Array | undefined {
  const length = encoded.length;
  if (length > 256) return undefined;
  const key = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const code = encoded.charCodeAt(i);
    if (code === 37 || code === 35 || code > 126) return undefined; // % # and what is no ASCII
    // A dot after a slash, or at the start, may be a dot segment.
    if (code === 46 && (i === 0 || key[i - 1] === 47)) return undefined;
    key[i] = code;
  }
  return key;
}
