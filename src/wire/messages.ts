import * as v from "valibot";
import { limits } from "../base/limits.ts";
import type { PeerMessage } from "../peer/types.ts";
import type { Entry } from "../raft/types.ts";
import { CborReader } from "./cbor-reader.ts";
import type { CborWriter } from "./cbor-writer.ts";
import { readCommands, writeCommands } from "./commands.ts";
import { writeFrame } from "./frame.ts";
import { readList } from "./operations.ts";
import { frameType } from "./protocol.ts";
import { errorCodeOf, readOutcome, writeOutcome } from "./results.ts";
import { byteString, check, confFields, count, entrySchema, id, longText, shortText } from "./schema.ts";
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
  vote: v.strictTuple([...envelope, v.boolean(), count, count, v.boolean()]),
  "vote-response": v.strictTuple([...envelope, v.boolean(), v.boolean()]),
  heartbeat: v.strictTuple([...envelope, count, count]),
  "heartbeat-response": v.strictTuple([...envelope, count]),
  snapshot: v.strictTuple([...envelope, count, count, confFields.voters, confFields.learners]),
  "timeout-now": v.strictTuple([...envelope]),
  "read-index": v.strictTuple([...envelope, count]),
  "read-index-response": v.strictTuple([...envelope, count, count]),
  forward: v.strictTuple([count, byteString]),
  "forward-result": v.strictTuple([byteString]),
  request: v.strictTuple([count, shortText, v.unknown()]),
  response: v.strictTuple([count, v.unknown()]),
  "request-failed": v.strictTuple([count, shortText, longText]),
};

const fieldCounts = new Map(
  Object.entries(fieldSchemas).map(([type, schema]) => [type, schema.items.length]),
);
const typeByNumber = new Map<number, string>(
  Object.entries(frameType).map(([type, number]) => [number, type]),
);

/** Appends a message as one frame. */
export function writeMessage(writer: CborWriter, message: PeerMessage, version: number): void {
  writeFrame(writer, () => {
    writer.arrayHead(2 + (fieldCounts.get(message.type) ?? 0));
    writer.uint(version);
    writer.uint(frameType[message.type]);
    writeFields(writer, message);
  });
}

function writeFields(writer: CborWriter, message: PeerMessage): void {
  switch (message.type) {
    case "forward": {
      writer.uint(message.first);
      const begun = writer.beginBytes();
      writeCommands(writer, message.commands);
      writer.endBytes(begun);
      return;
    }
    case "forward-result": {
      const begun = writer.beginBytes();
      writer.arrayHead(message.outcomes.length);
      for (const [number, outcome] of message.outcomes) {
        writer.arrayHead(2);
        writer.uint(number);
        writeOutcome(writer, outcome);
      }
      writer.endBytes(begun);
      return;
    }
    case "request":
      writer.uint(message.id);
      writer.text(message.name);
      writer.value(message.body);
      return;
    case "response":
      writer.uint(message.id);
      writer.value(message.body);
      return;
    case "request-failed":
      writer.uint(message.id);
      writer.text(message.code);
      writer.text(message.message.slice(0, 4096));
      return;
    default:
      writer.uint(message.from);
      writer.uint(message.to);
      writer.uint(message.term);
      writeRaftFields(writer, message);
  }
}

function writeRaftFields(writer: CborWriter, message: Extract<PeerMessage, { term: number }>): void {
  switch (message.type) {
    case "append":
      writer.uint(message.prevIndex);
      writer.uint(message.prevTerm);
      writer.uint(message.commit);
      writer.arrayHead(message.entries.length);
      for (const entry of message.entries) writeEntry(writer, entry);
      return;
    case "append-response":
      writer.uint(message.index);
      writer.boolean(message.rejected);
      writer.uint(message.hintIndex);
      writer.uint(message.hintTerm);
      return;
    case "vote":
      writer.boolean(message.pre);
      writer.uint(message.lastIndex);
      writer.uint(message.lastTerm);
      writer.boolean(message.transfer);
      return;
    case "vote-response":
      writer.boolean(message.pre);
      writer.boolean(message.granted);
      return;
    case "heartbeat":
      writer.uint(message.commit);
      writer.uint(message.readRound);
      return;
    case "heartbeat-response":
      writer.uint(message.readRound);
      return;
    case "snapshot":
      writer.uint(message.snapshot.index);
      writer.uint(message.snapshot.term);
      writer.value(message.snapshot.conf.voters);
      writer.value(message.snapshot.conf.learners);
      return;
    case "timeout-now":
      return;
    case "read-index":
      writer.uint(message.context);
      return;
    case "read-index-response":
      writer.uint(message.context);
      writer.uint(message.index);
      return;
  }
}

