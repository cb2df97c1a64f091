import { compareBytes, concatBytes, equalBytes, prefixEnd, utf8 } from "../base/bytes.ts";
import type {
  Compare,
  KeyRange,
  KeyValue,
  LeaseId,
  Operation,
  PutOperation,
  RangeOperation,
  TxnOperation,
  TxnResult,
} from "../kv/types.ts";
import type { ClaimKey } from "./types.ts";

const slash = utf8("/");

/** Every claim on a name. */
export function queueOf(name: Uint8Array): Required<KeyRange> {
  const key = concatBytes([name, slash]);
  return { key, end: prefixEnd(key) };
}

/** The key of a lease's claim, as etcd's recipes write it. */
export function claimKeyOf(name: Uint8Array, lease: LeaseId): Uint8Array {
  return concatBytes([name, slash, utf8(lease.toString(16))]);
}

/** Reads who is first. */
export function firstOf(name: Uint8Array): RangeOperation {
  return {
    type: "range",
    ...queueOf(name),
    revision: 0,
    limit: 1,
    sort: { target: "create", descending: false },
  };
}

/** Whether a key is still the one of that claim, not a later one of the same lease. */
function stillThere({ key, createRevision }: Omit<ClaimKey, "lease">): Compare {
  return { key, target: "create", result: "equal", operand: createRevision };
}

export interface ClaimWords {
  readonly name: Uint8Array;
  readonly lease: LeaseId;
  readonly value: Uint8Array;
  /** Make the claim only when nobody else is in the queue. */
  readonly onlyWhenFree: boolean;
  /** Write a claim that exists already anew, so that whoever made it does not withdraw it any more. */
  readonly takeOver: boolean;
}

/**
 * Makes the claim unless the lease has one already, which then takes on the value, and reads who is
 * first: all in one step.
 */
export function claimTxn(words: ClaimWords): TxnOperation {
  const key = claimKeyOf(words.name, words.lease);
  const put: PutOperation = { type: "put", key, value: words.value, lease: words.lease, previous: false };
  const own: RangeOperation = { type: "range", key, revision: 0, limit: 1, keysOnly: true };
  const exists: Compare = { key, target: "create", result: "greater", operand: 0 };
  const same: Operation = {
    type: "txn",
    compare: [{ key, target: "value", result: "equal", operand: words.value }],
    success: [],
    failure: [put],
  };
  // A key that a stranger put without the lease is no claim, and must not become one at its old place:
  // others may have passed it by.
  const attached: Compare = { key, target: "lease", result: "equal", operand: words.lease };
  const takeOn: Operation = {
    type: "txn",
    compare: [exists, attached],
    success: [words.takeOver ? put : same],
    failure: [],
  };
  const free: Compare = { ...queueOf(words.name), target: "version", result: "equal", operand: 0 };
  const unmade: Compare = { key, target: "create", result: "equal", operand: 0 };
  const first = firstOf(words.name);
  return {
    type: "txn",
    compare: [words.onlyWhenFree ? free : unmade],
    success: [put, first],
    failure: [own, first, takeOn],
  };
}

/** A claim that was made. It is withdrawn only as long as nobody has written it since. */
export interface MadeClaim extends ClaimKey {
  readonly modRevision: number;
}

/** What the transaction of a claim found; no claim when the queue was not free. */
export interface Claimed {
  readonly revision: number;
  readonly claim: MadeClaim | undefined;
  readonly first: boolean;
  /** The first key has no lease: it may be no claim. */
  readonly strangerFirst: boolean;
  /** A key of the claim's name that does not hang on its lease: to be deleted before the claim is made. */
  readonly inTheWay?: KeyValue;
}

function hasPut({ responses }: TxnResult): boolean {
  return responses.some((inner) => inner.type === "put" || (inner.type === "txn" && hasPut(inner)));
}

export function claimedOf(result: TxnResult, key: Uint8Array, lease: LeaseId): Claimed {
  const { revision, succeeded } = result;
  const [own, first, written] = result.responses.map((response) => {
    if (response.type === "txn") return hasPut(response);
    return response.type === "range" ? response.keys[0] : undefined;
  });
  const holder = typeof first === "object" ? first : undefined;
  const heads = holder === undefined || equalBytes(holder.key, key);
  const strangerFirst = holder?.lease === 0;
  const made = { key, lease, createRevision: revision, modRevision: revision };
  if (succeeded) return { revision, claim: made, first: heads, strangerFirst };
  const none = { revision, claim: undefined, first: false, strangerFirst };
  if (typeof own !== "object") return none;
  if (own.lease !== lease) return { ...none, inTheWay: own };
  const { createRevision } = own;
  const modRevision = written === true ? revision : own.modRevision;
  return { revision, claim: { ...made, createRevision, modRevision }, first: heads, strangerFirst };
}

/** Changes a claim's value, if it is still that claim. */
export function proclaimTxn(claim: ClaimKey, value: Uint8Array): TxnOperation {
  const put: PutOperation = { type: "put", key: claim.key, value, lease: claim.lease, previous: false };
  return { type: "txn", compare: [stillThere(claim)], success: [put], failure: [] };
}

/** Deletes a claim, if it is still that claim. */
export function resignTxn(claim: Omit<ClaimKey, "lease">): TxnOperation {
  const remove: Operation = { type: "delete", key: claim.key, previous: false };
  return { type: "txn", compare: [stillThere(claim)], success: [remove], failure: [] };
}

/** Deletes a claim that is given up, unless a later request of the same lease took it over. */
export function withdrawTxn(claim: Omit<MadeClaim, "lease">): TxnOperation {
  const { compare, ...rest } = resignTxn(claim);
  const untouched: Compare = {
    key: claim.key,
    target: "mod",
    result: "equal",
    operand: claim.modRevision,
  };
  return { ...rest, compare: [...compare, untouched] };
}

/** One transaction makes no more keys than this at one create revision; with them, one is before them. */
export const sameRevisionMax = 128;

/** Reads a claim's place: itself, those made with it, and the one before. */
export function placeOf(name: Uint8Array, createRevision: number): RangeOperation {
  return {
    type: "range",
    ...queueOf(name),
    revision: 0,
    limit: sameRevisionMax + 1,
    sort: { target: "create", descending: true },
    maxCreateRevision: createRevision,
    keysOnly: true,
  };
}

/**
 * Where a claim stands, by the keys that `placeOf` found. Keys of one revision, which only a stranger's
 * transaction can make, stand in key order.
 */
export function standing(
  keys: readonly KeyValue[],
  claim: Pick<ClaimKey, "key" | "createRevision" | "lease">,
): "first" | "gone" | { readonly before: KeyValue } {
  const { key, createRevision, lease } = claim;
  const own = keys.find((other) => equalBytes(other.key, key));
  // Without the lease it is no claim, only a key that stands in the way.
  if (own?.createRevision !== createRevision || own.lease !== lease) return "gone";
  const before = keys.find(
    (other) => other.createRevision < createRevision || compareBytes(other.key, key) < 0,
  );
  return before === undefined ? "first" : { before };
}
