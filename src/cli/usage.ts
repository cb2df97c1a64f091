import type { Command, CommanderError } from "commander";
import { utf8 } from "../base/bytes.ts";
import { preview } from "./values.ts";

/** How much of a wrong word is said again. */
const shownCharactersMax = 200;

const shown = (text: string): string => preview(utf8(text), shownCharactersMax);
/** The words of our own parsers, or the choices of an option, behind "but". */
const reasonOf = (text: string): string =>
  text
    .replace(/\.$/, "")
    .replace(/^It must/, "it must")
    .replace(/^Allowed choices are (.*)$/, (_, choices: string) => `it must be ${alternatives(choices)}`);
const alternatives = (list: string): string => list.replace(/, ([^,]*)$/, " or $1");
/** `-o, --output <form>` as `--output <form>`. */
const withoutShort = (flags: string): string => flags.replace(/^-\w, /, "");
const firstWord = (text: string): string => text.split(" ", 1)[0] ?? text;

function isNot(what: string, value: string, reason: string): string {
  return `${what} is ${value === "" ? "empty" : shown(value)}, but ${reasonOf(reason)}.`;
}

/** Makes a sentence of what a pattern found. */
type Wording = (parts: readonly string[], command: readonly string[]) => string;

/** What commander says (its codes alone do not say what about), and how it is said here. */
const wordings: readonly (readonly [RegExp, Wording])[] = [
  [
    /^option '(.*?)' argument '(.*)' is invalid\. (.*)$/s,
    ([flags = "", value = "", reason = ""]) => isNot(firstWord(withoutShort(flags)), value, reason),
  ],
  [
    /^command-argument value '(.*)' is invalid for argument '(.*?)'\. (.*)$/s,
    ([value = "", name = "", reason = ""]) => isNot(`The argument <${name}>`, value, reason),
  ],
  [
    /^missing required argument '(.*)'$/,
    ([name = ""], command) => `The argument <${name}> is missing; ${seeHelp(command)}.`,
  ],
  [
    /^option '(.*)' argument missing$/,
    ([flags = ""]) => `${firstWord(withoutShort(flags))} has no value; write ${withoutShort(flags)}.`,
  ],
  [
    /^unknown option '(.*?)'(?:\n\(Did you mean (.*)\?\))?$/s,
    ([flag = "", meant], command) => `There is no option ${shown(flag)}; ${optionHint(flag, meant, command)}`,
  ],
  [
    /^unknown command '(.*?)'(?:\n\(Did you mean (.*)\?\))?$/s,
    ([name = "", meant], command) =>
      `There is no command "${shown([...command, name].join(" "))}"; ${meant ? `did you mean ${meant}?` : `${seeHelp(command)}.`}`,
  ],
  [
    /^too many arguments(?: for '.*')?\. Expected (\d+) arguments? but got (\d+)\.$/,
    ([most = "", given = ""], command) => tooMany(command, Number(most), Number(given)),
  ],
];

function tooMany(command: readonly string[], most: number, given: number): string {
  const what = `coracle ${command.join(" ")}`;
  const got = `${given} ${given === 1 ? "was" : "were"} given`;
  if (most === 0) return `${what} takes no argument, but ${got}.`;
  const limit = `at most ${most} argument${most === 1 ? "" : "s"}`;
  return `${what} takes ${limit}, but ${got}; quote one that has spaces.`;
}

/** A word with one dash is more often a value, such as -5, than an option. */
function optionHint(flag: string, meant: string | undefined, command: readonly string[]): string {
  if (meant !== undefined && meant !== "") return `did you mean ${meant}?`;
  if (!flag.startsWith("--")) return "write -- before an argument that begins with a dash.";
  return `${seeHelp(command)}.`;
}

function seeHelp(command: readonly string[]): string {
  return `see ${["coracle", ...command, "--help"].join(" ")}`;
}

/** The names of the command that the arguments reached, without the program's. */
function commandOf(program: Command, args: readonly string[]): string[] {
  const names: string[] = [];
  let within = program;
  for (const arg of args) {
    const next = within.commands.find((command) => command.name() === arg);
    if (next === undefined) break;
    names.push(arg);
    within = next;
  }
  return names;
}

/** What was wrong with the arguments, in one sentence in the way of all others. */
export function usageSentence(error: CommanderError, program: Command, args: readonly string[]): string {
  const text = error.message.replace(/^error: /, "");
  for (const [pattern, wording] of wordings) {
    const found = pattern.exec(text);
    if (found !== null) return wording(found.slice(1), commandOf(program, args));
  }
  const line = shown(text.replace(/\s*\n\s*/g, " "));
  return /[.?)]$/.test(line) ? line : `${line}.`;
}
