import * as v from "valibot";
import type { Consistency } from "../service/service.ts";
import { invalidArgument } from "./errors.ts";
import { choice, integer } from "./query.ts";

/** The parameters of every read. */
export const consistencyParameters = {
  consistency: v.optional(choice(["linearizable", "serializable"])),
  max_stale_ms: v.optional(integer(0)),
};

export const linearizable: Consistency = { mode: "linearizable" };
const serializable: Consistency = { mode: "serializable" };

/** Linearizable unless asked otherwise; a bound on staleness alone asks for a bounded serializable read. */
export function consistencyOf(query: {
  readonly consistency?: "linearizable" | "serializable" | undefined;
  readonly max_stale_ms?: number | undefined;
}): Consistency {
  const maxStaleMs = query.max_stale_ms;
  if (maxStaleMs === undefined) return query.consistency === "serializable" ? serializable : linearizable;
  if (query.consistency === "linearizable") {
    throw invalidArgument(
      "The parameter max_stale_ms goes with consistency=serializable; a linearizable read is never stale.",
    );
  }
  return { mode: "serializable", maxStaleMs };
}
