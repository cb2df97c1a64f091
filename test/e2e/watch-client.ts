import { connect, type Socket } from "node:net";

/** A client that watches for as long as a script runs, and comes back wherever it is let in. */

export type WatchForm = "sse" | "ndjson";

export interface WatchClientOptions {
  /** `host:port` of members. */
  readonly endpoints: readonly string[];
  /** Which of them to begin with. */
  readonly first: number;
  readonly form: WatchForm;
  readonly prefix: string;
  /** The first revision wanted; absent for what happens from now on. */
  readonly revision?: number;
}

const reconnectMs = 20;
const bookmarkMs = 500;

/** What every client was sent, each message once: they share the numbers of their events. */
class Messages {
  readonly #numbers = new Map<string, number>();
  readonly #parsed = new Map<string, readonly number[]>();

  /** The number of an event, the same for the same event. */
  numberOf(event: string): number {
    let number = this.#numbers.get(event);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(event, number);
    }
    return number;
  }

  eventsOf(document: string): readonly number[] {
    let known = this.#parsed.get(document);
    if (known === undefined) {
      known = parseEvents(document).map((event) => this.numberOf(event));
      this.#parsed.set(document, known);
    }
    return known;
  }
}

export const messages = new Messages();

/** An event as a text: `42 put w/1/7 v7`. */
export function eventText(revision: number, type: string, key: string, value: string): string {
  return `${revision} ${type} ${key} ${value}`;
}

interface EventFields {
  readonly type: string;
  readonly key: string;
  readonly value_base64?: string;
  readonly mod_revision: number;
}

function parseEvents(document: string): string[] {
  const { revision, events } = JSON.parse(document) as { revision: number; events: EventFields[] };
  return events.map(({ type, key, value_base64, mod_revision }) => {
    if (mod_revision !== revision) throw new Error(`an event of revision ${mod_revision} in ${revision}`);
    return eventText(revision, type, key, Buffer.from(value_base64 ?? "", "base64").toString());
  });
}

export class WatchClient {
  readonly options: WatchClientOptions;
  /** Numbers of the events, in the order in which they came. */
  readonly events: number[] = [];
  /** The revision that it was told of last. */
  revision = 0;
  /** Events after this revision are expected; 0 before the first answer. */
  openedRevision = 0;
  connections = 0;
  /** Answers that are no stream, and streams that ended with an error, by what they said. */
  readonly refusals = new Map<string, number>();
  /** Something that no server may do. */
  fault: string | undefined;
  #endpoint: number;
  #socket: Socket | undefined;
  #stopped = false;
  #text = "";
  #isOpen = false;

  constructor(options: WatchClientOptions) {
    this.options = options;
    this.#endpoint = options.first % options.endpoints.length;
    this.#connect();
  }

