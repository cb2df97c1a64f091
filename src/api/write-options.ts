import * as v from "valibot";
import type { Command, CommandBody } from "../kv/types.ts";
import type { ApiContext } from "./context.ts";
import { invalidArgument } from "./errors.ts";
import { flag } from "./query.ts";

/** A parameter of every write: answer 307 at a follower, instead of forwarding. */
export const redirectParameter = { redirect: v.optional(flag) };

export function idempotencyKeyOf(headers: Headers): string | undefined {
  return headers.get("idempotency-key") ?? undefined;
}

/** The command with the client's `Idempotency-Key`, when it gave one. */
export function commandOf(body: CommandBody, headers: Headers): Command {
  const idempotencyKey = idempotencyKeyOf(headers);
  return idempotencyKey === undefined ? { body } : { body, idempotencyKey };
}

/** Of a request whose repetition is no question of one command: `why` says how to repeat it. */
export function refuseIdempotencyKey(headers: Headers, why: string): void {
  if (idempotencyKeyOf(headers) === undefined) return;
  throw invalidArgument(`${why}: leave the header Idempotency-Key out.`);
}

/**
 * A 307 to the leader for a client that asked for it; `undefined` when this member is the leader,
 * or none is known (then the write says so), or the leader has no client URL.
 */
export function redirectToLeader(
  api: ApiContext,
  request: Request,
  asked: boolean | undefined,
): Response | undefined {
  if (asked !== true) return undefined;
  const head = api.service.cluster.head();
  const leader = api.service.cluster.leader();
  const base = leader?.clientUrls[0];
  if (leader === undefined || leader.id === head.memberId || base === undefined) return undefined;
  const pathStart = request.url.indexOf("/", request.url.indexOf("://") + 3);
  const location = `${base.replace(/\/$/, "")}${request.url.slice(pathStart)}`;
  return new Response(null, { status: 307, headers: { location } });
}
