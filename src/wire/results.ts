import { type ErrorCode, errorCodes } from "../base/errors.ts";
import type { CommandResult, KeyValue, OperationResult } from "../kv/types.ts";
import type { ForwardOutcome } from "../peer/types.ts";
import type { CborReader } from "./cbor-reader.ts";
import type { CborWriter } from "./cbor-writer.ts";
import { code, expectItems, readList } from "./operations.ts";
import { WireError } from "./wire-error.ts";

const refusedCode = 7;
const outcomeCode = { done: 0, notProposed: 1, unknown: 2 } as const;
const knownCodes: ReadonlySet<string> = new Set(errorCodes);
const depthMax = 130;

export const resultLayouts = [
  "key value = [key bytes, value bytes, create uint, mod uint, version uint, lease uint]",
  "put = [1, revision uint, null | key value]",
  "delete = [2, revision uint, deleted uint, [key value]]",
  "range = [3, revision uint, [key value], count uint, more boolean]",
  "txn = [4, revision uint, succeeded boolean, [result]]",
  "compact = [5, revision uint]",
  "refused = [7, code text, message text]",
  "outcome = [0, result] | [1, code text, message text] | [2, message text]",
];

export function writeOutcome(writer: CborWriter, outcome: ForwardOutcome): void {
  switch (outcome.status) {
    case "done":
      writer.arrayHead(2);
      writer.uint(outcomeCode.done);
      writeResult(writer, outcome.result);
      return;
    case "not-proposed":
      writer.arrayHead(3);
      writer.uint(outcomeCode.notProposed);
      writer.text(outcome.code);
      writer.text(outcome.message);
      return;
    case "unknown":
      writer.arrayHead(2);
      writer.uint(outcomeCode.unknown);
      writer.text(outcome.message);
      return;
  }
}

export function readOutcome(reader: CborReader): ForwardOutcome {
  const items = reader.arrayHead();
  const status = reader.uint();
  switch (status) {
    case outcomeCode.done:
      expectItems(items, 2);
      return { status: "done", result: readResult(reader) };
    case outcomeCode.notProposed:
      expectItems(items, 3);
      return { status: "not-proposed", code: readErrorCode(reader), message: reader.text() };
    case outcomeCode.unknown:
      expectItems(items, 2);
      return { status: "unknown", message: reader.text() };
    default:
      throw new WireError(`${status} is no outcome of a command`);
  }
}

function writeResult(writer: CborWriter, result: CommandResult): void {
  switch (result.type) {
    case "put":
      writer.arrayHead(3);
      writer.uint(code.put);
      writer.uint(result.revision);
      if (result.previous === undefined) writer.null();
      else writeKeyValue(writer, result.previous);
      return;
    case "delete":
      writer.arrayHead(4);
      writer.uint(code.delete);
      writer.uint(result.revision);
      writer.uint(result.deleted);
      writeKeyValues(writer, result.previous);
      return;
    case "range":
      writer.arrayHead(5);
      writer.uint(code.range);
      writer.uint(result.revision);
      writeKeyValues(writer, result.keys);
      writer.uint(result.count);
      writer.boolean(result.more);
      return;
    case "txn":
      writer.arrayHead(4);
      writer.uint(code.txn);
      writer.uint(result.revision);
      writer.boolean(result.succeeded);
      writer.arrayHead(result.responses.length);
      for (const response of result.responses) writeResult(writer, response);
      return;
    case "compact":
      writer.arrayHead(2);
      writer.uint(code.compact);
      writer.uint(result.revision);
      return;
    case "refused":
      writer.arrayHead(3);
      writer.uint(refusedCode);
      writer.text(result.code);
      writer.text(result.message);
      return;
  }
}

function readResult(reader: CborReader): CommandResult {
  const items = reader.arrayHead();
  const kind = reader.uint();
  if (kind === code.compact) {
    expectItems(items, 2);
    return { type: "compact", revision: reader.uint() };
  }
  if (kind === refusedCode) {
    expectItems(items, 3);
    return { type: "refused", code: readErrorCode(reader), message: reader.text() };
  }
  return readOperationResult(reader, items, kind, 0);
}

function readOperationResult(
  reader: CborReader,
  items: number,
  kind: number,
  depth: number,
): OperationResult {
  switch (kind) {
    case code.put: {
      expectItems(items, 3);
      const revision = reader.uint();
      if (reader.nullNext()) return { type: "put", revision };
      return { type: "put", revision, previous: readKeyValue(reader) };
    }
    case code.delete:
      expectItems(items, 4);
      return {
        type: "delete",
        revision: reader.uint(),
        deleted: reader.uint(),
        previous: readList(reader, readKeyValue),
      };
    case code.range:
      expectItems(items, 5);
      return {
        type: "range",
        revision: reader.uint(),
        keys: readList(reader, readKeyValue),
        count: reader.uint(),
        more: reader.boolean(),
      };
    case code.txn:
      expectItems(items, 4);
      if (depth >= depthMax) throw new WireError("a result is nested too deep");
      return {
        type: "txn",
        revision: reader.uint(),
        succeeded: reader.boolean(),
        responses: readList(reader, (inner) => {
          const innerItems = inner.arrayHead();
          return readOperationResult(inner, innerItems, inner.uint(), depth + 1);
        }),
      };
    default:
      throw new WireError(`${kind} is no kind of result`);
  }
}

function writeKeyValues(writer: CborWriter, pairs: readonly KeyValue[]): void {
  writer.arrayHead(pairs.length);
  for (const pair of pairs) writeKeyValue(writer, pair);
}

function writeKeyValue(writer: CborWriter, pair: KeyValue): void {
  writer.arrayHead(6);
  writer.bytes(pair.key);
  writer.bytes(pair.value);
  writer.uint(pair.createRevision);
  writer.uint(pair.modRevision);
  writer.uint(pair.version);
  writer.uint(pair.lease);
}

function readKeyValue(reader: CborReader): KeyValue {
  reader.arrayOf(6);
  return {
    key: reader.bytes(),
    value: reader.bytes(),
    createRevision: reader.uint(),
    modRevision: reader.uint(),
    version: reader.uint(),
    lease: reader.uint(),
  };
}

function readErrorCode(reader: CborReader): ErrorCode {
  return errorCodeOf(reader.text());
}

function isErrorCode(text: string): text is ErrorCode {
  return knownCodes.has(text);
}

/** A code that a newer member may know and this one does not counts as `internal`. */
export function errorCodeOf(text: string): ErrorCode {
  return isErrorCode(text) ? text : "internal";
}
