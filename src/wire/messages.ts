import * as v from "valibot";
import { limits } from "../base/limits.ts";
import type { PeerMessage } from "../peer/types.ts";
import type { Entry } from "../raft/types.ts";
import { decodeCbor, encodeCborView, plain } from "./cbor.ts";
import { commandItems, readCommands } from "./commands.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { listItem, tupleItem, uintItem } from "./items.ts";
import { frameType } from "./protocol.ts";
import { errorCodeOf, outcomeItems, readOutcome } from "./results.ts";
import { check, confFields, count, entrySchema, id, longText, shortText } from "./schema.ts";
import { WireError } from "./wire-error.ts";

/*
 * The messages of two members. A frame is the array [version, type, ...fields]; the fields of each
 * type stand in `fieldSchemas`. Raft messages begin with from, to and term.
 */

const envelope = [id, id, count] as const;

/** The fields of each message after version and type, in order. */
export const fieldSchemas = {
  append: v.strictTuple([
    ...envelope,
    count,
    count,
    count,
    v.pipe(v.array(entrySchema), v.maxLength(limits.appendEntriesMax)),
  ]),
  "append-response": v.strictTuple([...envelope, count, v.boolean(), count, count]),
  vote: v.strictTuple([...envelope, v.boolean(), count, count, v.boolean(), count, count]),
  "vote-response": v.strictTuple([...envelope, v.boolean(), v.boolean(), count, count]),
  heartbeat: v.strictTuple([...envelope, count, count]),
  "heartbeat-response": v.strictTuple([...envelope, count]),
  snapshot: v.strictTuple([...envelope, count, count, confFields.voters, confFields.learners]),
  "timeout-now": v.strictTuple([...envelope]),
  "read-index": v.strictTuple([...envelope, count]),
  "read-index-response": v.strictTuple([...envelope, count, count]),
  forward: v.strictTuple([count, v.unknown()]),
  "forward-result": v.strictTuple([v.unknown()]),
  request: v.strictTuple([count, shortText, v.unknown()]),
  response: v.strictTuple([count, v.unknown()]),
  "request-failed": v.strictTuple([count, shortText, longText]),
};

const typeByNumber = new Map<number, string>(
  Object.entries(frameType).map(([type, number]) => [number, type]),
);

/** Appends a message as one frame. */
export function writeMessage(writer: FrameWriter, message: PeerMessage, version: number): void {
  writer.frame(encodeCborView([version, frameType[message.type], ...fieldsOf(message)]));
}

function fieldsOf(message: PeerMessage): unknown[] {
  switch (message.type) {
    case "forward":
      return [message.first, commandItems(message.commands)];
    case "forward-result":
      return [message.outcomes.map(([number, outcome]) => [number, outcomeItems(outcome)])];
    case "request":
      return [message.id, message.name, plain(message.body)];
    case "response":
      return [message.id, plain(message.body)];
    case "request-failed":
      return [message.id, message.code, message.message.slice(0, 4096).toWellFormed()];
    default:
      return [message.from, message.to, message.term, ...raftFieldsOf(message)];
  }
}

function raftFieldsOf(message: Extract<PeerMessage, { term: number }>): unknown[] {
  switch (message.type) {
    case "append":
      return [
        message.prevIndex,
        message.prevTerm,
        message.commit,
        message.entries.map(({ index, term, kind, data }) => [index, term, kind, data]),
      ];
    case "append-response":
      return [message.index, message.rejected, message.hintIndex, message.hintTerm];
    case "vote":
      return [
        message.pre,
        message.lastIndex,
        message.lastTerm,
        message.transfer,
        message.commit ?? 0,
        message.commitTerm ?? 0,
      ];
    case "vote-response":
      return [message.pre, message.granted, message.commit ?? 0, message.commitTerm ?? 0];
    case "heartbeat":
      return [message.commit, message.readRound];
    case "heartbeat-response":
      return [message.readRound];
    case "snapshot": {
      const { index, term, conf } = message.snapshot;
      return [index, term, [...conf.voters], [...conf.learners]];
    }
    case "timeout-now":
      return [];
    case "read-index":
      return [message.context];
    case "read-index-response":
      return [message.context, message.index];
  }
}

/**
 * Reads a frame of the negotiated version. Byte strings are copies: they outlive the frame by far.
 *
 * @throws WireError when it is anything but a message of that version.
 */
