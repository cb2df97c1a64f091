import { writeSync } from "node:fs";
import {
  configureSync,
  getJsonLinesFormatter,
  type LogRecord,
  resetSync,
  type TextFormatter,
} from "@logtape/logtape";
import { getPrettyFormatter } from "@logtape/pretty";
import { withoutControls } from "../base/controls.ts";
import type { LogLevels } from "../config/values.ts";

export interface LoggingOptions {
  readonly levels: LogLevels;
  readonly format: "auto" | "json" | "pretty";
  /** A file descriptor; stderr by default. */
  readonly descriptor?: number;
}

const stderrDescriptor = 2;
const retryMs = 20;
/** What waits for a reader that is slow; beyond it lines are dropped and counted. */
const waitingBytesMax = 4 * 1024 * 1024;

/**
 * Writes lines at once, so that the last ones before an exit are never lost. Only when the reader
 * of the pipe is behind do lines wait in memory, up to a limit: a log must not stop a member.
 */
class LineWriter {
  readonly #descriptor: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#waitingBytes + bytes.length > waitingBytesMax) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#timer === undefined) this.#drain();
  }

  /** Writes what waits, for at most this long. */
  finish(withinMs: number): void {
    clearTimeout(this.#timer);
    const deadlineMs = performance.now() + withinMs;
    while (!this.#writeWaiting() && performance.now() < deadlineMs) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }

  #drain(): void {
    this.#timer = undefined;
    if (this.#writeWaiting()) return;
    this.#timer = setTimeout(() => this.#drain(), retryMs);
    this.#timer.unref();
  }

  /** False when the reader takes no more now. */
  #writeWaiting(): boolean {
    while (true) {
      const first = this.#waiting[0];
      if (first === undefined) {
        if (this.#dropped === 0) return true;
        const note = `{"level":"WARN","message":"${this.#dropped} log lines were dropped: their reader was too slow."}\n`;
        this.#dropped = 0;
        this.#waiting.push(Buffer.from(note));
        this.#waitingBytes += note.length;
        continue;
      }
      const written = this.#tryWrite(first);
      if (written === undefined) return false;
      this.#waitingBytes -= written;
      if (written === first.length) this.#waiting.shift();
      else this.#waiting[0] = first.subarray(written);
    }
  }

  /** The number of bytes taken; `undefined` for "not now". A reader that is gone takes everything. */
  #tryWrite(bytes: Buffer): number | undefined {
    try {
      return writeSync(this.#descriptor, bytes);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "EAGAIN" ? undefined : bytes.length;
    }
  }
}

let writer: LineWriter | undefined;
const finishAtExit = (): void => writer?.finish(1000);

/** Sends the log of this process to stderr. Call once, before anything is logged. */
export function startLogging({ levels, format, descriptor = stderrDescriptor }: LoggingOptions): void {
  const lines = new LineWriter(descriptor);
  writer = lines;
  process.on("exit", finishAtExit);
  const terminal = descriptor === stderrDescriptor && process.stderr.isTTY === true;
  const colours = terminal || process.env.FORCE_COLOR === "1";
  const pretty = format === "pretty" || (format === "auto" && terminal);
  const formatter = pretty ? prettyFormatter(colours) : jsonFormatter();
  const sink = (record: LogRecord): void =>
    lines.write(formatter({ ...record, message: [sentenceOf(record)] }));
  configureSync({
    reset: true,
    sinks: { stderr: sink },
    loggers: [
      { category: ["coracle"], lowestLevel: levels.base, sinks: ["stderr"] },
      // A room with a level of its own may log more than its parent lets through.
      ...Object.entries(levels.rooms).map(([room, lowestLevel]) => ({
        category: ["coracle", room],
        lowestLevel,
        parentSinks: "override" as const,
        sinks: ["stderr"],
      })),
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stderr"] },
    ],
  });
}

/** Ends logging after its last line is written. */
export function stopLogging(): void {
  finishAtExit();
  process.off("exit", finishAtExit);
  writer = undefined;
  resetSync();
}

/** The message with its values as people write them: names without quotes, nothing that steers a terminal. */
function sentenceOf(record: LogRecord): string {
  const parts = record.message.map((part) => {
    if (typeof part === "string") return part;
    if (part instanceof Error) return part.message;
    return typeof part === "object" && part !== null ? JSON.stringify(part) : String(part);
  });
  return withoutControls(parts.join(""));
}

function jsonFormatter(): TextFormatter {
  return getJsonLinesFormatter({ categorySeparator: ".", message: "rendered", properties: "nest:fields" });
}

function prettyFormatter(colors: boolean): TextFormatter {
  return getPrettyFormatter({
    colors,
    icons: false,
    timestamp: "time",
    wordWrap: false,
    categorySeparator: ".",
    categoryWidth: 18,
    levelStyle: null,
    messageColor: null,
    messageStyle: null,
    properties: false,
  });
}
