import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { asJson, type TestApp, testApp } from "./app.test-support.ts";
import { keyPath } from "./percent.ts";

const asLines = { accept: "application/x-ndjson" };

/** Reads a stream piece by piece. */
class Reader {
  readonly response: Response;
  text = "";
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();

  constructor(response: Response) {
    this.response = response;
    assert.ok(response.body !== null);
    this.#reader = response.body.getReader();
  }

  /** Reads until the text holds `part`. */
  async until(part: string): Promise<string> {
    while (!this.text.includes(part)) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Error(`the stream ended without ${part}: ${this.text}`);
      this.text += this.#decoder.decode(value, { stream: true });
    }
    return this.text;
  }

  async rest(): Promise<string> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return this.text;
      this.text += this.#decoder.decode(value, { stream: true });
    }
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

async function watch(app: TestApp, query: string, headers: Record<string, string> = {}): Promise<Reader> {
  const response = await app.app.request(`/v1/watch${query}`, { headers });
  assert.equal(response.status, 200, await (response.status === 200 ? "" : response.text()));
  return new Reader(response);
}

async function put(app: TestApp, key: string, value = "1"): Promise<void> {
  assert.equal((await app.send("PUT", keyPath(utf8(key)), { body: value })).status, 200);
}

describe("watching as Server-Sent Events", () => {
  test("tells what happens, one message a revision", async () => {
    const app = testApp();
    await put(app, "a");
    const reader = await watch(app, "?prefix=b");
    assert.equal(reader.response.headers.get("content-type"), "text/event-stream");
    assert.equal(reader.response.headers.get("coracle-revision"), "2");
    await put(app, "b1");
    await put(app, "a");
    await app.send("DELETE", "/v1/kv/b1");
    const body = JSON.stringify({
      success: [
        { type: "put", key: "b2", value: "x" },
        { type: "put", key: "b3", value: "y" },
      ],
    });
    await app.send("POST", "/v1/txn", { body, headers: asJson });
    const text = await reader.until("b3");
    const put1 = '{"type":"put","key":"b1","key_base64":"YjE=","value_base64":"MQ==",';
    assert.ok(
      text.startsWith('retry: 1000\nid: 2\nevent: created\ndata: {"revision":2}\n\nid: 3\ndata: {"rev'),
      text,
    );
    assert.ok(text.includes(`id: 3\ndata: {"revision":3,"events":[${put1}`), text);
    const gone = '{"type":"delete","key":"b1","key_base64":"YjE=","mod_revision":5}';
    assert.ok(text.includes(`id: 5\ndata: {"revision":5,"events":[${gone}]}\n\n`), text);
    assert.match(text, /id: 6\ndata: \{"revision":6,"events":\[\{[^\n]*"b2"[^\n]*"b3"[^\n]*\}\]\}\n\n$/);
    await reader.cancel();
    assert.equal(app.service.watches.active.size, 0, "the watch ends with its client");
  });

  test("goes on after Last-Event-ID, whatever the URL says", async () => {
    const app = testApp();
    for (const key of ["a", "b", "c", "d"]) await put(app, key);
    const reader = await watch(app, "?revision=2", { "last-event-id": "3" });
    const text = await reader.until("id: 5\ndata");
    assert.ok(text.includes("id: 3\nevent: created"), text);
    assert.ok(text.includes("id: 4\ndata") && !text.includes("id: 3\ndata"), text);
    await reader.cancel();
    // A member that lags must not send a client back to an older id.
    const ahead = await watch(app, "", { "last-event-id": "6" });
    for (const key of ["e", "f", "g"]) await put(app, key);
    const told = await ahead.until("id: 8\ndata");
    assert.ok(told.includes("id: 6\nevent: created") && !told.includes("id: 6\ndata"), told);
    await ahead.cancel();
    const later = await watch(app, "?revision=10", { "last-event-id": "3" });
    for (const key of ["h", "i"]) await put(app, key);
    assert.ok(!(await later.until("id: 10\ndata")).includes("id: 9\ndata"));
    await later.cancel();
  });

  test("ends with a message that says why", async () => {
    const app = testApp();
    const reader = await watch(app, "");
    app.service.watches.endAll(new CoracleError("revision_compacted", "Gone.", { compact_revision: 9 }));
    const text = await reader.rest();
    const data =
      '{"status":410,"title":"The revision has been compacted","detail":"Gone.","code":"revision_compacted","compact_revision":9}';
    assert.ok(text.endsWith(`event: error\ndata: ${data}\n\n`), text);
  });
});

