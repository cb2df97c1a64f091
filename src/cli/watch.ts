import { type Command, Option } from "commander";
import * as v from "valibot";
import { encodePercent } from "../api/percent.ts";
import * as options from "./client-options.ts";
import { CommandFailure, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { printJson } from "./output.ts";
import { followStream, type StreamLine } from "./stream.ts";
import { jsonBytes, preview, readKey, textOf } from "./values.ts";

interface WatchFlags extends options.ClientFlags {
  readonly prefix?: boolean;
  readonly all?: boolean;
  readonly start?: string;
  readonly end?: string;
  readonly revision?: number;
  readonly prev?: boolean;
  readonly only?: "put" | "delete";
  readonly count?: number;
  readonly exec?: string;
  readonly hex?: boolean;
}

/** A member that has nothing to tell says so this often; three times as long is silence. */
const bookmarkMs = 5000;

const base64 = v.pipe(
  v.string(),
  v.transform((text) => Uint8Array.fromBase64(text)),
);
const storedFields = {
  key_base64: base64,
  value_base64: v.optional(base64),
  create_revision: v.optional(v.number()),
  mod_revision: v.number(),
  version: v.optional(v.number()),
  lease: v.optional(v.union([v.number(), v.string()])),
};
const eventSchema = v.object({
  ...storedFields,
  type: v.picklist(["put", "delete"]),
  previous: v.optional(v.object(storedFields)),
});
type WatchEvent = v.InferOutput<typeof eventSchema>;
type Stored = Omit<WatchEvent, "type" | "previous">;
const eventsSchema = v.object({ revision: v.number(), events: v.array(eventSchema) });
const positionSchema = v.object({ revision: v.number() });

export function addWatchCommand(program: Command, io: Io): void {
  const command = program
    .command("watch")
    .description("Print what happens to a key, or to many, as it happens.")
    .argument("[key]", "a key; with --prefix, what the keys begin with; not with --start, --end or --all")
    .option("--prefix", "every key that begins with it")
    .option("--start <key>", "from this key on")
    .option("--end <key>", "up to, but without, this key")
    .option("--all", "every key of the store")
    .option("--revision <revision>", "from this revision on (default: from now on)", options.wholeNumber(1))
    .option("--prev", "show the key as it was before, too")
    .addOption(new Option("--only <kind>", "leave the other kind out").choices(["put", "delete"]))
    .option("--count <events>", "end after so many", options.wholeNumber(1))
    .option("--exec <command>", "run this by sh -c for each event, one after the other, instead of printing")
    .option("--hex", "keys are given in hexadecimal");
  options.addOutputOption(command, "a line an event (json: one object a line)");
  options.addClientOptions(command).addHelpText(
    "after",
    `
When the connection breaks off, the watch goes on at the next endpoint behind the last revision seen: no event
is lost or told twice. A command run by --exec has the new value on stdin, and in its environment
CORACLE_WATCH_TYPE (put or delete), CORACLE_WATCH_KEY (CORACLE_WATCH_KEY_BASE64 for any bytes),
CORACLE_WATCH_VALUE (when it is text without NUL, of at most 64 KiB), CORACLE_WATCH_REVISION and
CORACLE_WATCH_VERSION. A command that fails is told on stderr, and the watch goes on.

Examples:
  coracle watch config/site.json
  coracle watch config/ --prefix --revision 100 -o json
  coracle watch config/ --prefix --exec 'systemctl reload site'`,
  );
  command.action(async (key: string | undefined, flags: WatchFlags) => {
    const selection = selectionOf(key, flags);
    const client = options.clientOf(flags, io);
    const watch = new Watching(io, flags);
    await followStream(io, client, {
      path: () => options.withQuery("/v1/watch", [...selection, ...watch.query()]),
      idleMsMax: 3 * bookmarkMs,
      onLine: (line) => watch.onLine(line),
    });
  });
}

function selectionOf(key: string | undefined, flags: WatchFlags): string[] {
  const wrong = (sentence: string) => new CommandFailure(exitCodes.usage, sentence);
  const ranged = flags.start !== undefined || flags.end !== undefined;
  if (flags.output !== undefined && flags.exec !== undefined) {
    throw wrong("--exec runs a command instead of printing: leave it or -o out.");
  }
  const ways = [key !== undefined, ranged, flags.all === true].filter((given) => given).length;
  if (ways !== 1)
    throw wrong("Say what to watch by a key, by --start and --end, or by --all; by one of them.");
  if (flags.prefix === true && key === undefined) throw wrong("--prefix goes with a key; give one.");
  const parameter = (name: string, text: string) =>
    `${name}=${encodePercent(readKey(text, flags.hex === true))}`;
  if (key !== undefined) {
    if (key === "") throw wrong("The key is empty; give one, or --all for every key.");
    return [parameter(flags.prefix === true ? "prefix" : "key", key)];
  }
  return [
    ...(flags.start === undefined ? [] : [parameter("start", flags.start)]),
    ...(flags.end === undefined ? [] : [parameter("end", flags.end)]),
  ];
}

/** How far a watch has come, and what it does with events. */
class Watching {
  readonly #io: Io;
  readonly #flags: WatchFlags;
  /** The first revision that was not seen yet; 0: from now on. */
  #next: number;
  #left: number;

  constructor(io: Io, flags: WatchFlags) {
    this.#io = io;
    this.#flags = flags;
    this.#next = flags.revision ?? 0;
    this.#left = flags.count ?? Number.POSITIVE_INFINITY;
  }

  query(): string[] {
    const { prev, only } = this.#flags;
    return [
      `bookmark_ms=${bookmarkMs}`,
      ...(this.#next === 0 ? [] : [`revision=${this.#next}`]),
      ...(prev === true ? ["prev=true"] : []),
      ...(only === undefined ? [] : [`only=${only}`]),
    ];
  }

  async onLine(line: StreamLine): Promise<"go-on" | "end"> {
    if (line.type === "events") {
      for (const event of v.parse(eventsSchema, line).events) {
        await this.#tell(event);
        if (--this.#left === 0) return "end";
      }
    }
    const position = v.safeParse(positionSchema, line);
    if (position.success) this.#next = Math.max(this.#next, position.output.revision + 1);
    return "go-on";
  }

  async #tell(event: WatchEvent): Promise<void> {
    const { exec, output } = this.#flags;
    if (exec !== undefined) await this.#run(exec, event);
    else if (output === "json") await printJson(this.#io, eventJson(event));
    else await this.#io.out(eventLine(event));
  }

  async #run(shellCommand: string, event: WatchEvent): Promise<void> {
    const child = this.#io.run({
      program: "sh",
      args: ["-c", shellCommand],
      environment: environmentOf(event),
      input: event.value_base64 ?? new Uint8Array(0),
    });
    const { code, error } = await child.exited;
    if (code === 0) return;
    const why = error ?? `it ended with code ${code}`;
    await this.#io.err(`coracle: the command failed at revision ${event.mod_revision}: ${why}.\n`);
  }
}

