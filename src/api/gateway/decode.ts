import type { DescEnum, DescField, DescMessage, DescOneof, MessageShape } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { emptyBytes } from "../../base/bytes.ts";
import { type Json, JsonError, NumberText, onlyValue } from "./json.ts";

/**
 * The JSON form of protobuf messages as etcd's gateway reads it (`golang/protobuf`'s jsonpb over Go's
 * `encoding/json`): both names of a field, numbers in quotes or not, enums by name or number, nulls and
 * unknown fields left out. Made once for each message from its descriptor.
 */
export type Decode<D extends DescMessage> = (json: Json) => MessageShape<D>;

type Fields = Record<string, unknown>;
/** Gives `undefined` for a null: the field keeps its default. */
type Read = (json: Json) => unknown;

interface FieldReader {
  /** In camel case; of a field that is given in both spellings this one counts. */
  readonly jsonName: string;
  readonly read: (json: Json, message: Fields) => void;
}

interface MessageReader {
  readonly create: () => Fields;
  /** By both names. */
  readonly fields: Map<string, FieldReader>;
}

const readers = new Map<DescMessage, MessageReader>();

export function decoderOf<D extends DescMessage>(schema: D): Decode<D> {
  const reader = readerOf(schema);
  // The reader makes what the descriptor says.
  return (json) => readMessage(reader, json) as MessageShape<D>;
}

function readerOf(schema: DescMessage): MessageReader {
  const known = readers.get(schema);
  if (known !== undefined) return known;
  const fields = new Map<string, FieldReader>();
  const reader: MessageReader = { create: creatorOf(schema), fields };
  // Known before its fields are: a transaction holds transactions.
  readers.set(schema, reader);
  for (const field of schema.fields) {
    const named = { jsonName: field.jsonName, read: fieldReader(field) };
    fields.set(field.name, named);
    fields.set(field.jsonName, named);
  }
  return reader;
}

/** Far more than a transaction that is accepted has, far less than what would exhaust the stack. */
const messageDepthMax = 1000;
/** Of the message that is being read. */
let depth = 0;

function readMessage(reader: MessageReader, json: Json): Fields {
  const message = reader.create();
  if (json === null) return message;
  if (!isObject(json)) throw misfit(json, "map[string]json.RawMessage");
  if (depth > messageDepthMax) throw new JsonError("exceeded max depth");
  depth++;
  try {
    readFields(reader, json, message);
  } finally {
    depth--;
  }
  return message;
}

function readFields(reader: MessageReader, json: { readonly [name: string]: Json }, message: Fields): void {
  for (const name of Object.keys(json)) {
    const field = reader.fields.get(name);
    const given = json[name];
    if (field === undefined || given === undefined) continue;
    if (name === field.jsonName || json[field.jsonName] === undefined) field.read(given, message);
  }
}

function isObject(json: Json): json is { readonly [name: string]: Json } {
  return typeof json === "object" && json !== null && !Array.isArray(json) && !(json instanceof NumberText);
}

function creatorOf(schema: DescMessage): () => Fields {
  const defaults: (readonly [name: string, make: () => unknown])[] = [];
  for (const member of schema.members) {
    if (member.kind === "oneof") defaults.push([member.localName, () => ({ case: undefined })]);
    else if (member.fieldKind === "list") defaults.push([member.localName, () => []]);
    else if (member.fieldKind === "enum") defaults.push([member.localName, () => 0]);
    else if (member.fieldKind === "scalar") {
      const value = scalarDefaults.get(member.scalar);
      defaults.push([member.localName, () => value]);
    }
  }
  return () => {
    const message: Fields = { $typeName: schema.typeName };
    for (const [name, make] of defaults) message[name] = make();
    return message;
  };
}

const scalarDefaults: ReadonlyMap<ScalarType, unknown> = new Map<ScalarType, unknown>([
  [ScalarType.BYTES, emptyBytes],
  [ScalarType.STRING, ""],
  [ScalarType.BOOL, false],
  [ScalarType.INT64, 0n],
  [ScalarType.UINT64, 0n],
  [ScalarType.INT32, 0],
  [ScalarType.UINT32, 0],
]);

function fieldReader(field: DescField): FieldReader["read"] {
  const { localName, oneof } = field;
  if (oneof !== undefined) return oneofReader(field, oneof);
  if (field.fieldKind !== "list") {
    const read = valueReader(field);
    return (json, message) => {
      const value = json === null ? undefined : read(json);
      if (value !== undefined) message[localName] = value;
    };
  }
  const read = itemReader(field);
  return (json, message) => {
    if (json === null) return;
    if (!Array.isArray(json)) throw misfit(json, "[]json.RawMessage");
    message[localName] = json.map(read);
  };
}

/** A message of a oneof that is null is not chosen; a number is, as 0. */
function oneofReader(field: DescField, { localName }: DescOneof): FieldReader["read"] {
  const read = itemReader(field);
  return (json, message) => {
    if (json === null && field.message !== undefined) return;
    message[localName] = { case: field.localName, value: read(json) };
  };
}

