import { utf8 } from "../base/bytes.ts";
import { withoutControls } from "../base/controls.ts";
import { messageOf } from "../base/errors.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of bytes, or `undefined` when they are no UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * A value as the command line gives it: the text itself, `-` or nothing for stdin, `@file` for a
 * file's content, `@@text` for text that begins with an @.
 */
export async function readValue(io: Io, argument: string | undefined): Promise<Uint8Array<ArrayBuffer>> {
  if (argument === undefined && io.inputIsTerminal) {
    throw new CommandFailure(
      exitCodes.usage,
      "The value is missing: give it as an argument, as @file or on stdin.",
    );
  }
  if (argument === undefined || argument === "-") return new Uint8Array(await io.readInput());
  if (argument.startsWith("@@")) return new Uint8Array(utf8(argument.slice(1)));
  if (!argument.startsWith("@")) return new Uint8Array(utf8(argument));
  const path = argument.slice(1);
  try {
    return new Uint8Array(io.readFile(path));
  } catch (error) {
    throw new CommandFailure(
      exitCodes.usage,
      `The file "${path}" cannot be read (write @@ for a value that begins with @): ${messageOf(error)}.`,
    );
  }
}

/** A key as the command line gives it: text, or with `hex` its bytes in hexadecimal. */
export function readKey(argument: string, hex: boolean): Uint8Array {
  if (!hex) return utf8(argument);
  if (!/^([0-9a-f]{2})*$/i.test(argument)) {
    throw new CommandFailure(
      exitCodes.usage,
      `"${argument}" is no hexadecimal: pairs of the digits 0 to 9 and a to f.`,
    );
  }
  return Uint8Array.fromHex(argument);
}

/** The same for a command that is about one key, which has at least one byte. */
export function readOneKey(argument: string, hex: boolean): Uint8Array {
  const key = readKey(argument, hex);
  if (key.length > 0) return key;
  throw new CommandFailure(exitCodes.usage, "The key is empty; give one of at least one byte.");
}

/** Bytes in a JSON document: under their name as text when they are UTF-8, else under `name_base64`. */
export function jsonBytes(name: string, bytes: Uint8Array): Record<string, string> {
  const text = textOf(bytes);
  return text === undefined ? { [`${name}_base64`]: bytes.toBase64() } : { [name]: text };
}

const shownCharactersMax = 64;

/** Bytes for a person: one line, no control characters, cut when long. */
export function preview(bytes: Uint8Array, charactersMax = shownCharactersMax): string {
  const text = textOf(bytes);
  if (text === undefined) return `(${bytes.length} bytes that are no text)`;
  const plain = withoutControls(text);
  return plain.length > charactersMax ? `${plain.slice(0, charactersMax)}...` : plain;
}
