import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import { invalidArgument, quoted } from "./errors.ts";
import { decodePercent } from "./percent.ts";

/** Names of the parameters of a route, each with the schema that turns its raw text into a value. */
type Parameters = v.ObjectEntries;
type Parsed<T extends Parameters> = v.InferOutput<v.ObjectSchema<T, undefined>>;

/** Text of a parameter: percent-decoded UTF-8, `+` is a space. */
const text = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const bytes = decodePercent(dataset.value, true);
    if (bytes === null) {
      addIssue({ message: "has a % that two hexadecimal digits do not follow; write a percent sign as %25" });
      return NEVER;
    }
    return new TextDecoder().decode(bytes);
  }),
);

/** A whole number in decimal digits. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER) {
  return v.pipe(
    text,
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const number = /^\d{1,16}$/.test(dataset.value) ? Number(dataset.value) : Number.NaN;
      if (number >= least && number <= most) return number;
      addIssue({ message: `must be a whole number from ${least} to ${most}, not ${quoted(dataset.value)}` });
      return NEVER;
    }),
  );
}

/** `true` or `false`; the bare name is `true`. */
export const flag = v.pipe(
  text,
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    if (dataset.value === "true" || dataset.value === "") return true;
    if (dataset.value === "false") return false;
    addIssue({ message: `must be true or false, not ${quoted(dataset.value)}` });
    return NEVER;
  }),
);

export function choice<const T extends readonly string[]>(options: T) {
  return v.pipe(
    text,
    v.rawTransform(({ dataset, addIssue, NEVER }): T[number] => {
      const found = options.find((option) => option === dataset.value);
      if (found !== undefined) return found;
      addIssue({ message: `must be ${options.join(" or ")}, not ${quoted(dataset.value)}` });
      return NEVER;
    }),
  );
}

/** The bytes of a key, percent-encoded. */
export const keyBytes = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const bytes = decodePercent(dataset.value, true);
    if (bytes === null) {
      addIssue({ message: "has a % that two hexadecimal digits do not follow; write a percent sign as %25" });
      return NEVER;
    }
    return bytes;
  }),
);

export const textParameter = text;

/** What stands behind the first `?` of a URL, without it. */
export function queryOf(url: string): string {
  const start = url.indexOf("?");
  return start === -1 ? "" : url.slice(start + 1);
}

/**
 * Reads the query of a request. A parameter that the route does not know, one that comes twice and
 * one with a wrong value are refused: a misspelled `consistency` must not go unnoticed.
 */
export function parseQuery<T extends Parameters>(
  schema: v.ObjectSchema<T, undefined>,
  query: string,
): Parsed<T> {
  if (query === "") return withoutQuery(schema);
  const raw: Record<string, string> = Object.create(null);
  if (query.includes("#")) throw invalidArgument("The query has a # in it; write it as %23.");
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = equals === -1 ? pair : pair.slice(0, equals);
    if (!Object.hasOwn(schema.entries, name)) throw unknownParameter(name, Object.keys(schema.entries));
    if (name in raw) throw invalidArgument(`The parameter ${name} is given twice; give it once.`);
    raw[name] = equals === -1 ? "" : pair.slice(equals + 1);
  }
  const result = v.safeParse(schema, raw, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw invalidArgument(`The parameter ${v.getDotPath(issue) ?? ""} ${issue.message}.`);
}

/** What each schema makes of no query: the most frequent case, worth no second run. */
const parsedEmpty = new WeakMap<object, unknown>();

function withoutQuery<T extends Parameters>(schema: v.ObjectSchema<T, undefined>): Parsed<T> {
  const known = parsedEmpty.get(schema) as Parsed<T> | undefined;
  if (known !== undefined) return known;
  const parsed = v.parse(schema, {});
  parsedEmpty.set(schema, parsed);
  return parsed;
}

function unknownParameter(name: string, known: readonly string[]): CoracleError {
  const allowed = known.length === 0 ? "it takes none" : `it takes ${known.join(", ")}`;
  return new CoracleError("unknown_parameter", `This route has no parameter ${quoted(name)}; ${allowed}.`);
}
