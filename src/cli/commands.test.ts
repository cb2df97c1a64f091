import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { afterEach, describe, test } from "node:test";
import { type CannedAnswer, FakeMember, RecordingIo, type SeenRequest } from "./fake-member.test-support.ts";
import { runProgram } from "./program.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const members: FakeMember[] = [];
afterEach(() => {
  for (const member of members.splice(0)) member.stop();
});

async function fake(answer: (request: SeenRequest) => CannedAnswer): Promise<FakeMember> {
  const member = await FakeMember.start(answer);
  members.push(member);
  return member;
}

async function run(args: readonly string[], endpoints: readonly string[] = [], io = new RecordingIo()) {
  if (endpoints.length > 0) io.environment.CORACLE_ENDPOINTS = endpoints.join(",");
  const exitCode = await runProgram(args, io);
  return { exitCode, io };
}

const stored = (key: string, value: Uint8Array) => ({
  revision: 9,
  key: bytes(key),
  value,
  create_revision: 3,
  mod_revision: 7,
  version: 2,
  lease: 0,
});
const problem = (status: number, code: string, detail: string): CannedAnswer => ({
  status,
  body: { code, detail },
});

describe("put", () => {
  test("sends the value with conditions and an idempotency key, and prints the revision", async () => {
    const member = await fake(() => ({ status: 200, body: { revision: 42 } }));
    const { exitCode, io } = await run(["put", "a/b c", "hello", "--if-match", "7"], [member.endpoint]);
    assert.equal(exitCode, 0);
    assert.equal(io.output, "revision 42\n");
    const request = member.seen[0];
    assert.equal(request?.path, "/v1/kv/a%2Fb%20c");
    assert.equal(request?.headers["if-match"], '"7"');
    assert.match(String(request?.headers["idempotency-key"]), /^[0-9a-f-]{36}$/);
    assert.deepEqual(request?.body, bytes("hello"));
  });

  test("takes the value from stdin, from a file, and literally behind @@", async () => {
    const member = await fake(() => ({ status: 200, body: { revision: 1 } }));
    const io = new RecordingIo();
    io.input = Uint8Array.from([0, 255]);
    io.files.set("x.bin", Uint8Array.from([1, 2]));
    for (const value of [["-"], [], ["@x.bin"], ["@@x.bin"], [""]]) {
      assert.equal((await run(["put", "k", ...value], [member.endpoint], io)).exitCode, 0);
    }
    const bodies = member.seen.map((request) => [...request.body]);
    assert.deepEqual(bodies, [[0, 255], [0, 255], [1, 2], [...bytes("@x.bin")], []]);
  });

  test("repeats a write whose outcome was lost, under the same idempotency key", async () => {
    const broken = await fake(() => ({ status: 0, body: null, hangUp: true }));
    const healthy = await fake(() => ({ status: 200, body: { revision: 5 } }));
    const { exitCode } = await run(["put", "k", "v"], [broken.endpoint, healthy.endpoint]);
    assert.equal(exitCode, 0);
    const keys = [...broken.seen, ...healthy.seen].map((request) => request.headers["idempotency-key"]);
    assert.equal(new Set(keys).size, 1);
  });

  test("a condition that fails is exit code 6, a lost outcome 4", async () => {
    const failing = await fake(() => problem(412, "precondition_failed", "The key is at revision 9 now."));
    const failed = await run(["put", "k", "v", "--create-only"], [failing.endpoint]);
    assert.equal(failed.exitCode, 6);
    assert.equal(failed.io.errors, "coracle: The key is at revision 9 now.\n");
    assert.equal(failing.seen[0]?.headers["if-none-match"], "*");
    const lost = await fake(() => problem(504, "outcome_unknown", "Lost."));
    assert.equal((await run(["put", "k", "v"], [lost.endpoint])).exitCode, 4);
  });
});

