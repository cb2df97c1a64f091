import * as v from "valibot";
import { utf8 } from "../base/bytes.ts";
import { quoted } from "./errors.ts";

/** Fields of the documents that clients send. */

/** Text (its UTF-8), or in CBOR the bytes themselves. */
export const bytesOrText = v.pipe(
  v.union([v.string(), v.instance(Uint8Array)], "must be text, or in CBOR a byte string"),
  v.transform((value) => (typeof value === "string" ? utf8(value) : value)),
);
/** Bytes as base64, with padding. */
export const base64 = v.pipe(
  v.string("must be base64 text"),
  v.rawTransform(({ dataset, addIssue, NEVER }): Uint8Array => {
    try {
      return Uint8Array.fromBase64(dataset.value, { lastChunkHandling: "strict" });
    } catch {
      addIssue({ message: `must be base64 with padding, not ${quoted(dataset.value)}` });
      return NEVER;
    }
  }),
);

/** A whole number of a document. */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER) {
  const message = `must be a whole number from ${least} to ${most}`;
  // CBOR has integers of 64 bits.
  const number = v.union([v.number(), v.pipe(v.bigint(), v.transform(Number))], message);
  return v.pipe(number, v.safeInteger(message), v.minValue(least, message), v.maxValue(most, message));
}
export const truth = v.boolean("must be true or false");

/** What is wrong with the fields of an object: the issue's path names the field. */
export function objectMessage(shape: string): (issue: v.StrictObjectIssue) => string {
  return ({ expected }) => {
    if (expected === "never") return "there is no such field here";
    return expected === "Object" ? `must be ${shape}` : "is missing";
  };
}
