import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { count, id, longText, memberRecordSchema, shortText, urls } from "./schema.ts";

/*
 * Bodies of requests by name, on control connections and between members. Objects are not strict:
 * a newer member may add a property.
 */

const name = v.pipe(shortText, v.minLength(1));
const address = v.pipe(shortText, v.minLength(1));

/** "join": a process asks to become a learner, or takes the place of the dead member of its name. */
export const joinRequestSchema = v.object({
  name,
  peerAddress: address,
  clientUrls: urls,
  grpcUrls: urls,
});
export type JoinRequest = v.InferOutput<typeof joinRequestSchema>;

/** The member asked has the leader decide, wherever that is; a refusal comes as an error. */
export const joinResponseSchema = v.object({
  clusterId: id,
  memberId: id,
  members: v.array(memberRecordSchema),
});
export type Joined = v.InferOutput<typeof joinResponseSchema>;

/** What all members that start at once agree on (discovery/bootstrap.ts). */
export const bootstrapPlanSchema = v.object({
  clusterId: id,
  members: v.pipe(v.array(memberRecordSchema), v.minLength(1), v.maxLength(limits.membersMax)),
});
export type BootstrapPlan = v.InferOutput<typeof bootstrapPlanSchema>;

/** "probe" has no body; the answer says who is there and how far its bootstrap came. */
export const probeResponseSchema = v.object({
  /** Drawn anew by each start of a process: by it a process recognises itself. */
  instance: shortText,
  name,
  peerAddress: address,
  clientUrls: urls,
  grpcUrls: urls,
  /** `joining`: it waits to be admitted to a cluster and takes part in no bootstrap. */
  state: v.picklist(["empty", "planned", "initialised", "joining"]),
  /** Of the cluster it is in, or whose plan it accepted; 0 for none. */
  clusterId: count,
  /** Names of all members it expects, sorted, once every one of them has answered it; else empty. */
  view: v.pipe(v.array(name), v.maxLength(limits.membersMax)),
  /** The plan it accepted, while it is `planned`. */
  plan: v.optional(bootstrapPlanSchema),
});
export type ProbeResponse = v.InferOutput<typeof probeResponseSchema>;

/** "plan": accept it durably. */
export const planRequestSchema = v.object({ plan: bootstrapPlanSchema });
export const planResponseSchema = v.object({ accepted: v.boolean(), reason: longText });
export type PlanResponse = v.InferOutput<typeof planResponseSchema>;

/** "commit": everybody has accepted the plan of this cluster. */
export const commitRequestSchema = v.object({ clusterId: id });

/**
 * Checks the body of a request or an answer.
 *
 * @throws CoracleError `malformed_body` that names the first thing wrong.
 */
export function parseBody<const TSchema extends v.GenericSchema>(
  schema: TSchema,
  body: unknown,
  what: string,
): v.InferOutput<TSchema> {
  const result = v.safeParse(schema, body, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new CoracleError(
    "malformed_body",
    `The ${what} is malformed at ${v.getDotPath(issue) ?? "its root"}: expected ${issue.expected ?? issue.type}.`,
  );
}
