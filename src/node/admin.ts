import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import type { MemberId } from "../raft/types.ts";

const id = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const text = v.pipe(v.string(), v.maxLength(512));
const urls = v.pipe(v.array(text), v.maxLength(16));

export const joinSchema = v.strictObject({
  name: v.pipe(text, v.minLength(1)),
  peerAddress: v.pipe(text, v.minLength(1)),
  clientUrls: urls,
  grpcUrls: urls,
});

/** What only the leader can do, asked of it by the member that an operator talks to. */
export const adminSchema = v.variant("op", [
  v.strictObject({ op: v.literal("join"), ...joinSchema.entries }),
  v.strictObject({ op: v.literal("remove"), id }),
  v.strictObject({ op: v.literal("promote"), id }),
  v.strictObject({ op: v.literal("transfer"), to: v.optional(id) }),
  v.strictObject({
    op: v.literal("update"),
    member: v.strictObject({ id, ...joinSchema.entries, learner: v.boolean() }),
  }),
]);

export type AdminRequest = v.InferOutput<typeof adminSchema>;

const memberSchema = v.strictObject({ id, ...joinSchema.entries, learner: v.boolean() });

/** A member says where others reach it. */
export const introductionSchema = v.strictObject({ name: text, address: v.pipe(text, v.minLength(1)) });

export const joinAnswerSchema = v.strictObject({
  clusterId: id,
  memberId: id,
  members: v.array(memberSchema),
});
export const transferAnswerSchema = v.strictObject({ leader: id });

export const statusAnswerSchema = v.strictObject({
  role: v.picklist(["leader", "follower", "candidate", "pre-candidate", "learner"]),
  term: v.number(),
  leaderId: v.number(),
  commitIndex: v.number(),
  appliedIndex: v.number(),
  revision: v.number(),
  storeBytes: v.number(),
  logEntries: v.number(),
  logBytes: v.number(),
  version: v.string(),
  uptimeSeconds: v.number(),
  trouble: v.exactOptional(v.string()),
});
export type StatusAnswer = v.InferOutput<typeof statusAnswerSchema>;

/** Checks what another member sent. */
export function parsePeerBody<S extends v.GenericSchema>(
  schema: S,
  body: unknown,
  from: MemberId,
): v.InferOutput<S> {
  const parsed = v.safeParse(schema, body);
  if (parsed.success) return parsed.output;
  const problem = parsed.issues[0].message;
  throw new CoracleError(
    "invalid_argument",
    `Member ${from} sent something that this version does not understand: ${problem}`,
  );
}
