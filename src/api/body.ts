import * as v from "valibot";
import { concatBytes, emptyBytes } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { decodeClientCbor } from "../wire/cbor.ts";
import { type BodyGate, bodyGate } from "./body-gate.ts";
import { invalidArgument, quoted } from "./errors.ts";

/** Deeper documents are refused before a recursive check meets them. */
const nestingMax = 512;

/**
 * A body that is not longer holds hardly more than its connection, which may be idle for ever; looking
 * at the clock would cost such a request more than it is worth.
 */
const untimedBytesMax = 4096;

/**
 * Reads the whole body, and not more than `bytesMax` of it.
 *
 * @param tooLarge makes the error for a longer body; it is refused by its Content-Length alone.
 * @throws CoracleError malformed_body when the body ends before it is complete, request_timeout when
 *   it does not come in time, overloaded when too much is on its way already.
 */
export async function readBody(
  request: Request,
  bytesMax: number,
  tooLarge: (bytesMax: number) => CoracleError,
  gate: BodyGate = bodyGate,
): Promise<Uint8Array> {
  const declared = request.headers.get("content-length");
  if (declared === null)
    return request.body === null ? emptyBytes : readStream(request.body, bytesMax, tooLarge, gate);
  const bytes = Number(declared);
  if (bytes > bytesMax) throw tooLarge(bytesMax);
  gate.reserve(bytes);
  try {
    const reading = request.arrayBuffer();
    return new Uint8Array(await (bytes > untimedBytesMax ? gate.arrival(reading) : reading));
  } catch (error) {
    throw bodyError(error);
  } finally {
    gate.release(bytes);
  }
}

function bodyError(error: unknown): CoracleError {
  if (error instanceof CoracleError) return error;
  return new CoracleError("malformed_body", "The request body ended early; nothing was changed.");
}

/** A body of unknown length. */
async function readStream(
  body: ReadableStream<Uint8Array>,
  bytesMax: number,
  tooLarge: (bytesMax: number) => CoracleError,
  gate: BodyGate,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let ended = false;
  const collect = async (): Promise<void> => {
    for await (const chunk of body) {
      if (ended) return;
      if (length + chunk.length > bytesMax) throw tooLarge(bytesMax);
      gate.reserve(chunk.length);
      length += chunk.length;
      chunks.push(chunk);
    }
  };
  try {
    await gate.arrival(collect());
    return concatBytes(chunks);
  } catch (error) {
    throw bodyError(error);
  } finally {
    ended = true;
    gate.release(length);
  }
}

/** A body stored as it is: a coded or partial one would lose its meaning. */
export function checkPlainBody(headers: Headers): void {
  const coding = headers.get("content-encoding");
  if (coding !== null && coding !== "identity") {
    throw new CoracleError(
      "unsupported_media_type",
      `The Content-Encoding ${quoted(coding)} is not read here; send the body as it is.`,
    );
  }
  if (headers.has("content-range")) {
    throw invalidArgument(
      "A value is written whole; send the request without Content-Range (RFC 9110 §14.5).",
    );
  }
}

const fatalUtf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads a JSON or CBOR body, by its Content-Type, and checks it.
 *
 * @throws CoracleError unsupported_media_type, malformed_body, or invalid_argument naming the field.
 */
export async function readDocument<T>(
  request: Request,
  bytesMax: number,
  schema: v.GenericSchema<unknown, T>,
  whenEmpty?: T,
): Promise<T> {
  checkPlainBody(request.headers);
  const bytes = await readBody(request, bytesMax, (limit) => {
    return new CoracleError("request_too_large", `The request body is longer than ${limit} bytes.`, {
      limit: limit,
    });
  });
  if (bytes.length === 0 && whenEmpty !== undefined) return whenEmpty;
  const document = decode(bytes, request.headers.get("content-type"));
  checkShape(document);
  const result = v.safeParse(schema, document, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const path = v.getDotPath(issue);
  throw invalidArgument(
    path === null ? `The body: ${issue.message}.` : `The body's ${path}: ${issue.message}.`,
  );
}

function decode(bytes: Uint8Array, contentType: string | null): unknown {
  const type = (contentType ?? "").split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json" && type !== "application/cbor") {
    const given =
      contentType === null
        ? "The request has no Content-Type"
        : `The Content-Type ${quoted(contentType)} is not read here`;
    throw new CoracleError("unsupported_media_type", `${given}; send application/json or application/cbor.`);
  }
  const name = type === "application/json" ? "JSON" : "CBOR";
  try {
    return name === "JSON" ? JSON.parse(fatalUtf8.decode(bytes)) : decodeClientCbor(bytes);
  } catch {
    throw new CoracleError("malformed_body", `The request body is not well-formed ${name}.`);
  }
}

/** The whole is an object. Breadth first, so that no depth can exhaust the stack. */
function checkShape(document: unknown): void {
  if (!isObject(document)) throw invalidArgument("The body must be an object.");
  let level: unknown[] = [document];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > nestingMax) {
      throw new CoracleError(
        "malformed_body",
        `The request body is nested more than ${nestingMax} levels deep.`,
      );
    }
    level = level.flatMap((value) => {
      if (typeof value !== "object" || value === null || value instanceof Uint8Array) return [];
      return Object.values(value);
    });
  }
}

/** A map of names to values. */
function isObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  );
}
