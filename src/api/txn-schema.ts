import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Compare, KeyRange, Operation, TxnOperation } from "../kv/types.ts";
import { base64, bytesOrText, objectMessage, truth, wholeNumber } from "./fields.ts";
import { leaseField } from "./lease-id.ts";
import { spanOf } from "./listing-routes.ts";

const anObject = objectMessage("an object");

/** The fields that may carry bytes of one name: as text or bytes, or as base64. */
const keyFields = { key: v.optional(bytesOrText), key_base64: v.optional(base64) };
const rangeFields = {
  ...keyFields,
  prefix: v.optional(bytesOrText),
  prefix_base64: v.optional(base64),
  start: v.optional(bytesOrText),
  start_base64: v.optional(base64),
  end: v.optional(bytesOrText),
  end_base64: v.optional(base64),
};
const valueFields = { value: v.optional(bytesOrText), value_base64: v.optional(base64) };

type Bytes = Uint8Array | undefined;

function one(name: string, plain: Bytes, encoded: Bytes): Bytes {
  if (plain !== undefined && encoded !== undefined)
    throw wrong(`${name} and ${name}_base64 are both given; give one`);
  return plain ?? encoded;
}

function wrong(what: string): CoracleError {
  return new CoracleError("invalid_argument", `In the transaction, ${what}.`);
}

interface KeyFields {
  readonly key?: Bytes;
  readonly key_base64?: Bytes;
}
interface RangeFields extends KeyFields {
  readonly prefix?: Bytes;
  readonly prefix_base64?: Bytes;
  readonly start?: Bytes;
  readonly start_base64?: Bytes;
  readonly end?: Bytes;
  readonly end_base64?: Bytes;
}

function keyIn(fields: KeyFields): Uint8Array {
  const key = one("key", fields.key, fields.key_base64);
  if (key === undefined) throw wrong("a put has no key; give key or key_base64");
  return key;
}

/** One key, or a range by the same words as in a query; it must name something. */
function rangeIn(fields: RangeFields): KeyRange {
  const key = one("key", fields.key, fields.key_base64);
  const prefix = one("prefix", fields.prefix, fields.prefix_base64);
  const start = one("start", fields.start, fields.start_base64);
  const end = one("end", fields.end, fields.end_base64);
  const ranged = prefix !== undefined || start !== undefined || end !== undefined;
  if (key !== undefined) {
    if (ranged) throw wrong("key stands beside prefix, start or end; give one key or one range");
    return { key };
  }
  if (!ranged) throw wrong("an operation or comparison names no keys; give key, prefix, or start and end");
  return spanOf({ prefix, start, end });
}

/** As for DELETE: an empty prefix, as of an unset variable, must not empty the store. */
function deletedBy(fields: RangeFields & { readonly all?: boolean | undefined }): KeyRange {
  const words = [fields.prefix, fields.prefix_base64, fields.start, fields.start_base64];
  words.push(fields.end, fields.end_base64);
  const ranged = words.some((word) => word !== undefined && word.length > 0);
  const keyed = fields.key !== undefined || fields.key_base64 !== undefined;
  if (fields.all === true) {
    if (keyed || words.some((word) => word !== undefined)) {
      throw wrong("a delete has all beside key, prefix, start or end; give one");
    }
    return spanOf({});
  }
  if (!keyed && !ranged && words.some((word) => word !== undefined)) {
    throw wrong("a delete's prefix, start and end are empty, which is every key; say so by all: true alone");
  }
  return rangeIn(fields);
}

const targets = {
  version: "version",
  create_revision: "create",
  mod_revision: "mod",
  lease: "lease",
} as const;
const results = { equal: "equal", not_equal: "not-equal", greater: "greater", less: "less" } as const;

