import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { EventSchema } from "../../etcd/gen/mvcc_pb.ts";

/**
 * The JSON form of protobuf messages as etcd's gateway writes it: the fields' own names, integers of 64 bits
 * as strings, and nothing that is zero, false or empty. Made once for each message from its descriptor.
 */
export type Encode<D extends DescMessage> = (message: MessageShape<D>) => string;

type Fields = Readonly<Record<string, unknown>>;
type Write = (message: Fields) => string;
/** Gives the text of a value, or nothing when it is to be left out. */
type Text = (value: unknown) => string | undefined;

const writers = new Map<DescMessage, Write>();

export function encoderOf<D extends DescMessage>(schema: D): Encode<D> {
  const write = writerOf(schema);
  return (message) => write(message as Fields);
}

function writerOf(schema: DescMessage): Write {
  const known = writers.get(schema);
  if (known !== undefined) return known;
  const parts: ((message: Fields) => string | undefined)[] = [];
  const write: Write = (message) => {
    let text = "";
    for (const part of parts) {
      const field = part(message);
      if (field !== undefined) text = text === "" ? field : `${text},${field}`;
    }
    return `{${text}}`;
  };
  // Known before its fields are: the answer to a transaction holds such answers.
  writers.set(schema, write);
  for (const field of schema.fields) parts.push(fieldWriter(field));
  return write;
}

function fieldWriter(field: DescField): (message: Fields) => string | undefined {
  const { localName, oneof } = field;
  const prefix = `${JSON.stringify(field.name)}:`;
  if (oneof !== undefined) {
    const text = itemText(field);
    return (message) => {
      const chosen = message[oneof.localName] as { readonly case?: string; readonly value?: unknown };
      return chosen.case === localName ? prefix + text(chosen.value) : undefined;
    };
  }
  if (field.fieldKind === "list") {
    const text = itemText(field);
    return (message) => {
      const items = message[localName] as readonly unknown[];
      return items.length === 0 ? undefined : `${prefix}[${items.map(text).join(",")}]`;
    };
  }
  const text = valueText(field);
  return (message) => {
    const value = text(message[localName]);
    return value === undefined ? undefined : prefix + value;
  };
}

/** A value that is written whatever it is. */
function itemText(field: DescField): (value: unknown) => string {
  const text = valueText(field);
  const zero = zeroText(field);
  return (value) => text(value) ?? zero;
}

function zeroText(field: DescField): string {
  if (field.message !== undefined) return "{}";
  if (field.enum !== undefined) return enumText(field.enum, 0);
  switch (field.scalar) {
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return '"0"';
    case ScalarType.BYTES:
    case ScalarType.STRING:
      return '""';
    case ScalarType.BOOL:
      return "false";
    default:
      return "0";
  }
}

function valueText(field: DescField): Text {
  if (field.message !== undefined) {
    const write = field.message === EventSchema ? remembered(writerOf(EventSchema)) : writerOf(field.message);
    return (value) => (value === undefined ? undefined : write(value as Fields));
  }
  if (field.enum !== undefined) {
    const desc = field.enum;
    return (value) => (value === 0 ? undefined : enumText(desc, value as number));
  }
  switch (field.scalar) {
    case ScalarType.BYTES:
      return (value) => {
        const bytes = value as Uint8Array;
        return bytes.length === 0 ? undefined : `"${bytes.toBase64()}"`;
      };
    case ScalarType.STRING:
      return (value) => (value === "" ? undefined : JSON.stringify(value));
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return integerText();
    case ScalarType.BOOL:
      return (value) => (value === true ? "true" : undefined);
    default:
      return (value) => (value === 0 ? undefined : String(value));
  }
}

/** Watches of one range are told the same messages of events: their text is made once. */
function remembered(write: Write): Write {
  const texts = new WeakMap<Fields, string>();
  return (message) => {
    let text = texts.get(message);
    if (text === undefined) {
      text = write(message);
      texts.set(message, text);
    }
    return text;
  };
}

/** The ids and the term in an answer's header are mostly those of the answer before. */
function integerText(): Text {
  let last: unknown;
  let text: string | undefined;
  return (value) => {
    if (value === last) return text;
    last = value;
    text = value === 0n ? undefined : `"${value as bigint}"`;
    return text;
  };
}

function enumText(desc: DescEnum, number: number): string {
  const name = desc.value[number]?.name;
  return name === undefined ? String(number) : `"${name}"`;
}
