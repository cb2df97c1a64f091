import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

/** Processes started here and not yet ended: whatever happens, they end with this script. */
const alive = new Set<ManagedProcess>();
const cleanups = new Set<() => void>();

export interface ProcessOptions {
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** Where stdout and stderr go, appended. */
  readonly logPath: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A child process of this script whose output is kept in a file. */
export class ManagedProcess {
  readonly logPath: string;
  readonly command: readonly string[];
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #exit: Exit | undefined;

  constructor(options: ProcessOptions) {
    this.command = options.command;
    this.logPath = options.logPath;
    mkdirSync(dirname(options.logPath), { recursive: true });
    const log = openSync(options.logPath, "a");
    const [program = "", ...args] = options.command;
    this.#child = spawn(program, args, {
      stdio: ["ignore", log, log],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
    });
    closeSync(log);
    alive.add(this);
    this.exited = new Promise((resolve) => {
      const end = (exit: Exit): void => {
        this.#exit = exit;
        alive.delete(this);
        resolve(exit);
      };
      this.#child.once("exit", (code, signal) => end({ code, signal }));
      this.#child.once("error", () => end({ code: 127, signal: null }));
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** How it ended, or `undefined` while it runs. */
  get exit(): Exit | undefined {
    return this.#exit;
  }

  signal(name: NodeJS.Signals): void {
    if (this.running) this.#child.kill(name);
  }

  /** Sends the signal and waits for the end; kill -9 follows when it takes longer than `withinMs`. */
  async stop(name: NodeJS.Signals = "SIGKILL", withinMs = 15_000): Promise<Exit> {
    this.signal(name);
    const timer = setTimeout(() => {
      this.signal("SIGCONT");
      this.signal("SIGKILL");
    }, withinMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }

  /** The last lines of its output. */
  tail(lines = 40): string {
    try {
      return readFileSync(this.logPath, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
    } catch {
      return "(no output)";
    }
  }
}

/** Runs a program to its end and gives what it printed. For short commands. */
export async function runToEnd(
  command: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
    readonly input?: string;
    readonly timeoutMs?: number;
  } = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "pipe"],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  const stop = (): void => {
    child.kill("SIGKILL");
  };
  cleanups.add(stop);
  const timer = setTimeout(stop, options.timeoutMs ?? 60_000);
  try {
    return await new Promise((resolve) => {
      child.once("error", (error) => resolve({ code: 127, stdout, stderr: stderr + error.message }));
      child.once("close", (code) => resolve({ code, stdout, stderr }));
    });
  } finally {
    clearTimeout(timer);
    cleanups.delete(stop);
  }
}

/** Registers what must happen when this script ends, however it ends. Synchronous. Gives a way to call it off. */
export function atEnd(action: () => void): () => void {
  cleanups.add(action);
  return () => cleanups.delete(action);
}

function endAll(): void {
  for (const child of alive) {
    child.signal("SIGCONT");
    child.signal("SIGKILL");
  }
  for (const action of cleanups) {
    try {
      action();
    } catch {
      // The others still have to run.
    }
  }
  cleanups.clear();
}

process.once("exit", endAll);
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(name, () => {
    endAll();
    process.exit(130);
  });
}
