import { Command, CommanderError } from "commander";
import { present } from "../base/assert.ts";
import { CoracleError, messageOf } from "../base/errors.ts";
import { bashCompletion } from "./bash-completion.ts";
import { addCompactCommand } from "./compact.ts";
import { addDelCommand } from "./del.ts";
import { addDevCommand } from "./dev-command.ts";
import { addElectCommand } from "./elect.ts";
import { CommandFailure, exitCodes, exitCodesHelp } from "./exit-codes.ts";
import { addGetCommand } from "./get.ts";
import type { Io } from "./io.ts";
import { addLeaderCommand } from "./leader.ts";
import { addLeaseCommand } from "./lease.ts";
import { addLeaveCommand } from "./leave.ts";
import { addListCommand } from "./list.ts";
import { addLockCommand } from "./lock.ts";
import { addMemberCommand } from "./member.ts";
import { addPutCommand } from "./put.ts";
import { addServeCommand } from "./serve-command.ts";
import { addStatusCommand } from "./status.ts";
import { addTxnCommand } from "./txn.ts";
import { usageSentence } from "./usage.ts";
import { addVersionCommand, versionLine } from "./version.ts";
import { addWatchCommand } from "./watch.ts";

const completionExample = "\nExample:\n  source <(coracle completion bash)";

/**
 * Runs one command.
 *
 * @param args what stands behind the program's name.
 * @returns the exit code.
 */
export async function runProgram(args: readonly string[], io: Io): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const asksHelp = args[0] === "help";
  const words = asksHelp ? args.slice(1) : args;
  const pending: Promise<void>[] = [];
  const program = buildProgram(io, pending, (code) => {
    exitCode = code;
  });
  try {
    refuseBrokenText(args);
    if (words[0] === "completion" || words[0] === "complete") await addCompletion(program);
    const command = commandAt(program, words);
    // The library knows only commands of the first level here, and would run what stands behind a --.
    if (asksHelp) command.help();
    if (args[0] === "completion" && args[1] === "bash" && args.length === 2) {
      await io.out(bashCompletion);
      return exitCodes.ok;
    }
    await program.parseAsync([...args], { from: "user" });
  } catch (error) {
    exitCode = await report(error, io, (wrong) => usageSentence(wrong, program, words));
  }
  await Promise.all(pending);
  return exitCode;
}

function buildProgram(io: Io, pending: Promise<void>[], exit: (code: number) => void): Command {
  const program = new Command("coracle")
    .description("A strongly consistent key-value store for the edge.")
    .version(versionLine, "-V, --version", "show the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand("help [command...]", "show the help of a command")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => pending.push(io.out(text)),
      writeErr: (text) => pending.push(io.err(text)),
      // One sentence, in the way of all other errors; `report` writes it.
      outputError: () => {},
    });
  addServeCommand(program, io, exit);
  addDevCommand(program, io, exit);
  addPutCommand(program, io);
  addGetCommand(program, io);
  addDelCommand(program, io);
  addListCommand(program, io);
  addTxnCommand(program, io);
  addWatchCommand(program, io);
  addLeaseCommand(program, io);
  addLockCommand(program, io, exit);
  addElectCommand(program, io, exit);
  addCompactCommand(program, io);
  addStatusCommand(program, io);
  addMemberCommand(program, io);
  addLeaderCommand(program, io);
  addLeaveCommand(program, io);
  addVersionCommand(program, io);
  const completion = program.command("completion").description("Print the completion script of a shell.");
  completion.argument("<shell>", "bash, zsh, fish or powershell").addHelpText("after", completionExample);
  program.addHelpText(
    "after",
    `\n${exitCodesHelp}\n\nExamples:\n  coracle dev\n  coracle put greeting hello\n  coracle get greeting`,
  );
  return program;
}

/** The library walks the finished tree of commands, so it replaces our placeholder in it. */
async function addCompletion(program: Command): Promise<void> {
  const { default: tab } = await import("@bomb.sh/tab/commander");
  const own = program.commands.findIndex((command) => command.name() === "completion");
  (program.commands as Command[]).splice(own, 1);
  tab(program, { completionCommandName: "completion" });
  const added = program.commands.find((command) => command.name() === "completion");
  added?.addHelpText("after", completionExample);
}

/** Bytes that are no UTF-8 arrive as U+FFFD: what was meant cannot be known any more. */
function refuseBrokenText(args: readonly string[]): void {
  const broken = args.findIndex((arg) => arg.includes("\uFFFD"));
  if (broken < 0) return;
  throw new CommandFailure(
    exitCodes.usage,
    `Argument ${broken + 1} is not valid UTF-8; give such a value by - (standard input) or @FILE, and such a key with --hex, or percent-encoded over HTTP.`,
  );
}

/**
 * The command that words begin with; refuses one that is not there, also with --help behind it, which
 * would else show the help of the whole.
 */
function commandAt(program: Command, words: readonly string[]): Command {
  let command = program;
  for (const [at, word] of words.entries()) {
    if (command.commands.length === 0 || word.startsWith("-") || word === "help") break;
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) program.parse(words.slice(0, at + 1), { from: "user" });
    command = present(next, "a command whose name was parsed");
  }
  return command;
}

async function report(
  error: unknown,
  io: Io,
  sentenceOf: (wrong: CommanderError) => string,
): Promise<number> {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return exitCodes.ok;
    if (error.code === "commander.help") return exitCodes.usage;
    await io.err(`coracle: ${sentenceOf(error)}\n`);
    return exitCodes.usage;
  }
  await io.err(`coracle: ${messageOf(error)}\n`);
  if (error instanceof CommandFailure) return error.exitCode;
  if (error instanceof CoracleError)
    return error.code === "config_invalid" ? exitCodes.usage : exitCodes.failed;
  // Anything else is a bug: its place in the code is of use.
  if (error instanceof Error && error.stack !== undefined) await io.err(`${error.stack}\n`);
  return exitCodes.failed;
}