export function decodeMessage(frame: Uint8Array, version: number): PeerMessage {
  const { type, fields } = decodeFields(frame, version, "copies");
  return makeMessage(type, fields);
}

/** The type of a frame and its fields, not yet checked. */
export function decodeFields(
  frame: Uint8Array,
  version: number,
  byteStrings: "views" | "copies",
): { type: string; fields: unknown[] } {
  const items = decodeCbor(frame, byteStrings);
  if (!Array.isArray(items)) throw new WireError("a frame holds no array");
  const [found, number, ...fields] = items;
  if (uintItem(found) !== version) {
    throw new WireError(`a frame has version ${found}; ${version} was agreed on`);
  }
  const type = typeByNumber.get(uintItem(number));
  if (type === undefined) throw new WireError(`${number} is no type of frame`);
  return { type, fields };
}

function makeMessage(type: string, fields: unknown[]): PeerMessage {
  switch (type) {
    case "append": {
      const [from, to, term, prevIndex, prevTerm, commit, list] = check(fieldSchemas[type], fields, type);
      const entries = entriesOf(list, prevIndex);
      return { type, from, to, term, prevIndex, prevTerm, commit, entries };
    }
    case "append-response": {
      const [from, to, term, index, rejected, hintIndex, hintTerm] = check(fieldSchemas[type], fields, type);
      return { type, from, to, term, index, rejected, hintIndex, hintTerm };
    }
    case "vote": {
      const [from, to, term, pre, lastIndex, lastTerm, transfer, commit, commitTerm] = check(
        fieldSchemas[type],
        fields,
        type,
      );
      return { type, from, to, term, pre, lastIndex, lastTerm, transfer, commit, commitTerm };
    }
    case "vote-response": {
      const [from, to, term, pre, granted, commit, commitTerm] = check(fieldSchemas[type], fields, type);
      return { type, from, to, term, pre, granted, commit, commitTerm };
    }
    case "heartbeat": {
      const [from, to, term, commit, readRound] = check(fieldSchemas[type], fields, type);
      return { type, from, to, term, commit, readRound };
    }
    case "heartbeat-response": {
      const [from, to, term, readRound] = check(fieldSchemas[type], fields, type);
      return { type, from, to, term, readRound };
    }
    case "snapshot": {
      const [from, to, term, index, snapshotTerm, voters, learners] = check(fieldSchemas[type], fields, type);
      const snapshot = { index, term: snapshotTerm, conf: { voters, learners } };
      return { type, from, to, term, snapshot };
    }
    case "timeout-now": {
      const [from, to, term] = check(fieldSchemas[type], fields, type);
      return { type, from, to, term };
    }
    case "read-index": {
      const [from, to, term, context] = check(fieldSchemas[type], fields, type);
      return { type, from, to, term, context };
    }
    case "read-index-response": {
      const [from, to, term, context, index] = check(fieldSchemas[type], fields, type);
      return { type, from, to, term, context, index };
    }
    default:
      return makeServiceMessage(type, fields);
  }
}

function makeServiceMessage(type: string, fields: unknown[]): PeerMessage {
  switch (type) {
    case "forward": {
      const [first, commands] = check(fieldSchemas[type], fields, type);
      return { type, first, commands: readCommands(commands) };
    }
    case "forward-result": {
      const [outcomes] = check(fieldSchemas[type], fields, type);
      return { type, outcomes: listItem(outcomes, readNumberedOutcome) };
    }
    case "request": {
      const [request, name, body] = check(fieldSchemas[type], fields, type);
      return { type, id: request, name, body };
    }
    case "response": {
      const [request, body] = check(fieldSchemas[type], fields, type);
      return { type, id: request, body };
    }
    case "request-failed": {
      const [request, code, message] = check(fieldSchemas[type], fields, type);
      return { type, id: request, code: errorCodeOf(code), message };
    }
    default:
      throw new WireError(`a ${type} frame is no message between members`);
  }
}

function entriesOf(list: readonly v.InferOutput<typeof entrySchema>[], prevIndex: number): Entry[] {
  return list.map(([index, term, kind, data], position) => {
    if (index !== prevIndex + 1 + position) throw new WireError("entries do not follow each other");
    return { index, term, kind, data };
  });
}

function readNumberedOutcome(item: unknown) {
  const items = tupleItem(item, 2);
  return [uintItem(items[0]), readOutcome(items[1])] as const;
}
