import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { atEnd, runToEnd } from "../../e2e/process.ts";
import { until } from "../../e2e/wait.ts";
import type { System } from "./systems.ts";

/** Debian's etcdctl, set at the members of one system. */
export class Etcdctl {
  readonly system: System;

  constructor(system: System) {
    this.system = system;
  }

  #command(args: readonly string[], endpoints = this.system.grpc): string[] {
    return ["etcdctl", `--endpoints=${endpoints.join(",")}`, ...args];
  }

  /** Runs a command to its end. */
  async run(
    args: readonly string[],
    options: { input?: string; endpoints?: readonly string[]; timeoutMs?: number } = {},
  ): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const result = await runToEnd(this.#command(args, options.endpoints), {
      env: { ETCDCTL_API: "3" },
      ...(options.input === undefined ? {} : { input: options.input }),
      timeoutMs: options.timeoutMs ?? 15_000,
    });
    // Without its log of retries; what it says in the end stands on a line of its own.
    const said = result.stderr.split("\n").filter((line) => !line.startsWith('{"level":"warn"'));
    return { ...result, stderr: said.length > 0 ? said.join("\n") : result.stderr };
  }

  /** What it printed; an exit code other than 0 is a failure. */
  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    assert.equal(code, 0, `etcdctl ${args.join(" ")}: ${stderr.trim() || stdout.trim()}`);
    return stdout;
  }

  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.ok(...args, "-w", "json")) as T;
  }

  /** It must fail, saying this. */
  async refused(reason: RegExp, ...args: string[]): Promise<void> {
    const { code, stdout, stderr } = await this.run(args);
    assert.notEqual(code, 0, `etcdctl ${args.join(" ")} succeeded: ${stdout}`);
    assert.match(stderr, reason, `etcdctl ${args.join(" ")}`);
  }

  /** A command that goes on until it is ended. */
  background(args: readonly string[], endpoints = this.system.grpc): Background {
    return new Background(this.#command(args, endpoints));
  }
}

export class Background {
  output = "";
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #command: readonly string[];

  constructor(command: readonly string[]) {
    this.#command = command;
    const [program = "", ...args] = command;
    const child = spawn(program, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ETCDCTL_API: "3" },
    });
    this.#child = child;
    const release = atEnd(() => child.kill("SIGKILL"));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    this.exited = new Promise((resolve) =>
      child.once("close", (code) => {
        release();
        resolve(code);
      }),
    );
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits until it has printed this. */
  async shows(text: string | RegExp, timeoutMs = 15_000): Promise<void> {
    const found = () => (typeof text === "string" ? this.output.includes(text) : text.test(this.output));
    await until(`"${text}" from ${this.#command.slice(2).join(" ")}`, found, { timeoutMs }).catch(
      (error: unknown) => {
        throw new Error(`${error instanceof Error ? error.message : error}; it printed: ${this.output}`);
      },
    );
  }

  async stop(signal: NodeJS.Signals = "SIGINT"): Promise<number | null> {
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 5_000);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }
}