/** Reads a value that has to be there: null stands for the default. */
function itemReader(field: DescField): Read {
  const read = valueReader(field);
  if (field.message !== undefined) return read;
  const byDefault = field.enum === undefined ? scalarDefaults.get(field.scalar as ScalarType) : 0;
  return (json) => (json === null ? byDefault : read(json));
}

function valueReader(field: DescField): Read {
  if (field.message !== undefined) {
    const reader = readerOf(field.message);
    return (json) => readMessage(reader, json);
  }
  if (field.enum !== undefined) return enumReader(field.enum);
  switch (field.scalar) {
    case ScalarType.BYTES:
      return bytesOf;
    case ScalarType.STRING:
      return (json) => {
        if (typeof json === "string") return json;
        throw misfit(json, "string");
      };
    case ScalarType.BOOL:
      return (json) => {
        if (typeof json === "boolean") return json;
        throw misfit(json, "bool");
      };
    case ScalarType.INT64:
      return (json) => integerOf(json, "int64", (value) => BigInt.asIntN(64, value) === value);
    case ScalarType.UINT64:
      return (json) => integerOf(json, "uint64", (value) => BigInt.asUintN(64, value) === value);
    case ScalarType.INT32:
      return (json) => narrow(integerOf(json, "int32", isInt32));
    case ScalarType.UINT32:
      return (json) => narrow(integerOf(json, "uint32", (value) => BigInt.asUintN(32, value) === value));
    default:
      throw new Error(`etcd has no field of the type of ${field.name}`);
  }
}

const isInt32 = (value: bigint): boolean => BigInt.asIntN(32, value) === value;
const narrow = (value: bigint | undefined): number | undefined =>
  value === undefined ? undefined : Number(value);

/** An enum is named as the type that Go has for it: the package, then the names of the types around it. */
function enumReader(desc: DescEnum): Read {
  const scope = desc.file.proto.package;
  const goName = `${scope}.${desc.typeName.slice(scope.length + 1).replaceAll(".", "_")}`;
  const numbers = new Map(desc.values.map((value) => [value.name, value.number]));
  return (json) => {
    if (typeof json !== "string") return narrow(integerOf(json, goName, isInt32));
    const number = numbers.get(json);
    if (number === undefined) throw new JsonError(`unknown value ${JSON.stringify(json)} for enum ${goName}`);
    return number;
  };
}

/** Nothing when a null stands in the quotes. */
function integerOf(json: Json, type: string, fits: (value: bigint) => boolean): bigint | undefined {
  const given = typeof json === "string" ? onlyValue(json) : json;
  if (given === null) return undefined;
  if (typeof given !== "number" && !(given instanceof NumberText)) throw misfit(given, type);
  const text = typeof given === "number" ? String(given) : given.text;
  const value = /^-?\d+$/.test(text) ? BigInt(text) : undefined;
  if (value === undefined || !fits(value)) {
    throw new JsonError(`json: cannot unmarshal number ${text} into Go value of type ${type}`);
  }
  return value;
}

function bytesOf(json: Json): Uint8Array {
  if (typeof json === "string") return base64Bytes(json);
  if (!Array.isArray(json)) throw misfit(json, "[]uint8");
  return Uint8Array.from(json, (item: Json) => {
    if (item === null) return 0;
    return Number(integerItem(item));
  });
}

function integerItem(item: Json): bigint {
  if (typeof item === "string") throw misfit(item, "uint8");
  return integerOf(item, "uint8", (value) => BigInt.asUintN(8, value) === value) ?? 0n;
}

const paddedBase64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Padded base64 of the usual alphabet; line breaks may stand in it. */
function base64Bytes(text: string): Uint8Array {
  if (text.length % 4 === 0 && paddedBase64.test(text)) {
    // Bits behind the last byte are not looked at.
    return Uint8Array.fromBase64(text);
  }
  const joined = text.replace(/[\r\n]/g, "");
  if (joined.length !== text.length) return base64Bytes(joined);
  throw new JsonError(`illegal base64 data at input byte ${wrongBase64At(text)}`);
}

/** Where Go says that it cannot go on: the wrong character, or the start of a group that is cut short. */
function wrongBase64At(text: string): number {
  const wrong = /[^A-Za-z0-9+/]/.exec(text)?.index ?? text.length;
  if (text[wrong] === "=") {
    const inGroup = wrong % 4;
    const padding = 4 - inGroup;
    if (inGroup < 2) return wrong;
    if (text.length < wrong + padding) return text.length;
    return text[wrong + padding - 1] === "=" ? wrong + padding : wrong + padding - 1;
  }
  return wrong === text.length ? wrong - (wrong % 4) : wrong;
}

function misfit(json: Json, type: string): JsonError {
  return new JsonError(`json: cannot unmarshal ${kindOf(json)} into Go value of type ${type}`);
}

function kindOf(json: Json): string {
  if (json instanceof NumberText || typeof json === "number") return "number";
  if (typeof json === "boolean") return "bool";
  if (typeof json === "string") return "string";
  return Array.isArray(json) ? "array" : "object";
}