function writeEntry(writer: CborWriter, entry: Entry): void {
  writer.arrayHead(4);
  writer.uint(entry.index);
  writer.uint(entry.term);
  writer.uint(entry.kind);
  writer.bytes(entry.data);
}

/**
 * Reads a frame of the negotiated version.
 *
 * @throws WireError when it is anything but a message of that version.
 */
export function decodeMessage(frame: Uint8Array, version: number): PeerMessage {
  const { type, fields } = decodeFields(frame, version);
  return makeMessage(type, fields);
}

/** The type of a frame and its fields, not yet checked. */
export function decodeFields(frame: Uint8Array, version: number): { type: string; fields: unknown[] } {
  const reader = new CborReader(frame);
  const items = reader.arrayHead();
  const found = reader.uint();
  if (found !== version) throw new WireError(`a frame has version ${found}; ${version} was agreed on`);
  const number = reader.uint();
  const type = typeByNumber.get(number);
  if (type === undefined) throw new WireError(`${number} is no type of frame`);
  const fields: unknown[] = [];
  for (let i = 2; i < items; i++) fields.push(reader.value());
  reader.end();
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
      const [from, to, term, pre, lastIndex, lastTerm, transfer] = check(fieldSchemas[type], fields, type);
      return { type, from, to, term, pre, lastIndex, lastTerm, transfer };
    }
    case "vote-response": {
      const [from, to, term, pre, granted] = check(fieldSchemas[type], fields, type);
      return { type, from, to, term, pre, granted };
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
      const [first, bytes] = check(fieldSchemas[type], fields, type);
      return { type, first, commands: readWhole(bytes, readCommands) };
    }
    case "forward-result": {
      const [bytes] = check(fieldSchemas[type], fields, type);
      return { type, outcomes: readWhole(bytes, (reader) => readList(reader, readNumberedOutcome)) };
    }
    case "request": {
      const [request, name, body] = check(fieldSchemas[type], fields, type);
      return { type, id: request, name, body: ownBytes(body) };
    }
    case "response": {
      const [request, body] = check(fieldSchemas[type], fields, type);
      return { type, id: request, body: ownBytes(body) };
    }
    case "request-failed": {
      const [request, code, message] = check(fieldSchemas[type], fields, type);
      return { type, id: request, code: errorCodeOf(code), message };
    }
    default:
      throw new WireError(`a ${type} frame is no message between members`);
  }
}

/** Each entry's data is copied once, into a buffer of its own: it outlives the frame by far. */
function entriesOf(list: readonly v.InferOutput<typeof entrySchema>[], prevIndex: number): Entry[] {
  return list.map(([index, term, kind, data], position) => {
    if (index !== prevIndex + 1 + position) throw new WireError("entries do not follow each other");
    return { index, term, kind, data: data.slice() };
  });
}

function readNumberedOutcome(reader: CborReader) {
  reader.arrayOf(2);
  return [reader.uint(), readOutcome(reader)] as const;
}

/** Reads a byte string that holds CBOR, from a copy, so that its views do not keep the frame. */
function readWhole<T>(bytes: Uint8Array, read: (reader: CborReader) => T): T {
  const reader = new CborReader(bytes.slice());
  const value = read(reader);
  reader.end();
  return value;
}

/** Copies the byte strings in a free-form body. */
function ownBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) return value.slice();
  if (Array.isArray(value)) return value.map(ownBytes);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, ownBytes(item)]));
}