describe("watching as NDJSON", () => {
  test("tells the same in lines", async () => {
    const app = testApp();
    const reader = await watch(app, "?key=a", asLines);
    assert.equal(reader.response.headers.get("content-type"), "application/x-ndjson");
    await put(app, "a");
    await put(app, "a1");
    await put(app, "a");
    const text = await reader.until('"revision":4');
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ type, revision }) => [type, revision]),
      [
        ["created", 1],
        ["events", 2],
        ["events", 4],
      ],
    );
    assert.equal(lines[1].events[0].mod_revision, 2);
    await reader.cancel();
  });

  test("says how far it is while nothing matches", async () => {
    const app = testApp();
    const reader = await watch(app, "?key=a&bookmark_ms=100", asLines);
    await put(app, "b");
    assert.ok((await reader.until("bookmark")).includes('{"type":"bookmark","revision":2}\n'));
    await reader.cancel();
  });

  test("takes no more than its client reads", async () => {
    const app = testApp();
    const reader = await watch(app, "", asLines);
    const [open] = app.service.watches.active;
    for (let i = 0; open?.paused === false; i++) {
      assert.ok(i < 100, "it never pauses");
      await put(app, `k${i}`, "x".repeat(10_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await put(app, "last");
    await reader.until('"last"');
    assert.equal(open?.paused, false);
    await reader.cancel();
  });
});

describe("what cannot be watched", () => {
  test("is refused with a status", async () => {
    const app = testApp();
    for (const key of ["a", "b", "c"]) await put(app, key);
    app.service.watches.compact(3);
    const refused = async (query: string, headers: Record<string, string>, status: number, code: string) => {
      const answer = await app.send("GET", `/v1/watch${query}`, { headers });
      assert.deepEqual([answer.status, answer.document.code], [status, code], `${query}: ${answer.text}`);
      return answer;
    };
    const gone = await refused("?revision=2", {}, 410, "revision_compacted");
    assert.equal(gone.document.compact_revision, 3);
    await refused("", { "last-event-id": "1" }, 410, "revision_compacted");
    await refused("", { "last-event-id": "x" }, 400, "invalid_argument");
    await refused("", { "last-event-id": "99999999999999999" }, 400, "invalid_argument");
    await refused("?key=", {}, 400, "key_empty");
    await refused("?key=a&prefix=b", {}, 400, "invalid_argument");
    await refused("?revision=0", {}, 400, "invalid_argument");
    await refused("?revision=-1", {}, 400, "invalid_argument");
    await refused("?only=both", {}, 400, "invalid_argument");
    await refused("?bookmark_ms=1", {}, 400, "invalid_argument");
    await refused("?filter=put", {}, 400, "unknown_parameter");
    await refused("", { accept: "application/json" }, 406, "not_acceptable");
    app.service.watches.failWith = new CoracleError("overloaded", "Too many.");
    await refused("", {}, 429, "overloaded");
    assert.equal(app.service.watches.active.size, 0);
  });

  test("HEAD opens nothing", async () => {
    const app = testApp();
    const answer = await app.send("HEAD", "/v1/watch");
    assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "text/event-stream"]);
    assert.equal(app.service.watches.opened, 0);
  });
});

describe("a listing as NDJSON", () => {
  async function lines(app: TestApp, query: string): Promise<Record<string, unknown>[]> {
    const response = await app.app.request(`/v1/kv${query}`, { headers: asLines });
    assert.equal(response.status, 200);
    return (await response.text())
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  }

  async function filled(count: number): Promise<TestApp> {
    const app = testApp();
    for (let i = 0; i < count; i++) await put(app, `k${String(i).padStart(4, "0")}`, `${i}`);
    return app;
  }

  test("has every key once, and ends by saying so", async () => {
    const app = await filled(700);
    const all = await lines(app, "?prefix=k");
    assert.deepEqual(all.pop(), { type: "end", revision: 701, keys: 700, more: false });
    assert.deepEqual(
      all.map(({ key }) => key),
      Array.from({ length: 700 }, (_, i) => `k${String(i).padStart(4, "0")}`),
    );
    assert.ok(app.service.reads.length >= 3 && app.service.reads.every(({ request }) => request.limit <= 64));
    assert.deepEqual(await lines(app, "?prefix=z"), [{ type: "end", revision: 701, keys: 0, more: false }]);
    const [first] = await lines(app, "?start=k0005&keys_only=true");
    assert.deepEqual([first?.key, "value_base64" in (first ?? {})], ["k0005", false]);
  });

  test("stays at the revision at which it began", async () => {
    const app = await filled(600);
    const reader = new Reader(await app.app.request("/v1/kv", { headers: asLines }));
    await put(app, "k0599", "changed");
    await put(app, "l", "new");
    const text = await reader.rest();
    assert.ok(text.endsWith('{"type":"end","revision":601,"keys":600,"more":false}\n'), text.slice(-200));
    assert.ok(!text.includes(Buffer.from("changed").toString("base64")));
    assert.ok(app.service.reads.slice(1).every(({ request }) => request.revision === 601));
  });

  test("ends at a limit with where to go on", async () => {
    const app = await filled(10);
    const some = await lines(app, "?limit=4");
    const end = some.pop();
    assert.deepEqual([some.length, end?.keys, end?.more], [4, 4, true]);
    const rest = await lines(app, `?cursor=${end?.cursor}`);
    assert.deepEqual([rest[0]?.key, rest.length], ["k0004", 7]);
  });

  test("says what stopped it", async () => {
    const app = await filled(600);
    const reader = new Reader(await app.app.request("/v1/kv", { headers: asLines }));
    app.service.failWith = new CoracleError("revision_compacted", "Gone.", { compact_revision: 700 });
    const text = await reader.rest();
    assert.match(text, /\n\{"type":"error","status":410,[^\n]*"code":"revision_compacted"[^\n]*\}\n$/);
  });

  test("refuses what it cannot do before it begins", async () => {
    const app = await filled(3);
    const statusOf = async (query: string) =>
      (await app.send("GET", `/v1/kv${query}`, { headers: asLines })).status;
    assert.equal(await statusOf("?count_only=true"), 400);
    assert.equal(await statusOf("?revision=99"), 400);
    assert.equal(await statusOf("?limit=0"), 400);
    const head = await app.send("HEAD", "/v1/kv", { headers: asLines });
    assert.deepEqual([head.status, head.headers.get("content-type")], [200, "application/x-ndjson"]);
  });
});
