import * as v from "valibot";
import { messageOf } from "../base/errors.ts";

/**
 * Schemas for single option values. Each takes what flags and the environment give (text) and what a
 * JSON file gives (numbers, booleans, arrays). A message continues the sentence "--flag is VALUE, but ...".
 */

/** Runs a parser that throws an Error with such a message. */
export function parsed<T>(parse: (text: string) => T) {
  return v.pipe(
    v.string("it must be text"),
    v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
      try {
        return parse(dataset.value);
      } catch (error) {
        addIssue({ message: messageOf(error).replace(/\.$/, "") });
        return NEVER;
      }
    }),
  );
}

export function integer(least: number, most: number, unit = "") {
  const what = `it must be a whole number from ${least} to ${most}${unit === "" ? "" : ` ${unit}`}`;
  return v.pipe(
    v.union([v.number(), v.pipe(v.string(), v.trim(), v.regex(/^\d+$/), v.transform(Number))], what),
    v.integer(what),
    v.minValue(least, what),
    v.maxValue(most, what),
  );
}

export const flagValue = v.union(
  [
    v.boolean(),
    v.pipe(
      v.picklist(["true", "false"]),
      v.transform((text) => text === "true"),
    ),
  ],
  "it must be true or false",
);

export const text = v.pipe(v.string("it must be text"), v.trim(), v.nonEmpty("it must not be empty"));

/** Comma-separated text, an array, or a flag given several times. */
export function list<T>(parse: (item: string) => T) {
  return v.pipe(
    v.union([v.string(), v.array(v.string())], "it must be a list of texts"),
    v.transform((value) => (typeof value === "string" ? [value] : value)),
    v.transform((values) => values.flatMap((value) => value.split(",")).map((item) => item.trim())),
    v.array(v.pipe(v.string(), v.nonEmpty("it has an empty item"), parsed(parse))),
    v.nonEmpty("it must not be empty"),
  );
}

const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
};

/** Bytes: a number, or text such as `256MiB`. */
export function bytes(least: number, most: number) {
  const range = `it must be a size from ${formatBytes(least)} to ${formatBytes(most)}, such as 64MiB (KiB, MiB, GiB, or bytes)`;
  return v.pipe(
    v.union([v.number(), v.pipe(v.string(), v.transform(parseBytes))], range),
    v.integer(range),
    v.minValue(least, range),
    v.maxValue(most, range),
  );
}

function parseBytes(size: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(size.trim());
  const unit = sizeUnits[match?.[2]?.toLowerCase() ?? "?"];
  return match === null || unit === undefined ? Number.NaN : Math.floor(Number(match[1]) * unit);
}

/** The shortest exact form: `256MiB`, `1536KiB`, `1000B`. */
export function formatBytes(size: number): string {
  for (const [unit, factor] of [
    ["GiB", 1024 ** 3],
    ["MiB", 1024 ** 2],
    ["KiB", 1024],
  ] as const) {
    if (size >= factor && size % factor === 0) return `${size / factor}${unit}`;
  }
  return `${size}B`;
}

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

function parseDuration(value: string): number {
  const match = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)$/.exec(value.trim());
  return match === null ? Number.NaN : Number(match[1]) * (durationUnits[match[2] ?? ""] ?? Number.NaN);
}

function milliseconds(leastMs: number, mostMs: number, range: string) {
  return v.pipe(
    v.union([v.number(), v.pipe(v.string(), v.transform(parseDuration))], range),
    v.integer(range),
    v.minValue(leastMs, range),
    v.maxValue(mostMs, range),
  );
}

/** Milliseconds: a number, or text with a unit such as `500ms`, `30s`, `10m`, `2h`, `1d`. */
export function durationMs(leastMs: number, mostMs: number) {
  const range = `it must be a time from ${leastMs}ms to ${mostMs}ms, such as 500ms, 30s, 10m or 2h`;
  return milliseconds(leastMs, mostMs, range);
}

/** The same, or the word that says: never. */
export function durationOrOffMs(leastMs: number, mostMs: number) {
  const range = `it must be off, or a time from ${leastMs}ms to ${mostMs}ms, such as 30s, 10m or 2h`;
  const off = v.pipe(v.string(), v.trim(), v.literal("off"));
  return v.union([off, milliseconds(leastMs, mostMs, range)], range);
}

export const logLevels = ["trace", "debug", "info", "warning", "error", "fatal"] as const;
export type LogLevel = (typeof logLevels)[number];

/** How much is logged: in general, and by room (`raft`, `peer`, ...). */
export interface LogLevels {
  readonly base: LogLevel;
  readonly rooms: Readonly<Record<string, LogLevel>>;
}

function parseLogLevels(value: string): LogLevels {
  let base: LogLevel = "info";
  const rooms: Record<string, LogLevel> = {};
  for (const item of value.split(",")) {
    const [left = "", right] = item.trim().split("=", 2);
    const name = right ?? left;
    const level = logLevels.find((candidate) => candidate === (name === "warn" ? "warning" : name));
    if (level === undefined) throw new Error(`"${name}" is none of the levels ${logLevels.join(", ")}`);
    if (right === undefined) base = level;
    else if (/^[a-z][a-z-]*$/.test(left)) rooms[left] = level;
    else throw new Error(`"${left}" is not the name of a room such as raft or peer`);
  }
  return { base, rooms };
}

export const logLevel = parsed(parseLogLevels);
