import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { CountedAbort } from "../../base/signals.test-support.ts";
import { serveHttp } from "../../runtime/http.ts";
import { testApp } from "../app.test-support.ts";

/** The data of each chunk of an answer (RFC 9112 §7.1), once `wanted` of them have arrived. */
function chunksOf(port: number, path: string, body: string, wanted: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let received = "";
    socket.on("error", reject);
    socket.on("data", (data) => {
      received += data.toString();
      const chunks = chunksIn(received.slice(received.indexOf("\r\n\r\n") + 4));
      if (chunks.length < wanted) return;
      socket.destroy();
      resolve(chunks);
    });
    socket.write(`POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
}

function chunksIn(text: string): string[] {
  const chunks: string[] = [];
  let rest = text;
  for (;;) {
    const line = /^([0-9a-f]+)\r\n/i.exec(rest);
    const length = Number.parseInt(line?.[1] ?? "", 16);
    // The last one is empty.
    if (line === null || length === 0 || rest.length < line[0].length + length + 2) return chunks;
    chunks.push(rest.slice(line[0].length, line[0].length + length));
    rest = rest.slice(line[0].length + length + 2);
  }
}

async function served<T>(use: (port: number, app: ReturnType<typeof testApp>) => Promise<T>): Promise<T> {
  const app = testApp();
  const onError = (error: unknown): void => assert.fail(String(error));
  const server = await serveHttp({
    host: "127.0.0.1",
    port: 0,
    fetch: (request) => app.app.fetch(request),
    onError,
  });
  try {
    return await use(server.port, app);
  } finally {
    await server.stop(500);
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const untilMs = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < untilMs, `waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe("a stream of the gateway", () => {
  for (const [path, document] of [
    ["/v3/watch", '{"create_request":{"key":"YQ==","range_end":"AA=="}}'],
    ["/v3/lease/keepalive", '{"ID":"5"}'],
  ] as const) {
    test(`${path} gives each document a line and a chunk of its own`, async () => {
      await served(async (port) => {
        const chunks = await chunksOf(port, path, document.repeat(50), 50);
        for (const chunk of chunks) {
          assert.match(chunk, /^\{"result":.*\}\n$/);
          assert.doesNotThrow(() => JSON.parse(chunk));
        }
      });
    });
  }

  test("lets go of its watches when the client is gone", async () => {
    await served(async (port, { service }) => {
      await chunksOf(port, "/v3/watch", '{"create_request":{"key":"YQ=="}}', 1);
      const untilMs = performance.now() + 5000;
      while (service.watches.active.size > 0 && performance.now() < untilMs) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.equal(service.watches.active.size, 0);
    });
  });

  test("lets go of the signal of the member's stop, as does any other answer that waits", async () => {
    const stop = new CountedAbort();
    const { app } = testApp({ stopping: stop.signal });
    // The locks of the app itself may listen for good.
    const before = stop.listeners;
    const streams = [
      ["POST", "/v3/watch", '{"create_request":{"key":"YQ=="}}', {}],
      ["GET", "/v1/elections/e", undefined, { accept: "application/x-ndjson" }],
      ["POST", "/v1/locks/l", "{}", { accept: "application/x-ndjson", "content-type": "application/json" }],
    ] as const;
    for (const [method, path, body, headers] of streams) {
      const answer = await app.request(path, { method, headers, ...(body !== undefined && { body }) });
      const reader = answer.body?.getReader();
      void reader?.read().then(() => reader.read());
      await until(() => stop.listeners > before, `${path} listens`);
      await reader?.cancel();
      await until(() => stop.listeners === before, `${path} lets go`);
    }
    const lock = await app.request("/v3/lock/lock", { method: "POST", body: '{"name":"YQ==","lease":"9"}' });
    assert.equal(lock.status, 500, await lock.text());
    assert.equal(stop.listeners, before);
  });

  test("begins with the status of an error that comes before anything else", async () => {
    const { send } = testApp();
    const answer = await send("POST", "/v3/election/observe", { body: "[" });
    assert.equal(answer.status, 400);
    const snapshot = await send("POST", "/v3/maintenance/snapshot", { body: "{}" });
    assert.deepEqual(snapshot.document.error.http_code, snapshot.status);
  });
});
