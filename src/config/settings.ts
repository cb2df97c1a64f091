import { readFileSync } from "node:fs";
import * as v from "valibot";
import { CoracleError, messageOf } from "../base/errors.ts";
import { misspelledVariable } from "./environment.ts";
import { environmentName, type OptionSpec, type ServeOptionKey, serveOptions } from "./options.ts";

type Table = typeof serveOptions;

/** The value of each option after flags, environment, file and defaults; `undefined` without any. */
export type Settings = {
  readonly [K in ServeOptionKey]:
    | v.InferOutput<Table[K]["schema"]>
    | (Table[K] extends { readonly default: unknown } ? never : undefined);
};

/** Where options come from; the first that has one wins: flags, environment, file. */
export interface ConfigSources {
  /** By option name (`data-dir`), as the command line gives them. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Reads a text file; throws when it cannot. */
  readonly readTextFile?: (path: string) => string;
  /** Reads a join token, and refuses a file that others could read. */
  readonly readTokenFile: (path: string) => string;
}

export function invalid(sentence: string): CoracleError {
  return new CoracleError("config_invalid", sentence);
}

function readText(sources: ConfigSources, path: string): string {
  const read = sources.readTextFile ?? ((file: string) => readFileSync(file, "utf8"));
  try {
    return read(path);
  } catch (error) {
    throw invalid(`The configuration file ${path} cannot be read: ${messageOf(error)}.`);
  }
}

function readConfigFile(sources: ConfigSources): { path: string; values: Readonly<Record<string, unknown>> } {
  const path = sources.flags.config ?? sources.environment[environmentName("config")];
  if (path === undefined || path === "") return { path: "", values: {} };
  if (typeof path !== "string") throw invalid("--config must name a file.");
  const content = readText(sources, path);
  let document: unknown;
  try {
    document = JSON.parse(content);
  } catch (error) {
    throw invalid(`The configuration file ${path} is not JSON: ${messageOf(error)}.`);
  }
  const parsed = v.safeParse(v.record(v.string(), v.unknown()), document);
  if (!parsed.success || Array.isArray(document)) {
    throw invalid(`The configuration file ${path} must hold one JSON object.`);
  }
  const known = new Set(Object.values<OptionSpec>(serveOptions).map((spec) => spec.name));
  for (const key of Object.keys(parsed.output)) {
    if (!known.has(key)) {
      throw invalid(
        `The configuration file ${path} has the unknown key "${key}"; keys are flags without dashes.`,
      );
    }
  }
  return { path, values: parsed.output };
}

/**
 * Collects the options and checks each one by itself.
 *
 * @throws CoracleError `config_invalid`, with a sentence that names the place and the value.
 */
export function readSettings(sources: ConfigSources): Settings {
  const slip = misspelledVariable(sources.environment);
  if (slip !== undefined) {
    throw invalid(
      `The environment variable ${slip.given} does not exist; ${slip.meant} does. Rename or unset it.`,
    );
  }
  const file = readConfigFile(sources);
  const settings: Record<string, unknown> = {};
  for (const [key, spec] of Object.entries<OptionSpec>(serveOptions)) {
    const variable = environmentName(spec.name);
    const given = [
      { from: `--${spec.name}`, raw: sources.flags[spec.name] },
      // An empty variable means "not given": environment files cannot leave a name out.
      { from: variable, raw: sources.environment[variable] || undefined },
      { from: `"${spec.name}" in ${file.path}`, raw: file.values[spec.name] },
      { from: `the default of --${spec.name}`, raw: spec.default },
    ].find((source) => source.raw !== undefined);
    if (given === undefined) continue;
    const result = v.safeParse(spec.schema, given.raw);
    if (!result.success) {
      const shown = typeof given.raw === "string" ? given.raw : JSON.stringify(given.raw);
      const example = spec.argument === undefined ? "" : ` (example: ${spec.example})`;
      throw invalid(
        `${given.from} is ${shown === "" ? "empty" : shown}, but ${result.issues[0].message}${example}.`,
      );
    }
    settings[key] = result.output;
  }
  // Each value went through its own schema, so the record has exactly the shape of the table.
  return settings as Settings;
}
