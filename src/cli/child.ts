import { spawn } from "node:child_process";
import { constants } from "node:os";

/** A program to run beside this one, with its terminal. */
export interface ChildCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Added to this process's environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** What it reads from stdin; without, this process's own. */
  readonly input?: Uint8Array;
}

export interface Child {
  /** Resolves with its exit code; as in a shell 128 and the signal's number, 126 or 127 when it cannot be run. */
  readonly exited: Promise<{ readonly code: number; readonly error?: string }>;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

export function runChild({ program, args, environment, input }: ChildCommand): Child {
  const child = spawn(program, [...args], {
    env: { ...process.env, ...environment },
    stdio: [input === undefined ? "inherit" : "pipe", "inherit", "inherit"],
  });
  const { promise: exited, resolve } = Promise.withResolvers<{ code: number; error?: string }>();
  child.on("error", (error: NodeJS.ErrnoException) => {
    resolve({ code: error.code === "ENOENT" ? 127 : 126, error: error.message });
  });
  child.on("exit", (code, signal) => {
    resolve({ code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]) });
  });
  // A program that does not read its input is no failure.
  child.stdin?.on("error", () => {});
  if (input !== undefined) child.stdin?.end(input);
  return { exited, kill: (signal) => void child.kill(signal) };
}
