import { limits } from "../base/limits.ts";
import type { Compare, Operation, TxnOperation } from "../kv/types.ts";
import { invalidArgument, quoted } from "./errors.ts";

/** Revisions that an entity tag list names; `*` is any. */
type Tags = "*" | readonly number[];

/** The conditional headers of a request (RFC 9110 §13.1). */
export interface Condition {
  readonly ifMatch?: Tags;
  readonly ifNoneMatch?: Tags;
}

const tagPattern = /^(W\/)?"([^"]*)"$/;

/** The entity tag of a key: its `mod_revision`, which no other state of the key ever has. */
export function entityTag(modRevision: number): string {
  return `"${modRevision}"`;
}

/** `undefined` when the request has no conditional header. */
export function conditionOf(headers: Headers): Condition | undefined {
  const match = headers.get("if-match");
  const noneMatch = headers.get("if-none-match");
  if (match === null && noneMatch === null) return undefined;
  return {
    // If-Match compares strongly: a weak tag never matches. If-None-Match compares weakly.
    ...(match !== null && { ifMatch: parseTags("If-Match", match, false) }),
    ...(noneMatch !== null && { ifNoneMatch: parseTags("If-None-Match", noneMatch, true) }),
  };
}

function parseTags(header: string, value: string, weakCounts: boolean): Tags {
  if (value.trim() === "*") return "*";
  const revisions: number[] = [];
  for (const part of value.split(",")) {
    const tag = part.trim();
    if (tag === "") continue;
    const found = tagPattern.exec(tag);
    const digits = found?.[2] ?? "";
    const revision = /^[1-9]\d{0,15}$/.test(digits) ? Number(digits) : Number.NaN;
    if (!Number.isSafeInteger(revision)) {
      throw invalidArgument(
        `The header ${header} has ${quoted(tag)}, which is no revision in double quotes such as "42", nor *.`,
      );
    }
    if (weakCounts || found?.[1] === undefined) revisions.push(revision);
  }
  if (value.trim() === "")
    throw invalidArgument(`The header ${header} is empty; give a tag such as "42", or *.`);
  if (revisions.length > limits.entityTagsMax) {
    throw invalidArgument(
      `The header ${header} has ${revisions.length} tags; at most ${limits.entityTagsMax} are allowed.`,
    );
  }
  return revisions;
}

/** Whether a key matches the tags; revision 0 stands for a missing key, which nothing matches. */
function matches(tags: Tags, modRevision: number): boolean {
  return modRevision !== 0 && (tags === "*" || tags.includes(modRevision));
}

/** What a read with these headers answers; `modRevision` 0 for a missing key. */
export function evaluate(condition: Condition, modRevision: number): "go-on" | "not-modified" | "failed" {
  if (condition.ifMatch !== undefined && !matches(condition.ifMatch, modRevision)) return "failed";
  if (condition.ifNoneMatch !== undefined && matches(condition.ifNoneMatch, modRevision))
    return "not-modified";
  return "go-on";
}

/**
 * The write as a transaction: `write` when the condition holds, else the key as it is, for the
 * answer's ETag. A list in If-Match is "one of", so each further tag is tried in a nested
 * transaction.
 */
export function conditional(condition: Condition, key: Uint8Array, write: Operation): TxnOperation {
  const current: Operation = { type: "range", key, revision: 0, limit: 1, keysOnly: true };
  const match = matchOf(condition.ifMatch, key, write, current);
  const compare = comparesOf(key, condition.ifNoneMatch);
  if (compare.length === 0 && match !== undefined) return match;
  return { type: "txn", compare, success: [match ?? write], failure: [current] };
}

function matchOf(
  tags: Tags | undefined,
  key: Uint8Array,
  write: Operation,
  current: Operation,
): TxnOperation | undefined {
  if (tags === undefined) return undefined;
  if (tags === "*" || tags.length === 0) {
    const exists: Compare = { key, target: "version", result: "greater", operand: 0 };
    const never: Compare = { key, target: "version", result: "less", operand: 0 };
    return { type: "txn", compare: [tags === "*" ? exists : never], success: [write], failure: [current] };
  }
  const tryFrom = (index: number): TxnOperation => {
    const compare: Compare[] = [{ key, target: "mod", result: "equal", operand: tags[index] as number }];
    const failure = index + 1 < tags.length ? tryFrom(index + 1) : current;
    return { type: "txn", compare, success: [write], failure: [failure] };
  };
  return tryFrom(0);
}

function comparesOf(key: Uint8Array, tags: Tags | undefined): Compare[] {
  if (tags === undefined) return [];
  if (tags === "*") return [{ key, target: "version", result: "equal", operand: 0 }];
  return tags.map((revision) => ({ key, target: "mod", result: "not-equal", operand: revision }));
}
