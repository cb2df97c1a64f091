import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { describe, test } from "node:test";
import { Client, classify, keyPath } from "./client.ts";
import { HttpConnection, RequestFailed } from "./http.ts";
import { freePort } from "./ports.ts";

/** A server that answers each request's bytes as told. */
async function serverThat(
  answer: (socket: Socket, request: string) => void,
): Promise<{ target: string; close: () => void }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => answer(socket, chunk.toString("latin1")));
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    target: `127.0.0.1:${port}`,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const value = Buffer.from("value");

describe("outcome of a write", () => {
  const statuses: readonly (readonly [number, string])[] = [
    [200, "acknowledged"],
    [201, "acknowledged"],
    [412, "refused"],
    [413, "refused"],
    [429, "not-proposed"],
    [503, "not-proposed"],
    [507, "not-proposed"],
    [504, "unknown"],
    [500, "unknown"],
  ];
  for (const [status, expected] of statuses) {
    test(`${status} is ${expected}`, async () => {
      const server = await serverThat((socket) =>
        socket.write(`HTTP/1.1 ${status} X\r\nContent-Length: 2\r\n\r\n{}`),
      );
      const client = new Client([server.target]);
      assert.equal((await client.put("k", value)).outcome, expected);
      client.close();
      server.close();
    });
  }

  test("a refused connection was not proposed, and the next endpoint is tried", async () => {
    const server = await serverThat((socket) => socket.write("HTTP/1.1 204 No Content\r\n\r\n"));
    const client = new Client([`127.0.0.1:${await freePort()}`, server.target]);
    const retries: string[] = [];
    const ended = await client.putUntilProposed("k", value, { onRetry: (reason) => retries.push(reason) });
    assert.equal(ended.outcome, "acknowledged");
    assert.equal(retries.length, 1);
    client.close();
    server.close();
  });

  test("a connection lost after the request is unknown, and is not sent again by itself", async () => {
    let requests = 0;
    const server = await serverThat((socket) => {
      requests++;
      socket.destroy();
    });
    const client = new Client([server.target]);
    assert.equal((await client.put("k", value)).outcome, "unknown");
    assert.equal(requests, 1);
    client.close();
    server.close();
  });

  test("an answer that does not come in time is unknown", async () => {
    const server = await serverThat(() => {});
    const client = new Client([server.target]);
    assert.equal((await client.put("k", value, 50)).outcome, "unknown");
    client.close();
    server.close();
  });

  test("only what was not sent counts as not proposed", () => {
    assert.equal(classify(new RequestFailed("x", false)).outcome, "not-proposed");
    assert.equal(classify(new RequestFailed("x", true)).outcome, "unknown");
  });
});

describe("answers", () => {
  test("chunked, in pieces, several on one connection", async () => {
    const server = await serverThat((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Enc");
      setImmediate(() => socket.write("oding: chunked\r\n\r\n5\r\nhello\r\n1"));
      setTimeout(() => socket.write("0\r\n 0123456789abcde\r\n0\r\n\r\n"), 5);
    });
    const connection = new HttpConnection(server.target);
    for (let i = 0; i < 3; i++) {
      const { body } = await connection.request({ method: "GET", path: "/" });
      assert.equal(body.toString(), "hello 0123456789abcde");
    }
    connection.close();
    server.close();
  });

  test("Connection: close is obeyed, and the next request opens another", async () => {
    let connections = 0;
    const seen = new Set<Socket>();
    const server = await serverThat((socket) => {
      if (!seen.has(socket)) connections++;
      seen.add(socket);
      socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    const connection = new HttpConnection(server.target);
    await connection.request({ method: "GET", path: "/" });
    await connection.request({ method: "GET", path: "/" });
    assert.equal(connections, 2);
    connection.close();
    server.close();
  });

  test("a binary body comes out as it went in", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const server = await serverThat((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`);
      socket.write(bytes);
    });
    const connection = new HttpConnection(server.target);
    assert.deepEqual((await connection.request({ method: "GET", path: "/" })).body, bytes);
    connection.close();
    server.close();
  });
});

test("a key's slashes stay, all else is percent-encoded", () => {
  assert.equal(keyPath("a b/ü?#%"), "/v1/kv/a%20b/%C3%BC%3F%23%25");
});
