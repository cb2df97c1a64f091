import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { Client } from "./client.ts";
import { Cluster, type Member } from "./cluster.ts";
import { freePorts } from "./ports.ts";
import { type Report, runScript } from "./report.ts";
import { pause, until } from "./wait.ts";

/**
 * Lists a million keys in one answer: all of them, at one revision although others are written
 * meanwhile, in flat memory, no faster than the client reads, and with an end that tells a whole listing
 * from one that was cut.
 */

const mebibyte = 1024 * 1024;
const growthMax = 64 * mebibyte;
const valueBytes = 256;
const keysPerTxn = 128;
const fillers = 8;

function rssOf(member: Member): number {
  const status = readFileSync(`/proc/${member.process.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

async function fill(member: Member, count: number): Promise<void> {
  const value = Buffer.alloc(valueBytes, "v").toString("base64");
  let next = 0;
  const run = async (): Promise<void> => {
    const client = new Client([member.endpoint]);
    while (next < count) {
      const from = next;
      next = Math.min(count, from + keysPerTxn);
      const success = Array.from({ length: next - from }, (_, i) => {
        return { type: "put", key: `key/${String(from + i).padStart(9, "0")}`, value_base64: value };
      });
      const body = Buffer.from(JSON.stringify({ success }));
      const headers = { "Content-Type": "application/json" };
      const ended = await client.write({ method: "POST", path: "/v1/txn", headers, body }, 60_000);
      if (ended.outcome !== "acknowledged") throw new Error(`filling: ${ended.reason}`);
    }
    client.close();
  };
  await Promise.all(Array.from({ length: fillers }, run));
}

/** One listing on a socket of its own, whose bytes are counted and not kept. */
class Listing {
  lines = 0;
  bytes = 0;
  last = "";
  closed = false;
  readonly #socket: Socket;

  constructor(member: Member, query: string) {
    const [host = "", port = ""] = member.endpoint.split(":");
    this.#socket = connect({ host, port: Number(port) });
    this.#socket.write(
      `GET /v1/kv?${query} HTTP/1.1\r\nHost: ${member.endpoint}\r\nAccept: application/x-ndjson\r\nConnection: close\r\n\r\n`,
    );
    this.#socket.on("data", (data: Buffer) => this.#receive(data));
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.closed = true;
    });
  }

  pause(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }

  /** The last line, when it says that nothing is missing. */
  get end(): { readonly revision: number; readonly keys: number } | undefined {
    const line = /\{"type":"end".*\}\n/.exec(this.last)?.[0];
    return line === undefined ? undefined : JSON.parse(line);
  }

  #receive(data: Buffer): void {
    this.bytes += data.length;
    for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) {
      // The lines of keys end in a brace; those of chunks and of the head in a return.
      if (data[at - 1] === 125) this.lines++;
    }
    this.last = (this.last + data.toString("latin1", Math.max(0, data.length - 300))).slice(-300);
  }
}

/** Watches the memory of a member until `done`. */
async function mostMemory(member: Member, done: () => boolean): Promise<number> {
  let most = 0;
  while (!done()) {
    most = Math.max(most, rssOf(member));
    await pause(20);
  }
  return most;
}

const mib = (bytes: number): string => `${(bytes / mebibyte).toFixed(0)} MiB`;

async function listAll(member: Member, report: Report, count: number): Promise<void> {
  const warm = new Listing(member, "prefix=key/&limit=10000");
  await until("a short listing", () => warm.closed);
  const before = rssOf(member);
  const startedMs = performance.now();
  const listing = new Listing(member, "prefix=key/");
  const writer = new Client([member.endpoint]);
  let writes = 0;
  const writing = (async () => {
    while (!listing.closed) {
      await writer.put(`key/${String((writes * 1000) % count).padStart(9, "0")}`, Buffer.from("changed"));
      writes++;
      await pause(5);
    }
  })();
  const most = await mostMemory(member, () => listing.closed);
  await writing;
  writer.close();
  const seconds = (performance.now() - startedMs) / 1000;
  const { end } = listing;
  report.equal(end?.keys, count, `the listing has its end, and says ${count} keys`);
  // One line more, for the end.
  report.equal(listing.lines, count + 1, "it has a line for each");
  report.check(
    listing.bytes > count * valueBytes * 1.3,
    "every value is the old one",
    `${listing.bytes} bytes`,
  );
  const rate = `${seconds.toFixed(1)} s, ${(count / seconds).toFixed(0)} keys/s, ${writes} writes meanwhile`;
  report.note(rate);
  const grown = most - before;
  report.check(grown < growthMax, "memory stays flat", `${mib(before)} before, ${mib(most)} at most`);
  console.log(`listed ${count} keys, memory grew by ${mib(grown)}`);
}

/** A client that stops reading stops the listing, and gets the rest later. */
async function slowClient(member: Member, report: Report, count: number): Promise<void> {
  const before = rssOf(member);
  const listing = new Listing(member, "prefix=key/");
  await until("its first bytes", () => listing.bytes > 0);
  listing.pause();
  const stoppedMs = performance.now();
  const most = await mostMemory(member, () => performance.now() - stoppedMs > 3_000);
  report.check(most - before < growthMax, "a client that does not read costs nothing", mib(most - before));
  listing.resume();
  await until("the rest", () => listing.closed, { timeoutMs: 120_000 });
  report.equal(listing.end?.keys, count, "and gets the rest when it reads on");
}

async function cutListing(member: Member, report: Report): Promise<void> {
  const listing = new Listing(member, "prefix=key/");
  await until("its first bytes", () => listing.bytes > 0);
  listing.pause();
  await member.kill();
  listing.resume();
  await until("its end", () => listing.closed);
  report.equal(listing.end, undefined, "a listing that was cut has no end");
}

await runScript(async (report) => {
  const { values } = parseArgs({
    options: { short: { type: "boolean", default: false }, keys: { type: "string" } },
  });
  const count = Number(values.keys ?? (values.short ? 100_000 : 1_000_000));
  const cluster = new Cluster({ label: "listing" });
  report.onFailure(() => cluster.showLogs());
  const [clientPort = 0, peerPort = 0] = await freePorts(2);
  const member = cluster.add("lone", clientPort, peerPort, []);
  member.start();
  await member.ready();
  await fill(member, count);
  report.note(`${count} keys of ${valueBytes} bytes are there`);
  // A process that has just begun: what filling it took hides nothing.
  await member.terminate();
  member.start();
  await member.ready();
  await listAll(member, report, count);
  await slowClient(member, report, count);
  await cutListing(member, report);
  await cluster.stop();
});
