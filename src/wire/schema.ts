import * as v from "valibot";
import { limits } from "../base/limits.ts";
import { entryKind } from "../raft/types.ts";
import { WireError } from "./wire-error.ts";

/** An integer from 0 to 2^53 - 1: an index, a term, a count. */
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
/** A member's or cluster's id. */
export const id = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
export const byteString = v.instance(Uint8Array);
/** What an operator chose: names, addresses. */
export const shortText = v.pipe(v.string(), v.maxLength(256));
export const longText = v.pipe(v.string(), v.maxLength(4096));
export const urls = v.pipe(v.array(shortText), v.maxLength(16));

const memberIds = v.pipe(v.array(id), v.maxLength(limits.membersMax));

export const entrySchema = v.strictTuple([
  count,
  count,
  v.picklist([entryKind.normal, entryKind.noop, entryKind.confChange]),
  byteString,
]);

export const confFields = { voters: memberIds, learners: memberIds };

const memberFields = {
  id,
  name: v.pipe(shortText, v.minLength(1)),
  peerAddress: v.pipe(shortText, v.minLength(1)),
  clientUrls: urls,
  grpcUrls: urls,
};

/** What the cluster knows of a member, as an object in requests. */
export const memberRecordSchema = v.strictObject({ ...memberFields, learner: v.boolean() });

/** The same as a positional array in the log. */
export const memberTuple = v.strictTuple([
  memberFields.id,
  memberFields.name,
  memberFields.peerAddress,
  urls,
  urls,
  v.boolean(),
]);

/**
 * Checks a value that came from outside.
 *
 * @throws WireError that names the first thing wrong, without its value.
 */
export function check<const TSchema extends v.GenericSchema>(
  schema: TSchema,
  value: unknown,
  what: string,
): v.InferOutput<TSchema> {
  const result = v.safeParse(schema, value, { abortEarly: true, abortPipeEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const path = v.getDotPath(issue);
  const place = path === null ? "" : ` at ${path}`;
  throw new WireError(`${what} is malformed${place}: expected ${issue.expected ?? issue.type}`);
}
