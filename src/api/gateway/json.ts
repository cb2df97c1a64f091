import { utf8 } from "../../base/bytes.ts";

/**
 * JSON as Go's `encoding/json` reads it: etcd's gateway takes the first value of a body and leaves the rest,
 * and tells a number by its digits. Errors are in Go's words, which etcd's users know.
 */

/** A number that is no plain safe integer, by its digits: an int64 or a mistake. */
export class NumberText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Json =
  | null
  | boolean
  | number
  | string
  | NumberText
  | readonly Json[]
  | { readonly [name: string]: Json };

/** Not JSON, or JSON that does not fit; the text is for the client. */
export class JsonError extends Error {}

/** As deep as Go reads. Far less deep than what would exhaust a stack. */
const depthMax = 1000;

/** A number outside a string that a double does not hold as it is written. Inside one it does no harm. */
const inexactNumber = /[:,[]\s*-?\d*(?:\d[.eE]|\d{16})/;

/** One value and where it ends. `undefined`: there is nothing but white space. */
export interface FirstValue {
  readonly value: Json;
  readonly end: number;
}

/** Reads the first value from `start` on; what follows it is not looked at. */
export function firstValue(text: string, start = 0): FirstValue | undefined {
  if (start === 0) {
    const whole = parseWhole(text);
    if (whole !== undefined) return { value: whole, end: text.length };
  }
  const parser = new Parser(text, start, "unexpected EOF");
  if (parser.atEnd()) return undefined;
  const value = parser.value(0);
  return { value, end: parser.position };
}

/** The fast way for what is well-formed and has no number that matters to the last digit. */
function parseWhole(text: string): Json | undefined {
  try {
    const value: Json = JSON.parse(text);
    if (typeof value !== "object" || value === null || inexactNumber.test(text)) return undefined;
    return value;
  } catch {
    return undefined;
  }
}

/** Reads a text that is one value: what stands in the quotes of a number. */
export function onlyValue(text: string): Json {
  const parser = new Parser(text, 0, "unexpected end of JSON input");
  if (parser.atEnd()) throw new JsonError("unexpected end of JSON input");
  const value = parser.value(0);
  if (!parser.atEnd()) throw parser.unexpected("after top-level value");
  return value;
}

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

class Parser {
  readonly #text: string;
  /** What a text that ends too early is told. */
  readonly #early: string;
  position: number;

  constructor(text: string, start: number, early: string) {
    this.#text = text;
    this.position = start;
    this.#early = early;
  }

  /** Nothing but white space is left. */
  atEnd(): boolean {
    this.#space();
    return this.position >= this.#text.length;
  }

  unexpected(where: string): JsonError {
    const text = this.#text.slice(this.position, this.position + 2);
    if (text === "") return new JsonError(this.#early);
    // Go looks at bytes.
    const code = text.charCodeAt(0);
    const byte = code < 0x80 ? code : (utf8(String.fromCodePoint(text.codePointAt(0) ?? 0))[0] ?? 0);
    const char = byte === 0x27 ? "\\'" : byte === 0x22 ? '"' : shown(byte);
    return new JsonError(`invalid character '${char}' ${where}`);
  }

  value(depth: number): Json {
    if (depth > depthMax) throw new JsonError("exceeded max depth");
    this.#space();
    const char = this.#text[this.position];
    switch (char) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      case "t":
        return this.#literal("true", true);
      case "f":
        return this.#literal("false", false);
      case "n":
        return this.#literal("null", null);
      default:
        if (char === "-" || (char !== undefined && char >= "0" && char <= "9")) return this.#number();
        throw this.unexpected("looking for beginning of value");
    }
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.position++;
    }
  }

  #object(depth: number): Json {
    const fields: Record<string, Json> = Object.create(null);
    this.position++;
    this.#space();
    if (this.#take("}")) return fields;
    for (;;) {
      this.#space();
      if (this.#text[this.position] !== '"') {
        throw this.unexpected("looking for beginning of object key string");
      }
      const name = this.#string();
      this.#space();
      if (!this.#take(":")) throw this.unexpected("after object key");
      fields[name] = this.value(depth + 1);
      this.#space();
      if (this.#take("}")) return fields;
      if (!this.#take(",")) throw this.unexpected("after object key:value pair");
    }
  }

  #array(depth: number): Json {
    const items: Json[] = [];
    this.position++;
    this.#space();
    if (this.#take("]")) return items;
    for (;;) {
      items.push(this.value(depth + 1));
      this.#space();
      if (this.#take("]")) return items;
      if (!this.#take(",")) throw this.unexpected("after array element");
    }
  }

  #string(): string {
    let text = "";
    let from = ++this.position;
    for (; ; this.position++) {
      const code = this.#text.charCodeAt(this.position);
      if (code === 0x22) break;
      if (Number.isNaN(code) || code < 0x20) throw this.unexpected("in string literal");
      if (code !== 0x5c) continue;
      text += this.#text.slice(from, this.position);
      this.position++;
      text += this.#escaped();
      from = this.position + 1;
    }
    text += this.#text.slice(from, this.position);
    this.position++;
    return text;
  }

  /** Ends at the last character of the escape. */
  #escaped(): string {
    const char = this.#text[this.position] ?? "";
    const simple = escapes[char];
    if (simple !== undefined) return simple;
    if (char !== "u") throw this.unexpected("in string escape code");
    const start = this.position + 1;
    for (let digit = 0; digit < 4; digit++) {
      this.position++;
      if (!/^[0-9a-fA-F]$/.test(this.#text[this.position] ?? "")) {
        throw this.unexpected("in \\u hexadecimal character escape");
      }
    }
    return String.fromCharCode(Number.parseInt(this.#text.slice(start, start + 4), 16));
  }

  #literal<T extends Json>(word: string, value: T): T {
    for (const char of word) {
      if (this.#text[this.position] !== char) {
        throw this.unexpected(`in literal ${word} (expecting '${char}')`);
      }
      this.position++;
    }
    return value;
  }

  #number(): Json {
    const start = this.position;
    if (this.#take("-") && !this.#digit()) throw this.unexpected("in numeric literal");
    if (this.#text[this.position] === "0") this.position++;
    else this.#digits();
    let plain = true;
    if (this.#take(".")) {
      plain = false;
      if (!this.#digit()) throw this.unexpected("after decimal point in numeric literal");
      this.#digits();
    }
    if (this.#take("e") || this.#take("E")) {
      plain = false;
      if (!this.#take("+")) this.#take("-");
      if (!this.#digit()) throw this.unexpected("in exponent of numeric literal");
      this.#digits();
    }
    const text = this.#text.slice(start, this.position);
    const number = Number(text);
    return plain && Number.isSafeInteger(number) ? number : new NumberText(text);
  }

  #digit(): boolean {
    const char = this.#text[this.position];
    return char !== undefined && char >= "0" && char <= "9";
  }

  #digits(): void {
    while (this.#digit()) this.position++;
  }

  #take(char: string): boolean {
    if (this.#text[this.position] !== char) return false;
    this.position++;
    return true;
  }
}

/** A byte as Go quotes it. */
function shown(byte: number): string {
  const quoted = JSON.stringify(String.fromCharCode(byte));
  return byte < 0x20 || byte === 0x7f ? goControl(byte) : quoted.slice(1, -1);
}

const controls: Readonly<Record<number, string>> = {
  7: "\\a",
  8: "\\b",
  9: "\\t",
  10: "\\n",
  11: "\\v",
  12: "\\f",
  13: "\\r",
};

function goControl(byte: number): string {
  return controls[byte] ?? `\\x${byte.toString(16).padStart(2, "0")}`;
}
