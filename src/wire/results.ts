import { type ErrorCode, errorCodes } from "../base/errors.ts";
import type { CommandResult, KeyValue, OperationResult } from "../kv/types.ts";
import type { ForwardOutcome } from "../peer/types.ts";
import {
  arrayItem,
  booleanItem,
  bytesItem,
  expectItems,
  type Items,
  int64Form,
  int64Item,
  listItem,
  textItem,
  tupleItem,
  uintItem,
} from "./items.ts";
import { code } from "./operations.ts";
import { WireError } from "./wire-error.ts";

const outcomeCode = { done: 0, notProposed: 1, unknown: 2 } as const;
const knownCodes: ReadonlySet<string> = new Set(errorCodes);
const depthMax = 130;

export const resultLayouts = [
  "key value = [key bytes, value bytes, create uint, mod uint, version uint, lease int64]",
  "put = [1, revision uint, null | key value, abridged boolean]",
  "delete = [2, revision uint, deleted uint, [key value], abridged boolean]",
  "range = [3, revision uint, [key value], count uint, more boolean, abridged boolean]",
  "txn = [4, revision uint, succeeded boolean, [result]]",
  "compact = [5, revision uint]",
  "grant = [8, revision uint, id int64, ttlSeconds uint]",
  "revoke = [9, revision uint, deleted uint]",
  "checkpoint = [10, revision uint]",
  "refused = [7, code text, message text]",
  "outcome = [0, result] | [1, code text, message text] | [2, message text]",
];

/** What became of a forwarded command, as it is encoded. */
export function outcomeItems(outcome: ForwardOutcome): unknown[] {
  switch (outcome.status) {
    case "done":
      return [outcomeCode.done, resultItems(outcome.result)];
    case "not-proposed":
      return [outcomeCode.notProposed, outcome.code, outcome.message.toWellFormed()];
    case "unknown":
      return [outcomeCode.unknown, outcome.message.toWellFormed()];
  }
}

/**
 * Reads what became of a forwarded command.
 *
 * @throws WireError when it is no outcome.
 */
export function readOutcome(item: unknown): ForwardOutcome {
  const items = arrayItem(item);
  switch (items[0]) {
    case outcomeCode.done:
      expectItems(items, 2);
      return { status: "done", result: readResult(items[1]) };
    case outcomeCode.notProposed:
      expectItems(items, 3);
      return { status: "not-proposed", code: readErrorCode(items[1]), message: textItem(items[2]) };
    case outcomeCode.unknown:
      expectItems(items, 2);
      return { status: "unknown", message: textItem(items[1]) };
    default:
      throw new WireError("an array is no known outcome of a command");
  }
}

function resultItems(result: CommandResult): unknown[] {
  switch (result.type) {
    case "put":
      return [
        code.put,
        result.revision,
        result.previous === undefined ? null : keyValueItems(result.previous),
        result.abridged === true,
      ];
    case "delete":
      return [
        code.delete,
        result.revision,
        result.deleted,
        result.previous.map(keyValueItems),
        result.abridged === true,
      ];
    case "range":
      return [
        code.range,
        result.revision,
        result.keys.map(keyValueItems),
        result.count,
        result.more,
        result.abridged === true,
      ];
    case "txn":
      return [code.txn, result.revision, result.succeeded, result.responses.map(resultItems)];
    case "compact":
      return [code.compact, result.revision];
    case "lease-grant":
      return [code.leaseGrant, result.revision, int64Form(result.id), result.ttlSeconds];
    case "lease-revoke":
      return [code.leaseRevoke, result.revision, result.deleted];
    case "lease-checkpoint":
      return [code.leaseCheckpoint, result.revision];
    case "refused":
      return [code.refused, result.code, result.message.toWellFormed()];
  }
}

function readResult(item: unknown): CommandResult {
  const items = arrayItem(item);
  switch (items[0]) {
    case code.compact:
      expectItems(items, 2);
      return { type: "compact", revision: uintItem(items[1]) };
    case code.leaseGrant: {
      expectItems(items, 4);
      const id = int64Item(items[2]);
      return { type: "lease-grant", revision: uintItem(items[1]), id, ttlSeconds: uintItem(items[3]) };
    }
    case code.leaseRevoke:
      expectItems(items, 3);
      return { type: "lease-revoke", revision: uintItem(items[1]), deleted: uintItem(items[2]) };
    case code.leaseCheckpoint:
      expectItems(items, 2);
      return { type: "lease-checkpoint", revision: uintItem(items[1]) };
    case code.refused:
      expectItems(items, 3);
      return { type: "refused", code: readErrorCode(items[1]), message: textItem(items[2]) };
    default:
      return readOperationResult(items, 0);
  }
}

function readOperationResult(items: Items, depth: number): OperationResult {
  switch (items[0]) {
    case code.put: {
      expectItems(items, 4);
      const revision = uintItem(items[1]);
      const abridged = abridgedItem(items[3]);
      if (items[2] === null) return { type: "put", revision, ...abridged };
      return { type: "put", revision, previous: readKeyValue(items[2]), ...abridged };
    }
    case code.delete:
      expectItems(items, 5);
      return {
        type: "delete",
        revision: uintItem(items[1]),
        deleted: uintItem(items[2]),
        previous: listItem(items[3], readKeyValue),
        ...abridgedItem(items[4]),
      };
    case code.range:
      expectItems(items, 6);
      return {
        type: "range",
        revision: uintItem(items[1]),
        keys: listItem(items[2], readKeyValue),
        count: uintItem(items[3]),
        more: booleanItem(items[4]),
        ...abridgedItem(items[5]),
      };
    case code.txn:
      expectItems(items, 4);
      if (depth >= depthMax) throw new WireError("a result is nested too deep");
      return {
        type: "txn",
        revision: uintItem(items[1]),
        succeeded: booleanItem(items[2]),
        responses: listItem(items[3], (inner) => readOperationResult(arrayItem(inner), depth + 1)),
      };
    default:
      throw new WireError("an array is no known kind of result");
  }
}

function abridgedItem(item: unknown): { readonly abridged?: true } {
  return booleanItem(item) ? { abridged: true } : {};
}

function keyValueItems(pair: KeyValue): unknown[] {
  return [pair.key, pair.value, pair.createRevision, pair.modRevision, pair.version, int64Form(pair.lease)];
}

function readKeyValue(item: unknown): KeyValue {
  const items = tupleItem(item, 6);
  return {
    key: bytesItem(items[0]),
    value: bytesItem(items[1]),
    createRevision: uintItem(items[2]),
    modRevision: uintItem(items[3]),
    version: uintItem(items[4]),
    lease: int64Item(items[5]),
  };
}

function readErrorCode(item: unknown): ErrorCode {
  return errorCodeOf(textItem(item));
}

function isErrorCode(text: string): text is ErrorCode {
  return knownCodes.has(text);
}

/** A code that a newer member may know and this one does not counts as `internal`. */
export function errorCodeOf(text: string): ErrorCode {
  return isErrorCode(text) ? text : "internal";
}