  get endpoint(): string {
    return this.options.endpoints[this.#endpoint] ?? "";
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  stop(): void {
    this.#stopped = true;
    this.#socket?.destroy();
  }

  /** Does not read for a while. */
  pauseReading(ms: number): void {
    const socket = this.#socket;
    socket?.pause();
    setTimeout(() => socket?.resume(), ms);
  }

  #connect(): void {
    const [host = "", port = ""] = this.endpoint.split(":");
    const socket = connect({ host, port: Number(port), noDelay: true });
    const chunks = new ChunkReader();
    this.#socket = socket;
    this.#text = "";
    socket.on("connect", () => socket.write(this.#request()));
    socket.on("data", (data: Buffer) => {
      if (this.#socket !== socket || this.fault !== undefined) return;
      try {
        for (const text of chunks.read(data)) this.#receive(text);
        if (chunks.status !== 0 && chunks.status !== 200) this.#note(`status ${chunks.status}`);
      } catch (error) {
        this.fault = error instanceof Error ? error.message : String(error);
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#isOpen = false;
      if (this.#stopped) return;
      setTimeout(() => {
        if (this.#stopped) return;
        this.#endpoint = Math.floor(Math.random() * this.options.endpoints.length);
        this.#connect();
      }, reconnectMs);
    });
  }

  #request(): string {
    const { form, prefix, revision } = this.options;
    const lines = form === "ndjson";
    const next = this.revision > 0 ? this.revision + 1 : revision;
    // SSE resumes as a browser does: the same URL, and how far it had come.
    const url = `/v1/watch?prefix=${encodeURIComponent(prefix)}&bookmark_ms=${bookmarkMs}`;
    const from = lines ? next : revision;
    const resume = !lines && this.revision > 0 ? `Last-Event-ID: ${this.revision}\r\n` : "";
    const accept = lines ? "application/x-ndjson" : "text/event-stream";
    const path = from === undefined ? url : `${url}&revision=${from}`;
    return `GET ${path} HTTP/1.1\r\nHost: ${this.endpoint}\r\nAccept: ${accept}\r\n${resume}\r\n`;
  }

  #receive(text: string): void {
    this.#text += text;
    const end = this.options.form === "ndjson" ? "\n" : "\n\n";
    for (;;) {
      const at = this.#text.indexOf(end);
      if (at < 0) return;
      const message = this.#text.slice(0, at);
      this.#text = this.#text.slice(at + end.length);
      if (this.options.form === "ndjson") this.#line(message);
      else this.#block(message);
    }
  }

  #line(line: string): void {
    const type = /^\{"type":"(\w+)"/.exec(line)?.[1] ?? "";
    this.#message(type, line);
  }

  #block(block: string): void {
    const fields = new Map(
      block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
    );
    const data = fields.get("data");
    if (data === undefined) return;
    const type = fields.get("event") ?? "events";
    this.#message(type, data);
    const id = fields.get("id");
    if (id !== undefined && type !== "created" && Number(id) !== this.revision) {
      throw new Error(`the message of revision ${this.revision} has the id ${id}`);
    }
  }

  #message(type: string, document: string): void {
    if (type === "error") {
      this.#note(`error ${(JSON.parse(document) as { code: string }).code}`);
      return;
    }
    const revision = Number(/"revision":(\d+)/.exec(document)?.[1]);
    if (type === "created") {
      this.connections++;
      this.#isOpen = true;
      if (this.openedRevision === 0) this.openedRevision = revision;
      if (this.revision > 0 && revision > this.revision) {
        throw new Error(`resumed after ${this.revision}, but opened at ${revision}`);
      }
      this.revision = Math.max(this.revision, revision);
      return;
    }
    if (type === "bookmark" ? revision < this.revision : revision <= this.revision) {
      throw new Error(`${type} of revision ${revision} after ${this.revision}`);
    }
    if (type !== "bookmark") this.events.push(...messages.eventsOf(document));
    this.revision = revision;
  }

  #note(what: string): void {
    this.refusals.set(what, (this.refusals.get(what) ?? 0) + 1);
  }
}

/** Takes the chunks out of one answer (RFC 9112 §7.1). */
class ChunkReader {
  /** 0 until the head has arrived. */
  status = 0;
  #bytes: Buffer = Buffer.alloc(0);

  read(data: Buffer): string[] {
    this.#bytes = this.#bytes.length === 0 ? data : Buffer.concat([this.#bytes, data]);
    if (this.status === 0) {
      const end = this.#bytes.indexOf("\r\n\r\n");
      if (end < 0) return [];
      this.status = Number(this.#bytes.toString("latin1", 9, 12));
      this.#bytes = this.#bytes.subarray(end + 4);
    }
    if (this.status !== 200) return [];
    const texts: string[] = [];
    for (;;) {
      const lineEnd = this.#bytes.indexOf("\r\n");
      if (lineEnd < 0) return texts;
      const size = Number.parseInt(this.#bytes.toString("latin1", 0, lineEnd), 16);
      if (Number.isNaN(size)) throw new Error("a chunk without a size");
      const next = lineEnd + 2 + size + 2;
      if (this.#bytes.length < next) return texts;
      // All that this script writes is ASCII, so no character is cut in two.
      if (size > 0) texts.push(this.#bytes.toString("latin1", lineEnd + 2, next - 2));
      this.#bytes = this.#bytes.subarray(next);
    }
  }
}
