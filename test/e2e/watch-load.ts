import { Client, keyPath } from "./client.ts";
import { pause } from "./wait.ts";
import { eventText } from "./watch-client.ts";

/** Keys are spread over so many prefixes. */
export const groups = 8;
const writers = 8;

export interface TrueEvent {
  readonly revision: number;
  readonly key: string;
  readonly text: string;
}

interface Operation {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly value: string;
}

/** Writers whose every write has one known revision. */
export class WatchLoad {
  writes = 0;
  readonly #byRevision = new Map<number, readonly Operation[]>();
  readonly #clients: readonly Client[];
  readonly #done: Promise<void>[];
  readonly #name = Math.random().toString(36).slice(2);
  /** Keys that were put and that nobody deletes yet. */
  readonly #deletable: string[] = [];
  #stopping = false;
  #count = 0;

  constructor(endpoints: readonly string[], writesPerSecond: number) {
    this.#clients = Array.from({ length: writers }, (_, i) => new Client(endpoints, i));
    this.#done = this.#clients.map((client) => this.#run(client, (writers / writesPerSecond) * 1000));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#done);
    for (const client of this.#clients) client.close();
  }

  /** What happened, as the answers say, in order; `gaps` counts revisions that nobody knows of. */
  truth(): { readonly events: readonly TrueEvent[]; readonly revision: number; readonly gaps: number } {
    const revisions = [...this.#byRevision.keys()].sort((a, b) => a - b);
    const events = revisions.flatMap((revision) =>
      (this.#byRevision.get(revision) ?? []).map(({ type, key, value }) => ({
        revision,
        key,
        text: eventText(revision, type, key, value),
      })),
    );
    const last = revisions.at(-1) ?? 0;
    return { events, revision: last, gaps: last - 1 - revisions.length };
  }

  async #run(client: Client, everyMs: number): Promise<void> {
    while (!this.#stopping) {
      const startedMs = performance.now();
      await this.#write(client);
      await pause(Math.max(0, everyMs - (performance.now() - startedMs)));
    }
  }

  #put(): Operation {
    const number = this.#count++;
    return { type: "put", key: `w/${number % groups}/${number}`, value: `v${number}` };
  }

  async #write(client: Client): Promise<void> {
    const chance = Math.random();
    const old = chance < 0.15 ? this.#deletable.shift() : undefined;
    if (old !== undefined) {
      await this.#send(client, "DELETE", keyPath(old), [{ type: "delete", key: old, value: "" }]);
    } else if (chance < 0.3) {
      await this.#send(client, "POST", "/v1/txn", [this.#put(), this.#put(), this.#put()]);
    } else {
      const operation = this.#put();
      await this.#send(client, "PUT", keyPath(operation.key), [operation]);
    }
  }

  /** Repeats the write until it is answered: with its key it takes effect once. */
  async #send(client: Client, method: string, path: string, operations: readonly Operation[]): Promise<void> {
    const headers = {
      "Idempotency-Key": `${this.#name}-${this.writes}-${this.#count}-${Math.random()}`,
      ...(method === "POST" && { "Content-Type": "application/json" }),
    };
    const text = method === "POST" ? JSON.stringify({ success: operations }) : (operations[0]?.value ?? "");
    const request = { method, path, headers, ...(method !== "DELETE" && { body: Buffer.from(text) }) };
    for (;;) {
      const ended = await client.write(request, 5_000);
      if (ended.outcome === "acknowledged") {
        const { revision } = JSON.parse(ended.response.body.toString()) as { revision: number };
        if (this.#byRevision.has(revision)) throw new Error(`revision ${revision} was given twice`);
        this.#byRevision.set(revision, operations);
        for (const { type, key } of operations) if (type === "put") this.#deletable.push(key);
        this.writes++;
        return;
      }
      if (ended.outcome === "refused") throw new Error(`${method} ${path}: ${ended.reason}`);
      await pause(10);
    }
  }
}