describe("get", () => {
  test("writes the bytes as they are", async () => {
    const value = Uint8Array.from([0, 10, 255, 13]);
    const member = await fake(() => ({ status: 200, body: value }));
    const { io } = await run(["get", "k", "--consistency", "serializable"], [member.endpoint]);
    assert.deepEqual(io.outputBytes, value);
    assert.equal(member.seen[0]?.path, "/v1/kv/k?consistency=serializable");
  });

  test("JSON shows text as text and other bytes as base64", async () => {
    const text = await fake(() => ({ status: 200, body: stored("k", bytes("hé")) }));
    const { io } = await run(["get", "k", "-o", "json"], [text.endpoint]);
    const meta = { create_revision: 3, mod_revision: 7, version: 2, lease: 0 };
    assert.deepEqual(JSON.parse(io.output), { key: "k", value: "hé", ...meta });
    const binary = await fake(() => ({ status: 200, body: stored("k", Uint8Array.from([255])) }));
    const shown = (await run(["get", "--hex", "6b", "-o", "json"], [binary.endpoint])).io.output;
    assert.deepEqual(JSON.parse(shown), { key: "k", value_base64: "/w==", ...meta });
  });

  test("a table cannot steer the terminal", async () => {
    const member = await fake(() => ({ status: 200, body: stored("k", bytes("\u001b[31mred\n")) }));
    const { io } = await run(["get", "k", "-o", "table"], [member.endpoint]);
    assert.match(io.output, /\\u001b\[31mred\\n/);
    assert.equal(io.output.split("\n").length, 3);
  });

  test("a missing key is exit code 5", async () => {
    const member = await fake(() => problem(404, "not_found", "There is no such key."));
    assert.equal((await run(["get", "k"], [member.endpoint])).exitCode, 5);
  });

  test("the keys . and .. survive URLs", async () => {
    const member = await fake(() => ({ status: 200, body: bytes("v") }));
    await run(["get", "..", "--revision", "4"], [member.endpoint]);
    assert.equal(member.seen[0]?.path, "/v1/kv?key=%2E%2E&revision=4");
  });
});

describe("endpoints", () => {
  test("the next one is tried when one cannot be reached or has no leader", async () => {
    const closed = await fake(() => ({ status: 200, body: bytes("") }));
    const gone = closed.endpoint;
    closed.stop();
    const leaderless = await fake(() => problem(503, "no_leader", "No leader."));
    const healthy = await fake(() => ({ status: 200, body: bytes("v") }));
    const { exitCode, io } = await run(["get", "k"], [gone, leaderless.endpoint, healthy.endpoint]);
    assert.equal(io.errors, "");
    assert.equal(exitCode, 0);
    assert.equal(leaderless.seen.length, 1);
  });

  test("it waits out an election within the timeout", async () => {
    let asked = 0;
    const member = await fake(() => {
      asked++;
      return asked < 3 ? problem(503, "no_leader", "No leader.") : { status: 200, body: { revision: 1 } };
    });
    assert.equal((await run(["put", "k", "v"], [member.endpoint])).exitCode, 0);
  });

  test("unreachable and leaderless are exit code 3, with a sentence", async () => {
    const closed = await fake(() => ({ status: 200, body: bytes("") }));
    const gone = closed.endpoint;
    closed.stop();
    const unreachable = await run(["put", "k", "v"], [gone]);
    assert.equal(unreachable.exitCode, 3);
    assert.match(
      unreachable.io.errors,
      /^coracle: No endpoint could be reached: http:\/\/127.*cannot be reached: nothing accepts connections there\.\n$/,
    );
    const leaderless = await fake(() => problem(503, "no_leader", "No leader is known."));
    const waited = await run(["put", "k", "v", "--timeout", "300ms"], [leaderless.endpoint]);
    assert.equal(waited.exitCode, 3);
    assert.match(waited.io.errors, /cannot serve this now: .*No leader is known\./);
  });

  test("a hanging member costs its share of the timeout, and a write sent to it is unknown", async () => {
    const answers: (() => void)[] = [];
    const { createServer } = await import("node:http");
    const server = createServer((_, response) => void answers.push(() => response.end()));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const { exitCode, io } = await run(
      ["member", "remove", "n2", "--timeout", "200ms"],
      [`127.0.0.1:${address.port}`],
    );
    for (const answer of answers) answer();
    server.closeAllConnections();
    server.close();
    assert.equal(exitCode, 4, io.errors);
    assert.match(io.errors, /outcome is unknown: .*no answer within/);
  });

  test("a change is not sent again when the time left is too short for the member to refuse it", async () => {
    const { createServer } = await import("node:http");
    let seen = 0;
    const server = createServer((_, response) => {
      seen++;
      setTimeout(() => response.writeHead(503).end(), 400);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const { exitCode, io } = await run(["put", "k", "v", "--timeout", "1s"], [`127.0.0.1:${address.port}`]);
    server.closeAllConnections();
    server.close();
    assert.equal(exitCode, 3, io.errors);
    assert.equal(seen, 1);
  });

  test("a change that is sent to nobody else has all the time there is", async () => {
    const { createServer } = await import("node:http");
    const server = createServer((_, response) => {
      setTimeout(() => response.writeHead(503).end(), 700);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const { exitCode, io } = await run(
      ["member", "remove", "n2", "--timeout", "1s"],
      [`127.0.0.1:${address.port}`, "127.0.0.1:1"],
    );
    server.closeAllConnections();
    server.close();
    assert.equal(exitCode, 3, io.errors);
  });

  test("a change without idempotency key is never sent twice", async () => {
    const broken = await fake(() => ({ status: 0, body: null, hangUp: true }));
    const other = await fake(() => ({ status: 200, body: {} }));
    assert.equal((await run(["leader", "transfer"], [broken.endpoint, other.endpoint])).exitCode, 4);
    assert.equal(other.seen.length, 0);
  });

  test("leave needs the one endpoint of the member meant", async () => {
    const a = await fake(() => ({ status: 200, body: { left: {} } }));
    const b = await fake(() => ({ status: 200, body: { left: {} } }));
    assert.equal((await run(["leave"], [a.endpoint, b.endpoint])).exitCode, 2);
    assert.equal((await run(["leave"], [b.endpoint])).exitCode, 0);
    assert.equal(a.seen.length, 0);
  });
});

describe("list, del, status, member and leader", () => {
  test("list goes through the pages of one revision", async () => {
    const member = await fake((request) =>
      request.path.includes("cursor=")
        ? { status: 200, body: { revision: 9, more: false, keys: [stored("b", bytes("2"))] } }
        : {
            status: 200,
            body: { revision: 9, more: true, cursor: "9.YQ.", keys: [stored("a", bytes("1"))] },
          },
    );
    const { io } = await run(["list", "-o", "json"], [member.endpoint]);
    const keys = io.output
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).key);
    assert.deepEqual(keys, ["a", "b"]);
    const table = (await run(["list", "x", "--keys-only", "--limit", "5"], [member.endpoint])).io.output;
    assert.match(table, /^KEY +MOD +CREATE +VERSION\na/);
    assert.match(String(member.seen[2]?.path), /prefix=x&limit=5&keys_only=true/);
  });

  test("a value of over a megabyte that is no text is listed", async () => {
    const value = Uint8Array.from({ length: 1_500_000 }, (_, index) => (index * 7919) >>> 3);
    const member = await fake(() => ({
      status: 200,
      body: { revision: 9, more: false, keys: [stored("k", value)] },
    }));
    assert.match((await run(["list"], [member.endpoint])).io.output, /1500000 bytes that are no text/);
  });

  test("del tells how many, and says so when there was none", async () => {
    const member = await fake((request) => ({
      status: 200,
      body: { revision: 9, deleted: request.path.includes("prefix") ? 3 : 0 },
    }));
    assert.equal(
      (await run(["del", "a/", "--prefix"], [member.endpoint])).io.output,
      "deleted 3, revision 9\n",
    );
    const { exitCode, io } = await run(["del", "k"], [member.endpoint]);
    assert.equal(exitCode, 5);
    assert.match(io.errors, /There is no key "k"/);
  });

  const n1 = {
    id: 7_000_000_000_001,
    name: "n1",
    peer_address: "a:1",
    client_urls: ["http://a:2"],
    grpc_urls: ["http://a:3"],
    learner: false,
  };

  test("status, members and leader as tables", async () => {
    const member = await fake((request) => {
      if (request.path === "/v1/leader") return { status: 200, body: { leader: n1 } };
      const status = {
        reachable: true,
        role: "leader",
        term: 3,
        commit_index: 8,
        store_bytes: 5_000_000,
        uptime_seconds: 4000,
        trouble: "the disk of this member is full",
      };
      return {
        status: 200,
        body: {
          members: [
            { ...n1, ...status },
            { ...n1, name: "n2", grpc_urls: [], reachable: false },
          ],
        },
      };
    });
    const status = (await run(["status"], [member.endpoint])).io.output;
    assert.match(status, /n1 +7000000000001 +leader +3 +8 .*4\.8MiB .*1h6m/);
    assert.match(status, /n2 +7000000000001 +unreachable/);
    assert.match(status, /\nn1: the disk of this member is full\.\n$/);
    const list = (await run(["member", "list"], [member.endpoint])).io.output;
    assert.match(list, /PEER +CLIENT +GRPC\n/);
    assert.match(list, /n1 +7000000000001 +yes +a:1 +http:\/\/a:2 +http:\/\/a:3\n/);
    assert.match(list, /n2 +7000000000001 +yes +a:1 +http:\/\/a:2 +-\n/);
    const leader = (await run(["leader", "show", "-o", "json"], [member.endpoint])).io.output;
    assert.deepEqual(JSON.parse(leader), { leader: n1 });
  });

  test("members are named by id or name", async () => {
    const member = await fake(() => ({ status: 200, body: { leader: n1 } }));
    await run(["member", "promote", "n 2"], [member.endpoint]);
    await run(["member", "remove", "17"], [member.endpoint]);
    await run(["leader", "transfer", "n2"], [member.endpoint]);
    assert.deepEqual(
      member.seen.map((request) => `${request.method} ${request.path}`),
      ["POST /v1/members/n%202/promote", "DELETE /v1/members/17", "POST /v1/leader"],
    );
    assert.equal(new TextDecoder().decode(member.seen[2]?.body), '{"member":"n2"}');
  });

  test("an endpoint that is something else is told as such", async () => {
    const member = await fake(() => ({ status: 200, body: { hello: 1 } }));
    const { exitCode, io } = await run(["status"], [member.endpoint]);
    assert.equal(exitCode, 1);
    assert.match(io.errors, /something this version does not understand/);
  });
});

describe("wrong usage is one sentence and exit code 2", () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["puut", "--help"], /There is no command "puut"; did you mean put\?/],
    [["del", "", "--prefix"], /prefix is empty.*--all/],
    [["del"], /The key is missing/],
    [["del", ""], /The key is empty; give one, or --all/],
    [["put", "", "x"], /The key is empty/],
    [["get", "", "--hex"], /The key is empty/],
    [["put", "a", "b\uFFFD"], /Argument 3 is not valid UTF-8/],
    [
      ["get", "k", "--consistency", "linearizable", "--max-stale-ms", "5"],
      /--max-stale-ms is for serializable/,
    ],
    [["puut"], /There is no command "puut"; did you mean put\?/],
    [["xyzzy"], /There is no command "xyzzy"; see coracle --help\./],
    [["help", "xyzzy"], /There is no command "xyzzy"; see coracle --help\./],
    [["help", "member", "xyzzy"], /There is no command "member xyzzy"; see coracle member --help\./],
    [["member", "xyzzy", "--help"], /There is no command "member xyzzy"; see coracle member --help\./],
    [["put", "--prefx", "k"], /There is no option --prefx; did you mean --prev\?/],
    [["del", "k", "--prefx"], /did you mean --prefix\?/],
    [["get"], /The argument <key> is missing; see coracle get --help\./],
    [["get", "k", "-o", "xml"], /--output is xml, but it must be json or table\./],
    [["get", "k", "--timeout", "soon"], /--timeout is soon, but it must be a time/],
    [["get", "k", "--endpoints", "a,,b"], /--endpoints is a,,b, but "" is no endpoint/],
    [["get", "k", "--endpoints", "2379"], /"2379" is no endpoint but a port alone; write 127\.0\.0\.1:2379/],
    [["get", "k", "--max-stale-ms", "-1"], /--max-stale-ms is -1, but it must be a whole number from 0\./],
    [["get", "zz", "--hex"], /"zz" is no hexadecimal/],
    [["put", "k", "@nowhere"], /The file "nowhere" cannot be read/],
    [["put", "k", "v", "--create-only", "--if-match", "1"], /--create-only contradicts/],
    [["del", "k", "--prefix", "--if-match", "1"], /A condition is about one key/],
    [["list", "p", "--start", "a"], /A prefix contradicts --start/],
    [["member", "lst"], /There is no command "member lst"; did you mean list\?/],
    [["serve", "--election-ms", "60"], /at least 5 times/],
    [["dev", "--members", "2"], /--members is 2, but it must be 1, 3 or 5\./],
  ];
  for (const [args, sentence] of cases) {
    test(args.join(" "), async () => {
      const { exitCode, io } = await run(args, ["127.0.0.1:9"]);
      assert.equal(exitCode, 2, io.errors);
      assert.match(io.errors, sentence);
      assert.match(io.errors, /^coracle: [^\n]+[.?)]\n$/);
      assert.equal(io.output, "");
    });
  }
});