/** Longer values do not fit an environment; they come on stdin in any case. */
const environmentValueBytesMax = 64 * 1024;

function environmentOf(event: WatchEvent): Record<string, string> {
  const value = event.value_base64;
  const text = value !== undefined && value.length <= environmentValueBytesMax ? textOf(value) : undefined;
  const key = textOf(event.key_base64);
  return {
    CORACLE_WATCH_TYPE: event.type,
    CORACLE_WATCH_KEY: key === undefined || key.includes("\0") ? "" : key,
    CORACLE_WATCH_KEY_BASE64: event.key_base64.toBase64(),
    CORACLE_WATCH_VALUE: text === undefined || text.includes("\0") ? "" : text,
    CORACLE_WATCH_REVISION: String(event.mod_revision),
    CORACLE_WATCH_VERSION: String(event.version ?? 0),
  };
}

function storedJson(stored: Stored): Record<string, unknown> {
  const { key_base64: key, value_base64: value, ...numbers } = stored;
  return { ...jsonBytes("key", key), ...(value === undefined ? {} : jsonBytes("value", value)), ...numbers };
}

function eventJson({ type, previous, ...stored }: WatchEvent): Record<string, unknown> {
  return {
    type,
    ...storedJson(stored),
    ...(previous === undefined ? {} : { previous: storedJson(previous) }),
  };
}

function eventLine({
  type,
  key_base64: key,
  value_base64: value,
  mod_revision,
  previous,
}: WatchEvent): string {
  const shown = value === undefined ? "" : `  ${preview(value)}`;
  const was = previous?.value_base64 === undefined ? "" : `  (was ${preview(previous.value_base64)})`;
  return `${mod_revision}  ${type.padEnd(6)}  ${preview(key, 200)}${shown}${was}\n`;
}
