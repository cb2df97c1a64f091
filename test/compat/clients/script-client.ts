import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { atEnd, runToEnd } from "../../e2e/process.ts";
import { type Client, type Outcome, ok } from "./checks.ts";
import type { System } from "./systems.ts";

export interface ScriptClientOptions {
  readonly name: string;
  /** The program that runs the script. */
  readonly program: () => Promise<string>;
  /** Beside this file. */
  readonly script: string;
  readonly endpoints: (system: System) => readonly string[];
  /** Ends with 0 when what the script needs is installed. */
  readonly probe: readonly string[];
  readonly hint: string;
  readonly timeoutMs: number;
}

/**
 * A client library in its own language. Its script tells each check by a line of JSON, and may ask for
 * something to be done to the cluster: `{"check":"put","ok":true}`, `{"ask":"kill-leader"}`. What was
 * asked for is done when a line comes back.
 */
export function scriptClient(options: ScriptClientOptions): Client {
  return {
    name: options.name,
    missing: async () => {
      const program = await options.program();
      if (program === "") return `nothing to run it with: ${options.hint}`;
      const { code } = await runToEnd([program, ...options.probe], { cwd: import.meta.dirname });
      return code === 0 ? undefined : options.hint;
    },
    run: (system, tell) => runScript(options, system, tell),
  };
}

interface Line {
  readonly check?: string;
  readonly ok?: boolean;
  readonly error?: string;
  readonly skip?: string;
  readonly ask?: "kill-leader" | "restart";
}

async function runScript(
  options: ScriptClientOptions,
  system: System,
  tell: (check: string, outcome: Outcome) => void,
): Promise<void> {
  const child = spawn(
    await options.program(),
    [join(import.meta.dirname, options.script), ...options.endpoints(system)],
    { stdio: ["pipe", "pipe", "pipe"], cwd: import.meta.dirname },
  );
  const release = atEnd(() => child.kill("SIGKILL"));
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs);
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-2000);
  });
  child.stdin.on("error", () => {});
  const ended = new Promise<string>((resolve) =>
    child.once("close", (code, signal) =>
      resolve(code === 0 ? "" : `ended with ${code ?? signal}: ${stderr}`),
    ),
  );
  for await (const text of createInterface({ input: child.stdout })) {
    if (!text.startsWith("{")) continue;
    const line = JSON.parse(text) as Line;
    if (line.ask !== undefined) {
      await (line.ask === "kill-leader" ? system.killLeader() : system.restart());
      child.stdin.write("done\n");
    } else if (line.check !== undefined) tell(line.check, outcomeOf(line));
  }
  const failure = await ended;
  clearTimeout(timer);
  release();
  if (failure !== "") tell("(the script)", { kind: "failed", reason: failure });
}

function outcomeOf(line: Line): Outcome {
  if (line.skip !== undefined) return { kind: "skipped", reason: line.skip };
  return line.ok === true ? ok : { kind: "failed", reason: line.error ?? "no reason told" };
}

/** The first of these that is there. */
export function programAmong(...paths: readonly string[]): () => Promise<string> {
  return async () => paths.find((path) => existsSync(path)) ?? "";
}
