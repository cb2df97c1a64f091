import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Client } from "./client.ts";
import { Cluster, type Member } from "./cluster.ts";
import { type Report, runScript } from "./report.ts";
import { until } from "./wait.ts";

/**
 * Many watchers on one member: every watch is told every put of its range, in order. Watches come in
 * hundreds a stream, as clients of etcd open them, through the gateway.
 */

const watchesAStream = 100;

function options() {
  const { values } = parseArgs({
    options: { watchers: { type: "string", default: "10000" }, puts: { type: "string", default: "20" } },
  });
  return { watchers: Number(values.watchers), puts: Number(values.puts) };
}

interface Told {
  readonly result: {
    readonly watch_id?: string;
    readonly created?: boolean;
    readonly events?: readonly { readonly kv: { readonly mod_revision: string } }[];
  };
}

/** One stream of the gateway with a hundred watches on everything below `w/`. */
class Stream {
  readonly #ending = new AbortController();
  /** The revisions that each watch was told, by its id. */
  readonly told = new Map<string, number[]>();
  failure: unknown;

  constructor(member: Member) {
    const create = { create_request: { key: btoa("w/"), range_end: btoa("w0") } };
    const body = Array.from({ length: watchesAStream }, () => JSON.stringify(create)).join("\n");
    this.#read(`http://${member.endpoint}/v3/watch`, body).catch((error: unknown) => {
      if (!this.#ending.signal.aborted) this.failure = error;
    });
  }

  async #read(url: string, body: string): Promise<void> {
    const response = await fetch(url, { method: "POST", body, signal: this.#ending.signal });
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of response.body ?? []) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line !== "") this.#take(JSON.parse(line) as Told);
    }
    throw new Error("the stream ended");
  }

  #take({ result }: Told): void {
    const { watch_id: id = "0", created, events = [] } = result;
    if (created === true) this.told.set(id, []);
    for (const { kv } of events) this.told.get(id)?.push(Number(kv.mod_revision));
  }

  close(): void {
    this.#ending.abort();
  }
}

function residentMib(member: Member): number {
  const status = readFileSync(`/proc/${member.process.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

async function check(report: Report, watchers: number, puts: number): Promise<void> {
  const cluster = await Cluster.start({ label: "many-watchers" });
  report.onFailure(() => cluster.showLogs());
  const leader = await cluster.leader();
  // A follower: to be told of a write it needs no more than the log.
  const member = cluster.members.find((one) => one !== leader) ?? leader;
  const before = residentMib(member);
  const streams = Array.from({ length: watchers / watchesAStream }, () => new Stream(member));
  const watches = (): number => streams.reduce((sum, { told }) => sum + told.size, 0);
  const failed = (): unknown => streams.find(({ failure }) => failure !== undefined)?.failure;
  await until("every watch is there", () => watches() === watchers, { timeoutMs: 60_000 });
  report.check(true, `${watchers} watches on one member`, `RSS ${before.toFixed(0)} MiB before`);

  const client = new Client([leader.endpoint]);
  const revisions: number[] = [];
  const startMs = performance.now();
  for (let put = 0; put < puts; put++) {
    const ended = await client.putUntilProposed(`w/${put}`, Buffer.from("told"));
    if (ended.outcome !== "acknowledged") throw new Error(`a put ended ${ended.outcome}`);
    revisions.push(Number(ended.response.headers.get("coracle-revision")));
  }
  const told = (): number =>
    streams.reduce((sum, stream) => sum + [...stream.told.values()].reduce((n, one) => n + one.length, 0), 0);
  await until("every event is told", () => failed() !== undefined || told() >= watchers * puts, {
    timeoutMs: 120_000,
  });
  const seconds = (performance.now() - startMs) / 1000;
  report.equal(failed(), undefined, "no stream ended");
  const wanted = JSON.stringify(revisions);
  const wrong = streams.flatMap((stream) =>
    [...stream.told.values()].filter((one) => JSON.stringify(one) !== wanted),
  );
  report.equal(wrong.length, 0, "every watch was told every put once, in order");
  report.note(
    `${told()} events in ${seconds.toFixed(1)} s; RSS of the member ${residentMib(member).toFixed(0)} MiB`,
  );
  for (const stream of streams) stream.close();
  client.close();
  await cluster.stop();
}

await runScript(async (report) => {
  const { watchers, puts } = options();
  await check(report, watchers, puts);
});