const compare = v.pipe(
  v.strictObject(
    {
      ...rangeFields,
      ...valueFields,
      version: v.optional(wholeNumber(0)),
      create_revision: v.optional(wholeNumber(0)),
      mod_revision: v.optional(wholeNumber(0)),
      lease: v.optional(leaseField),
      result: v.optional(
        v.picklist(["equal", "not_equal", "greater", "less"], "must be equal, not_equal, greater or less"),
      ),
    },
    anObject,
  ),
  v.transform((fields): Compare => {
    const result = results[fields.result ?? "equal"];
    const value = one("value", fields.value, fields.value_base64);
    const found: Compare[] =
      value === undefined ? [] : [{ ...rangeIn(fields), target: "value", result, operand: value }];
    for (const name of ["version", "create_revision", "mod_revision", "lease"] as const) {
      const operand = fields[name];
      if (operand !== undefined) found.push({ ...rangeIn(fields), target: targets[name], result, operand });
    }
    const [only, ...others] = found;
    if (only === undefined || others.length > 0) {
      throw wrong("a comparison has not exactly one of version, create_revision, mod_revision, lease, value");
    }
    return only;
  }),
);

const put = v.pipe(
  v.strictObject(
    {
      type: v.literal("put"),
      ...keyFields,
      ...valueFields,
      lease: v.optional(leaseField),
      prev: v.optional(truth),
      keep_value: v.optional(truth),
      keep_lease: v.optional(truth),
    },
    anObject,
  ),
  v.transform((fields): Operation => {
    const value = one("value", fields.value, fields.value_base64);
    const keepValue = fields.keep_value === true;
    if (keepValue === (value !== undefined))
      throw wrong("a put needs value or value_base64, or keep_value; one of them");
    if (fields.keep_lease === true && fields.lease !== undefined)
      throw wrong("a put has both lease and keep_lease; give one");
    return {
      type: "put",
      key: keyIn(fields),
      value: value ?? new Uint8Array(0),
      lease: fields.lease ?? 0,
      previous: fields.prev === true,
      ...(keepValue && { keepValue }),
      ...(fields.keep_lease === true && { keepLease: true }),
    };
  }),
);

const remove = v.pipe(
  v.strictObject(
    {
      type: v.literal("delete"),
      ...rangeFields,
      all: v.optional(truth),
      prev: v.optional(truth),
    },
    anObject,
  ),
  v.transform(
    (fields): Operation => ({ type: "delete", ...deletedBy(fields), previous: fields.prev === true }),
  ),
);

const sort = v.strictObject(
  {
    target: v.picklist(
      ["key", "version", "create", "mod", "value"],
      "must be key, version, create, mod or value",
    ),
    descending: v.optional(truth, false),
  },
  anObject,
);
const range = v.pipe(
  v.strictObject(
    {
      type: v.literal("range"),
      ...rangeFields,
      revision: v.optional(wholeNumber(1)),
      limit: v.optional(wholeNumber(1, limits.rangeKeysMax)),
      keys_only: v.optional(truth),
      count_only: v.optional(truth),
      sort: v.optional(sort),
    },
    anObject,
  ),
  v.transform(
    (fields): Operation => ({
      type: "range",
      ...rangeIn(fields),
      revision: fields.revision ?? 0,
      limit: fields.limit ?? limits.rangeKeysDefault,
      ...(fields.keys_only === true && { keysOnly: true }),
      ...(fields.count_only === true && { countOnly: true }),
      ...(fields.sort !== undefined && { sort: fields.sort }),
    }),
  ),
);

const operation: v.GenericSchema<unknown, Operation> = v.lazy((input) => {
  const type = typeof input === "object" && input !== null && "type" in input ? input.type : undefined;
  if (type === "put") return put;
  if (type === "delete") return remove;
  if (type === "range") return range;
  if (type === "txn") return nested;
  return noOperation;
});
const noOperation: v.GenericSchema<unknown, Operation> = v.custom<Operation>(
  () => false,
  "must be an operation with a type of put, delete, range or txn",
);

const branches = {
  compare: v.optional(v.array(compare, "must be a list"), []),
  success: v.optional(v.array(operation, "must be a list"), []),
  failure: v.optional(v.array(operation, "must be a list"), []),
};
const nested = v.pipe(
  v.strictObject({ type: v.literal("txn"), ...branches }, anObject),
  v.transform((fields): TxnOperation => fields),
);

/** The body of `POST /v1/txn`, as the state machine takes it. */
export const txnSchema: v.GenericSchema<unknown, TxnOperation> = v.pipe(
  v.strictObject(branches, objectMessage("an object with compare, success and failure")),
  v.transform((fields): TxnOperation => ({ type: "txn", ...fields })),
);
