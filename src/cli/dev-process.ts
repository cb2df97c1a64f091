import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { buildInfo } from "../base/build-info.ts";
import { onBun } from "../runtime/which.ts";
import type { DevMember } from "./dev-folder.ts";
import { stopWithStdinVariable } from "./serve-command.ts";

/** How to start this program again: the executable, or the runtime with the source. */
function ownCommand(): readonly string[] {
  if (buildInfo.compiled) return [process.execPath];
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  return onBun ? [process.execPath, main] : [process.execPath, "run", "-A", main];
}

export interface MemberProcessOptions {
  readonly member: DevMember;
  readonly all: readonly DevMember[];
  readonly logLevel: string;
  readonly colours: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly onLine: (line: string) => void;
}

/** A member as a child process. */
export class MemberProcess {
  readonly member: DevMember;
  /** Resolves with the way it ended, in words. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  #running = true;

  constructor(options: MemberProcessOptions) {
    this.member = options.member;
    const [program = "", ...first] = ownCommand();
    this.#child = spawn(program, [...first, ...serveArguments(options)], {
      // A process group of its own: Ctrl-C reaches this process alone, which then stops the members.
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
      env: childEnvironment(options),
    });
    this.#child.stdin?.on("error", () => {});
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) forwardLines(stream, options.onLine);
    }
    this.ended = new Promise((resolve) => {
      const end = (how: string): void => {
        this.#running = false;
        resolve(how);
      };
      this.#child.once("error", (error) => end(`could not be started: ${error.message}`));
      this.#child.once("close", (code, signal) =>
        end(signal === null ? `ended with exit code ${code}` : `ended by ${signal}`),
      );
    });
  }

  get running(): boolean {
    return this.#running;
  }

  signal(name: "SIGTERM" | "SIGKILL"): void {
    if (this.#running) this.#child.kill(name);
  }
}

function serveArguments({ member, all, logLevel }: MemberProcessOptions): string[] {
  const initial = all.map(({ name, peerPort }) => `${name}=127.0.0.1:${peerPort}`).join(",");
  return [
    ...["serve", "--name", member.name, "--data-dir", member.folder],
    ...["--listen-client", `127.0.0.1:${member.clientPort}`, "--listen-peer", `127.0.0.1:${member.peerPort}`],
    ...["--listen-grpc", `127.0.0.1:${member.grpcPort}`],
    ...["--initial-cluster", initial, "--log-format", "pretty", "--log-level", logLevel],
  ];
}

/** Without the user's own `CORACLE_*`, which are meant for one member and would reach all. */
function childEnvironment({
  environment,
  colours,
}: MemberProcessOptions): Record<string, string | undefined> {
  const kept = Object.entries(environment).filter(([name]) => !name.startsWith("CORACLE_"));
  return { ...Object.fromEntries(kept), [stopWithStdinVariable]: "1", FORCE_COLOR: colours ? "1" : "0" };
}

function forwardLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
}
