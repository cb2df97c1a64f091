import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { denoExecutable } from "../deno.ts";
import { type RawAnswer, RawConnection } from "./http-raw.ts";

const root = new URL("../../", import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, root));
const runtimes: Readonly<Record<string, readonly [string, ...string[]]>> = {
  bun: [path("node_modules/.bin/bun")],
  deno: [denoExecutable(), "run", "-A", "--no-check"],
};

/** `http-server.ts` in a process of its own. */
class Server {
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  #text = "";
  #wake: () => void = () => {};
  port = 0;

  constructor(command: string, ...args: readonly string[]) {
    const stdio: ["pipe", "pipe", "inherit"] = ["pipe", "pipe", "inherit"];
    this.#process = spawn(command, [...args, path("test/contract/http-server.ts")], {
      cwd: path("."),
      stdio,
    });
    this.#process.stdout?.on("data", (chunk: Buffer) => {
      this.#text += chunk.toString();
      const parts = this.#text.split("\n");
      this.#text = parts.pop() ?? "";
      this.#lines.push(...parts);
      this.#wake();
    });
  }

  async start(): Promise<this> {
    this.port = Number((await this.line()).replace("port ", ""));
    assert.ok(this.port > 0);
    return this;
  }

  /** The next line that the server says. */
  async line(): Promise<string> {
    while (this.#lines.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#lines.shift() as string;
  }

  tell(command: string): void {
    this.#process.stdin?.write(`${command}\n`);
  }

  async ask(command: string): Promise<string> {
    this.tell(command);
    return this.line();
  }

  url(target: string): string {
    return `http://127.0.0.1:${this.port}${target}`;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

for (const [runtime, command] of Object.entries(runtimes)) {
  const startServer = (): Promise<Server> => new Server(...command).start();

  describe(`the client API on ${runtime}`, () => {
    let server: Server;
    before(async () => {
      server = await startServer();
    });
    after(() => server.kill());

    const revision = async (): Promise<number> => {
      const answer = await fetch(server.url("/v1/kv?count_only=true"));
      return ((await answer.json()) as { revision: number }).revision;
    };

    const targets: readonly (readonly [string, string])[] = [
      ["/v1/kv/a%00b", "a\0b"],
      ["/v1/kv/%FF%fe", "\xff\xfe"],
      ["/v1/kv/s%2Ft/u", "s/t/u"],
      ["/v1/kv//", "/"],
      ["/v1/kv///x//", "//x//"],
      ["/v1/kv/p+q", "p+q"],
      ["/v1/kv/%2e%2E%2fz", "../z"],
      ["/v1/kv/%25%3F%23%5C", "%?#\\"],
      ["/v1/kv?key=%2E%2E", ".."],
      ["/v1/kv?key=%ff+%2B", "\xff +"],
    ];
    for (const [target, key] of targets) {
      test(`${target} is the key ${JSON.stringify(key)}`, async () => {
        const connection = await RawConnection.open(server.port);
        const put = await connection.request("PUT", target, `value of ${key}`);
        assert.equal(put.status, 200, put.body.toString());
        const got = await connection.request("GET", target, "", "Accept: application/json\r\n");
        const document = JSON.parse(got.body.toString());
        assert.equal(document.key_base64, Buffer.from(key, "latin1").toString("base64"));
        const raw = await connection.request("GET", target);
        assert.deepEqual(raw.body, Buffer.from(`value of ${key}`, "latin1"));
        const gone = await connection.request("DELETE", target);
        assert.equal(JSON.parse(gone.body.toString()).deleted, 1);
        connection.destroy();
      });
    }

    test("a dot segment is resolved as URLs are, or refused, and never becomes part of a key", async () => {
      for (const target of ["/v1/kv/dots/../x", "/v1/kv/dots/%2e%2E/x", "/v1/kv/./x"]) {
        const connection = await RawConnection.open(server.port);
        const put = await connection.request("PUT", target, "x");
        if (runtime === "bun") assert.equal(put.status, 200);
        else assert.equal(JSON.parse(put.body.toString()).code, "invalid_argument");
        const listed = await fetch(server.url("/v1/kv?keys_only=true"));
        const keys = ((await listed.json()) as { keys: { key: string }[] }).keys.map((found) => found.key);
        assert.deepEqual(keys, runtime === "bun" ? ["x"] : []);
        await fetch(server.url("/v1/kv/x"), { method: "DELETE" });
        connection.destroy();
      }
    });

    test("a body that ends early changes nothing", async () => {
      const before = await revision();
      const ways: readonly string[] = [
        "Content-Length: 100\r\n\r\nabc",
        "Content-Length: 100\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
      ];
      for (const way of ways) {
        const connection = await RawConnection.open(server.port);
        connection.write(`PUT /v1/kv/early HTTP/1.1\r\nHost: localhost\r\n${way}`);
        connection.finish();
        const text = (await connection.closed()).toString();
        // Bun closes without a word once the client has closed its side.
        if (text !== "") assert.match(text, /^HTTP\/1\.1 400 .*"code":"malformed_body"/s);
      }
      assert.equal(await revision(), before);
    });

    test("a chunked body is read; one with a damaged frame is refused", async () => {
      const connection = await RawConnection.open(server.port);
      connection.write(
        "PUT /v1/kv/chunked HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
      );
      connection.write("3\r\nabc\r\n", "4\r\ndefg\r\n", "0\r\n\r\n");
      assert.equal((await connection.answer()).status, 200);
      assert.equal((await connection.request("GET", "/v1/kv/chunked")).body.toString(), "abcdefg");
      connection.destroy();
      const before = await revision();
      const damaged = await RawConnection.open(server.port);
      damaged.write(
        "PUT /v1/kv/chunked HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
      );
      await damaged.closed();
      assert.equal(await revision(), before);
    });

    test("a value over the limit is refused before it is sent, by its length or as it comes", async () => {
      const before = await revision();
      const declared = await RawConnection.open(server.port);
      declared.write("PUT /v1/kv/big HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000000\r\n\r\n");
      const refused = await declared.answer();
      assert.equal(refused.status, 413);
      assert.equal(JSON.parse(refused.body.toString()).code, "value_too_large");
      declared.destroy();

      const chunked = await RawConnection.open(server.port);
      chunked.write("PUT /v1/kv/big HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
      const chunk = Buffer.concat([Buffer.from("80000\r\n"), Buffer.alloc(0x80000), Buffer.from("\r\n")]);
      chunked.write(chunk, chunk, chunk, chunk); // 2 MiB, and no end
      assert.equal((await chunked.answer()).status, 413);
      chunked.destroy();
      assert.equal(await revision(), before);
    });

    test("1.5 MiB and nothing at all come back byte for byte", async () => {
      const value = new Uint8Array(1_572_864).map((_, index) => (index * 31 + (index >> 8)) & 0xff);
      const connection = await RawConnection.open(server.port);
      assert.equal((await connection.request("PUT", "/v1/kv/large", value)).status, 200);
      const got = await connection.request("GET", "/v1/kv/large");
      assert.ok(Buffer.from(value).equals(got.body));
      assert.equal((await connection.request("PUT", "/v1/kv/none", "")).status, 200);
      assert.equal((await connection.request("GET", "/v1/kv/none")).body.length, 0);
      connection.destroy();
    });

    test("one connection serves HEAD, 304, errors and pipelined requests one after the other", async () => {
      const connection = await RawConnection.open(server.port);
      const put = await connection.request("PUT", "/v1/kv/keep", "12345");
      const etag = put.headers.get("etag") ?? "";
      const head = await connection.request("HEAD", "/v1/kv/keep");
      assert.deepEqual(
        [head.status, head.headers.get("content-length"), head.headers.get("etag")],
        [200, "5", etag],
      );
      const headOfList = await connection.request("HEAD", "/v1/kv");
      assert.ok(Number(headOfList.headers.get("content-length")) > 50);
      const cached = await connection.request("GET", "/v1/kv/keep", "", `If-None-Match: ${etag}\r\n`);
      assert.deepEqual([cached.status, cached.headers.get("etag")], [304, etag]);
      assert.equal((await connection.request("GET", "/v1/kv/no-such")).status, 404);
      assert.equal((await connection.request("OPTIONS", "/v1/kv/keep")).status, 204);
      assert.equal((await connection.request("TRACE", "/v1/kv/keep")).status >= 400, true);
      connection.destroy();
      const pipelined = await RawConnection.open(server.port);
      const one = "GET /v1/kv/keep HTTP/1.1\r\nHost: localhost\r\n\r\n";
      pipelined.write(one, one, one);
      for (let answer = 0; answer < 3; answer++) {
        assert.equal((await pipelined.answer()).body.toString(), "12345");
      }
      pipelined.destroy();
    });

    test("bodies that are begun and not ended are bounded", async () => {
      const held: RawConnection[] = [];
      let refused: RawAnswer | undefined;
      while (refused === undefined && held.length < 50) {
        const connection = await RawConnection.open(server.port);
        held.push(connection);
        connection.write("PUT /v1/kv/held HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1572864\r\n\r\n");
        connection.write(new Uint8Array(70_000));
        // A request that is refused is answered before this one, which came later.
        const probe = await RawConnection.open(server.port);
        await probe.request("GET", "/livez");
        probe.destroy();
        if (connection.hasReceived) refused = await connection.answer();
      }
      assert.equal(refused?.status, 429);
      assert.equal(JSON.parse(refused?.body.toString() ?? "").code, "overloaded");
      assert.equal(refused?.headers.get("retry-after"), "1");
      assert.equal(refused?.headers.get("connection"), "close");
      for (const connection of held) connection.destroy();
      const put = async (): Promise<number> => {
        const connection = await RawConnection.open(server.port);
        const { status } = await connection.request("PUT", "/v1/kv/held", new Uint8Array(1_572_864));
        connection.destroy();
        return status;
      };
      const startMs = performance.now();
      while ((await put()) !== 200)
        assert.ok(performance.now() - startMs < 20_000, "their room is free again");
    });

    test("answers that are asked for and not read are bounded", async () => {
      const connection = await RawConnection.open(server.port);
      for (let item = 0; item < 10; item++) {
        await connection.request("PUT", `/v1/kv/page/${item}`, new Uint8Array(1_500_000));
      }
      const silent: RawConnection[] = [];
      let status = 200;
      while (status === 200 && silent.length < 50) {
        const reader = await RawConnection.open(server.port);
        reader.pause();
        reader.write("GET /v1/kv?prefix=page/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
        silent.push(reader);
        status = (await connection.request("GET", "/v1/kv/page/x")).status === 429 ? 429 : 200;
      }
      assert.equal(status, 429);
      for (const reader of silent) reader.destroy();
      const startMs = performance.now();
      while ((await connection.request("GET", "/v1/kv/page/x")).status !== 404) {
        assert.ok(performance.now() - startMs < 20_000, "their room is free again");
      }
      await connection.request("DELETE", "/v1/kv?prefix=page/");
      connection.destroy();
    });

    const holderOf = async (name: string): Promise<unknown> => {
      const answer = await fetch(server.url(`/v1/locks/${name}`));
      return ((await answer.json()) as { holder: unknown }).holder;
    };
    const isFree = async (name: string): Promise<void> => {
      const startMs = performance.now();
      while ((await holderOf(name)) !== null) {
        assert.ok(performance.now() - startMs < 20_000, `the lock ${name} is free again`);
      }
    };

    test("a lock held by a connection is released when that breaks off", async () => {
      const connection = await RawConnection.open(server.port);
      connection.write(
        "POST /v1/locks/streamed HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\nContent-Length: 0\r\n\r\n",
      );
      const startMs = performance.now();
      while ((await holderOf("streamed")) === null)
        assert.ok(performance.now() - startMs < 20_000, "it is held");
      connection.destroy();
      await isFree("streamed");
    });

    test("a place in the queue for a lock is given up when the connection breaks off", async () => {
      const first = await RawConnection.open(server.port);
      const held = await first.request("POST", "/v1/locks/queued");
      const { lease } = JSON.parse(held.body.toString()) as { lease: number };
      const second = await RawConnection.open(server.port);
      second.write("POST /v1/locks/queued HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
      const waiting = async (): Promise<number> => {
        const answer = await fetch(server.url("/v1/kv?prefix=queued/&count_only=true"));
        return ((await answer.json()) as { count: number }).count;
      };
      const startMs = performance.now();
      while ((await waiting()) !== 2) assert.ok(performance.now() - startMs < 20_000, "it waits");
      second.destroy();
      while ((await waiting()) !== 1) assert.ok(performance.now() - startMs < 20_000, "it waits no longer");
      await first.request("DELETE", `/v1/locks/queued?lease=${lease}`);
      await isFree("queued");
      first.destroy();
    });

    test("a method that HTTP does not know is refused, or the connection closed", async () => {
      for (const method of ["FOO", "get", "PROPFIND", "PATCH", "CONNECT"]) {
        const connection = await RawConnection.open(server.port);
        connection.write(`${method} /v1/kv/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
        const text = (await connection.closed()).toString();
        // Bun's parser closes without an answer when it does not know the word.
        if (text !== "") assert.match(text, /^HTTP\/1\.1 (405|400) /, method);
        else assert.ok(runtime === "bun" && ["FOO", "get"].includes(method), method);
      }
    });

    test("what the app throws is answered 500, and told", async () => {
      const answer = await fetch(server.url("/v1/kv/a"), { headers: { "x-test-throw": "1" } });
      assert.equal(answer.status, 500);
      const text = await answer.text();
      assert.match(text, /"code":"internal"/);
      assert.doesNotMatch(text, /thrown/);
      assert.equal(await server.line(), "error thrown on request");
    });

    test("a port in use is named, with the flag to change it", async () => {
      const line = await server.ask("listen-again");
      assert.match(
        line,
        new RegExp(`^config_invalid: Port ${server.port} on 127\\.0\\.0\\.1 is in use.*--listen-client`),
      );
    });
  });

  describe(`stopping on ${runtime}`, () => {
    test("answers what is in flight, closes idle connections, takes no new ones", async () => {
      const server = await startServer();
      try {
        const idle = await RawConnection.open(server.port);
        assert.equal((await idle.request("GET", "/livez")).status, 200);
        assert.equal(await server.ask("close-gate"), "closed");
        const busy = await RawConnection.open(server.port);
        const pending = busy.request("PUT", "/v1/kv/last", "value");
        assert.equal(await server.line(), "waiting");
        assert.equal(await server.ask("stop 40000"), "stopping");
        assert.equal(await server.ask("open-gate"), "open");
        assert.equal((await pending).status, 200);
        await Promise.all([idle.closed(), busy.closed()]);
        assert.equal(await server.line(), "stopped");
        await assert.rejects(RawConnection.open(server.port), /ECONNREFUSED/);
      } finally {
        server.kill();
      }
    });

    test("refuses new connections at once, however many come, while it answers what is in flight", async () => {
      const server = await startServer();
      try {
        const used = await RawConnection.open(server.port);
        assert.equal((await used.request("GET", "/livez")).status, 200);
        assert.equal(await server.ask("close-gate"), "closed");
        const busy = await RawConnection.open(server.port);
        const pending = busy.request("PUT", "/v1/kv/last", "value");
        assert.equal(await server.line(), "waiting");
        assert.equal(await server.ask("stop 40000"), "stopping");
        const last = await used.request("GET", "/livez");
        assert.deepEqual([last.status, last.headers.get("connection")], [503, "close"]);
        assert.equal(JSON.parse(last.body.toString()).code, "shutting_down");
        const startMs = performance.now();
        let refused: unknown;
        while (refused === undefined && performance.now() - startMs < 20_000) {
          try {
            const connection = await RawConnection.open(server.port);
            // Cut without an answer is fine: nothing was read of it.
            await connection.request("GET", "/livez").catch(() => {});
            connection.destroy();
          } catch (error) {
            refused = error;
          }
        }
        assert.match(String(refused), /ECONNREFUSED|ECONNRESET/);
        assert.ok(performance.now() - startMs < 10_000, "long before the time for answers is over");
        assert.equal(await server.ask("open-gate"), "open");
        assert.equal((await pending).status, 200);
        assert.equal(await server.line(), "stopped");
      } finally {
        server.kill();
      }
    });

    test("cuts what is left when the time is over", async () => {
      const server = await startServer();
      try {
        assert.equal(await server.ask("close-gate"), "closed");
        const busy = await RawConnection.open(server.port);
        busy.write("GET /v1/kv/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert.equal(await server.line(), "waiting");
        assert.equal(await server.ask("stop 50"), "stopping");
        assert.equal(await server.line(), "stopped");
        server.tell("exit");
        assert.equal((await busy.closed()).length, 0);
      } finally {
        server.kill();
      }
    });
  });
}