describe("help", () => {
  const commands = [
    ...[
      "serve",
      "dev",
      "put",
      "get",
      "del",
      "list",
      "txn",
      "watch",
      "lock",
      "elect",
      "compact",
      "status",
      "leave",
      "version",
      "completion",
    ].map((name) => [name]),
    ...["list", "remove", "promote"].map((name) => ["member", name]),
    ...["show", "transfer"].map((name) => ["leader", name]),
    ...["grant", "revoke", "keep-alive", "ttl", "list"].map((name) => ["lease", name]),
    ["member"],
    ["leader"],
    ["lease"],
    [],
  ];
  for (const command of commands) {
    test(`coracle ${command.join(" ")} --help has an example`, async () => {
      const { exitCode, io } = await run([...command, "--help"]);
      assert.equal(exitCode, 0);
      assert.match(io.output, /Examples?:\n {2}(coracle|source <\(coracle)/);
      const asked = await run(["help", ...command]);
      assert.deepEqual([asked.exitCode, asked.io.output], [0, io.output]);
    });
  }

  for (const words of [
    ["del", "--"],
    ["lock", "n", "--", "true"],
    ["put", "--lease"],
    ["member", "remove", "--"],
  ])
    test(`coracle help ${words.join(" ")} shows help, and does nothing`, async () => {
      const { exitCode, io } = await run(["help", ...words]);
      assert.equal(exitCode, 0);
      assert.match(io.output, /^Usage: coracle (del|lock|put|member remove) /);
    });
});

test("completion knows the commands and their options", async () => {
  const printed: string[] = [];
  const log = console.log;
  console.log = (...parts: unknown[]) => void printed.push(parts.join(" "));
  try {
    await run(["completion", "zsh"]);
    await run(["complete", "--", "member", ""]);
    await run(["complete", "--", "put", "k", "--cre"]);
  } finally {
    console.log = log;
  }
  const text = printed.join("\n");
  assert.match(text, /compdef _coracle coracle/);
  assert.match(text, /promote\t/);
  assert.match(text, /--create-only\t/);
});

test("the completion of bash may be sourced twice, and completes", async () => {
  const { io } = await run(["completion", "bash"]);
  const script = `${io.output}
${io.output}
coracle() { printf 'promote\\tMake a learner a voter.\\nremove\\tRemove.\\n:4\\n'; }
COMP_WORDS=(coracle member p) COMP_CWORD=2
__coracle_complete
echo "\${COMPREPLY[@]}"`;
  const shell = spawnSync("bash", ["-c", script], { encoding: "utf8" });
  assert.deepEqual([shell.status, shell.stdout, shell.stderr], [0, "promote\n", ""]);
});
