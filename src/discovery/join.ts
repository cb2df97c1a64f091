import { getLogger } from "@logtape/logtape";
import type { Clock } from "../base/clock.ts";
import { CoracleError, type ErrorCode, messageOf } from "../base/errors.ts";
import { pause } from "../base/pause.ts";
import { type Joined, type JoinRequest, joinResponseSchema, parseBody } from "../wire/requests.ts";
import type { Ask } from "./ask.ts";

const log = getLogger(["coracle", "discovery"]);

/** Answers that asking again does not change. */
const definite: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "name_taken",
  "member_exists",
  "invalid_argument",
  "malformed_body",
  "unauthorized",
  "forbidden",
  "config_invalid",
  "method_not_allowed",
]);
/** Handshake refusals that a retry may end. */
const passing: ReadonlySet<unknown> = new Set(["busy", "not-ready"]);

export interface JoinOptions {
  readonly ask: Ask;
  readonly clock: Clock;
  /** Members to ask, in this order. */
  readonly addresses: readonly string[];
  readonly self: JoinRequest;
  readonly signal?: AbortSignal;
  readonly attemptMs?: number;
  readonly retryMs?: number;
  /** How often it says what it waits for. */
  readonly reportMs?: number;
}

/**
 * Asks to become a member, and goes on asking while no leader can admit it.
 * Asking twice is harmless: the answer for the same name and address is the same member.
 *
 * @throws CoracleError when the cluster says no for good, or `shutting_down` when `signal` aborts.
 */
export async function requestJoin(options: JoinOptions): Promise<Joined> {
  const { clock, addresses, signal } = options;
  let reportedMs = Number.NEGATIVE_INFINITY;
  while (signal?.aborted !== true) {
    const problems: string[] = [];
    for (const address of addresses) {
      const outcome = await askOne(options, address);
      if (typeof outcome !== "string") return outcome;
      problems.push(outcome);
    }
    if (clock.nowMs() - reportedMs >= (options.reportMs ?? 5_000)) {
      reportedMs = clock.nowMs();
      log.info("Waiting to be admitted: {problems}", { problems: problems.join(" ") });
    }
    await pause(clock, options.retryMs ?? 500, signal);
  }
  throw new CoracleError("shutting_down", "The member stopped before the cluster admitted it.");
}

/** Asks one member. A string tells why to try further. */
async function askOne(options: JoinOptions, address: string): Promise<Joined | string> {
  try {
    const timeoutMs = options.attemptMs ?? 10_000;
    const body = await options.ask(address, "join", options.self, { timeoutMs });
    return parseBody(joinResponseSchema, body, "answer to the join request");
  } catch (error) {
    if (error instanceof CoracleError && isDefinite(error)) throw error;
    return messageOf(error);
  }
}

function isDefinite(error: CoracleError): boolean {
  if (error.code === "peer_refused") return !passing.has(error.details.reason);
  return definite.has(error.code);
}
