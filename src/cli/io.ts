import { readFileSync } from "node:fs";
import type { Writable } from "node:stream";
import { type Child, type ChildCommand, runChild } from "./child.ts";

/** What a command sees of the process around it. Tests give their own. */
export interface Io {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Resolves when the bytes are with the reader, so that an exit afterwards cuts nothing off. */
  out(data: Uint8Array | string): Promise<void>;
  err(text: string): Promise<void>;
  /** All of stdin. */
  readInput(): Promise<Uint8Array>;
  /** @throws the system's error. */
  readFile(path: string): Uint8Array;
  readonly inputIsTerminal: boolean;
  readonly outputIsTerminal: boolean;
  /**
   * Aborts at SIGINT or SIGTERM, the reason is its name; from this call on they do not end the process
   * by themselves.
   */
  interrupted(): AbortSignal;
  run(command: ChildCommand): Child;
}

function write(stream: Writable, data: Uint8Array | string): Promise<void> {
  if (data.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    stream.write(data, (error) => {
      // A reader that has seen enough (`coracle list | head`) is no failure.
      if (error && (error as NodeJS.ErrnoException).code !== "EPIPE") reject(error);
      else resolve();
    });
  });
}

let interruption: AbortController | undefined;

function onInterruption(): AbortSignal {
  if (interruption === undefined) {
    const first = new AbortController();
    interruption = first;
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => first.abort(signal));
  }
  return interruption.signal;
}

/** The terminal or pipes of this process. */
export function processIo(): Io {
  // Without a listener a closed pipe would end the process with a stack trace.
  process.stdout.on("error", () => {});
  process.stderr.on("error", () => {});
  return {
    environment: process.env,
    out: (data) => write(process.stdout, data),
    err: (text) => write(process.stderr, text),
    readInput: async () => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of process.stdin) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
    readFile: (path) => readFileSync(path),
    inputIsTerminal: process.stdin.isTTY === true,
    outputIsTerminal: process.stdout.isTTY === true,
    interrupted: onInterruption,
    run: runChild,
  };
}
