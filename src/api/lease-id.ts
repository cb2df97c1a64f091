import * as v from "valibot";
import { isInt64, parseInt64 } from "../base/int64.ts";
import type { LeaseId } from "../kv/types.ts";
import { quoted } from "./errors.ts";
import { textParameter } from "./query.ts";

const shape = "must be a lease's id, an integer of 64 bits";

function otherThanZero(id: LeaseId | undefined): LeaseId | undefined {
  return id === 0 ? undefined : id;
}

/** A lease's id as a parameter: decimal digits. 0 names none, and is refused. */
export const leaseParameter = v.pipe(
  textParameter,
  v.rawTransform(({ dataset, addIssue, NEVER }): LeaseId => {
    const id = otherThanZero(parseInt64(dataset.value));
    if (id !== undefined) return id;
    addIssue({ message: `${shape} other than 0, not ${quoted(dataset.value)}` });
    return NEVER;
  }),
);

/**
 * A lease's id in a document, as `leaseItem` writes it: a number, or beyond 2^53 digits in text
 * (in CBOR an integer of 64 bits). 0 is none.
 */
export const leaseField = v.pipe(
  v.union([v.number(), v.string(), v.bigint()], shape),
  v.rawTransform(({ dataset, addIssue, NEVER }): LeaseId => {
    const { value } = dataset;
    const id = typeof value === "number" ? value : parseInt64(`${value}`);
    if (id !== undefined && isInt64(id)) return id;
    addIssue({ message: shape });
    return NEVER;
  }),
);
