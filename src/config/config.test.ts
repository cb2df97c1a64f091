import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as v from "valibot";
import { CoracleError } from "../base/errors.ts";
import { isLoopbackHost, isWildcardHost } from "./address.ts";
import { environmentName, type OptionSpec, serveOptions } from "./options.ts";
import { loadServeConfig, type ServeConfig } from "./serve-config.ts";
import { formatBytes } from "./values.ts";

interface Given {
  flags?: Record<string, unknown>;
  environment?: Record<string, string>;
  files?: Record<string, string>;
}

function load({ flags = {}, environment = {}, files = {} }: Given): ServeConfig {
  const readTextFile = (path: string): string => {
    const content = files[path];
    if (content === undefined) throw new Error("no such file");
    return content;
  };
  const readTokenFile = (path: string): string => readTextFile(path).trim();
  return loadServeConfig({ flags: { name: "n1", ...flags }, environment, readTextFile, readTokenFile });
}

function refusal(given: Given): string {
  try {
    load(given);
  } catch (error) {
    assert.ok(error instanceof CoracleError, String(error));
    assert.equal(error.code, "config_invalid");
    assert.match(error.message, /^\S.*\.$/, "one sentence");
    assert.doesNotMatch(error.message, /undefined|NaN|\[object/);
    return error.message;
  }
  assert.fail("was accepted");
}

describe("defaults", () => {
  test("a lone serve bootstraps on loopback", () => {
    const config = load({});
    assert.equal(config.dataDir, "./n1.coracle");
    assert.deepEqual(config.listenClient, { host: "127.0.0.1", port: 2379 });
    assert.equal(config.advertiseClient, "http://127.0.0.1:2379");
    assert.equal(config.advertisePeer, "127.0.0.1:2380");
    assert.deepEqual(config.listenGrpc, { host: "127.0.0.1", port: 2381 });
    assert.equal(config.advertiseGrpc, "http://127.0.0.1:2381");
    assert.deepEqual(load({ flags: { "listen-grpc": "off" } }).listenGrpc, undefined);
    assert.equal(config.bootstrap, true);
    assert.equal(config.logBytesMax, 256 * 1024 * 1024);
    assert.equal(config.valueBytesMax, 1_572_864);
    assert.equal(config.token, undefined);
    assert.equal(config.logTailEntries, 10_000);
    assert.equal(load({ flags: { "log-entries-max": "500" } }).logTailEntries, 50);
  });

  test("each example is accepted by its own option", () => {
    for (const spec of Object.values<OptionSpec>(serveOptions)) {
      assert.ok(v.is(spec.schema, spec.example), spec.name);
    }
  });

  test("the name comes from the host when it is not given", () => {
    assert.match(loadServeConfig({ flags: {}, environment: {}, readTokenFile: () => "" }).name, /^[\w.-]+$/);
  });
});

describe("precedence", () => {
  const files = {
    "/c.json": JSON.stringify({ "heartbeat-ms": 30, "election-ms": 3000, join: ["a", "b:1"] }),
  };

  test("flags win over environment, environment over the file, the file over defaults", () => {
    const environment = { CORACLE_HEARTBEAT_MS: "40", CORACLE_CONFIG: "/c.json" };
    assert.equal(load({ flags: { "heartbeat-ms": "50" }, environment, files }).heartbeatMs, 50);
    assert.equal(load({ environment, files }).heartbeatMs, 40);
    assert.equal(load({ flags: { config: "/c.json" }, files }).heartbeatMs, 30);
    assert.equal(load({ environment, files }).electionMs, 3000);
    assert.deepEqual(load({ environment, files }).join, ["a:2380", "b:1"]);
    assert.equal(load({}).heartbeatMs, 100);
  });

  test("every option has its variable", () => {
    assert.equal(environmentName("data-dir"), "CORACLE_DATA_DIR");
    const config = load({
      environment: { CORACLE_DATA_DIR: "/d", CORACLE_INSECURE: "true", CORACLE_JOIN: "h,[::1]:5" },
    });
    assert.equal(config.dataDir, "/d");
    assert.equal(config.insecure, true);
    assert.deepEqual(config.join, ["h:2380", "[::1]:5"]);
    assert.equal(config.bootstrap, false);
  });

  test("an empty variable counts as not given", () => {
    assert.equal(load({ environment: { CORACLE_JOIN: "" } }).bootstrap, true);
  });
});

describe("values", () => {
  test("sizes, times, levels and lists", () => {
    const config = load({
      flags: {
        "log-bytes-max": "1.5 GiB",
        "value-bytes-max": "2MiB",
        "autopilot-remove-dead": "2h",
        "compact-keep-age": "1d",
        "log-level": "raft=debug,warn",
        "initial-cluster": ["n1=localhost:1,n2=127.0.0.1:2", "n3=[::1]:3"],
      },
    });
    assert.equal(config.logBytesMax, 1.5 * 1024 ** 3);
    assert.equal(config.valueBytesMax, 2 * 1024 ** 2);
    assert.equal(config.removeDeadAfterMs, 7_200_000);
    assert.equal(config.compactKeepAgeMs, 86_400_000);
    assert.equal("compactKeepAgeMs" in load({ flags: { "compact-keep-age": "off" } }), false);
    assert.deepEqual(config.logLevel, { base: "warning", rooms: { raft: "debug" } });
    assert.deepEqual(
      config.initialCluster.map((member) => member.address),
      ["localhost:1", "127.0.0.1:2", "[::1]:3"],
    );
    assert.equal(config.advertisePeer, "localhost:1");
  });

  test("a variable that is nothing like an option's passes", () => {
    load({ environment: { CORACLE_BIN: "x", CORACLE_PORT: "tcp://10.0.0.1:80", CORACLE_SERVICE_HOST: "h" } });
    load({ environment: { CORACLE_ENDPOINTS: "h", CORACLE_TIMEOUT: "1s", CORACLE_STOP_WITH_STDIN: "1" } });
  });

  test("a token comes from a file or from the environment", () => {
    const token = "0123456789abcdef0123";
    assert.equal(load({ flags: { "token-file": "/t" }, files: { "/t": `${token}\n` } }).token, token);
    assert.equal(load({ environment: { CORACLE_TOKEN: token } }).token, token);
  });

  test("bytes are shown as they are written", () => {
    assert.equal(formatBytes(1_572_864), "1536KiB");
    assert.equal(formatBytes(1000), "1000B");
    assert.equal(formatBytes(2 * 1024 ** 3), "2GiB");
  });
});

describe("refusals name the place, the value and the remedy", () => {
  const cases: readonly (readonly [string, Given, RegExp])[] = [
    [
      "a number too small",
      { flags: { "heartbeat-ms": "5" } },
      /^--heartbeat-ms is 5, but .* from 10 to 60000/,
    ],
    ["no number", { environment: { CORACLE_ELECTION_MS: "fast" } }, /^CORACLE_ELECTION_MS is fast, but/],
    [
      "a wrong type in the file",
      fileWith({ insecure: "yes" }),
      /^"insecure" in \/c.json is yes, but .* true or false/,
    ],
    ["an unknown key", fileWith({ datadir: "x" }), /unknown key "datadir"/],
    ["a file that is no JSON", { flags: { config: "/c.json" }, files: { "/c.json": "{" } }, /is not JSON/],
    [
      "a file that is an array",
      { flags: { config: "/c.json" }, files: { "/c.json": "[]" } },
      /one JSON object/,
    ],
    ["a missing file", { flags: { config: "/c.json" } }, /\/c.json cannot be read/],
    ["election too short", { flags: { "heartbeat-ms": "300" } }, /at least 5 times that: 1500/],
    ["join and bootstrap", { flags: { join: ["a"], bootstrap: true } }, /^--bootstrap and --join contradict/],
    [
      "join and SRV",
      { flags: { join: ["a"], "discovery-srv": "x.y" } },
      /^--join and --discovery-srv contradict/,
    ],
    ["SRV alone", { flags: { "discovery-srv": "x.y" } }, /needs --bootstrap-expect/],
    ["expect alone", { flags: { "bootstrap-expect": "3" } }, /only with --discovery-srv/],
    ["DNS server alone", { flags: { "dns-server": "1.2.3.4" } }, /only with --discovery-srv/],
    ["beyond loopback", { flags: { "listen-client": "10.0.0.1:2379" } }, /add --insecure/],
    [
      "peer beyond loopback",
      { flags: { "listen-peer": "10.0.0.1:2380" } },
      /--listen-peer .* add --insecure/,
    ],
    [
      "wildcard",
      { flags: { "listen-client": "0.0.0.0:1", insecure: true } },
      /--advertise-client http:\/\/HOST/,
    ],
    ["IPv6 wildcard", { flags: { "listen-peer": "[::]:1", insecure: true } }, /--advertise-peer HOST/],
    ["wildcard told", { flags: { "advertise-peer": "0.0.0.0:1" } }, /is no address others can call/],
    ["no port", { flags: { "initial-cluster": ["n1"] } }, /NAME=HOST:PORT/],
    ["port out of range", { flags: { "listen-peer": "h:70000" } }, /a port is a number from 1 to 65535/],
    [
      "a port alone for clients",
      { flags: { "listen-client": "31500" } },
      /^--listen-client is 31500, but .*a port without a host; write 127\.0\.0\.1:31500 \(example/,
    ],
    ["a port alone for peers", { flags: { "listen-peer": "31500" } }, /write 127\.0\.0\.1:31500 /],
    ["a port alone for gRPC", { flags: { "listen-grpc": "31500" } }, /write 127\.0\.0\.1:31500 /],
    [
      "a number that is no port",
      { flags: { "listen-grpc": "70000" } },
      /"70000" is neither a host nor a port/,
    ],
    [
      "a port alone to join",
      { flags: { join: ["a", "2380"] } },
      /^--join is .*"2380" is a port without a host; write HOST:2380 /,
    ],
    ["a port alone in a list", { flags: { "initial-cluster": ["n1=2380"] } }, /write HOST:2380 /],
    ["a URL with a path", { flags: { "advertise-client": "http://h/x" } }, /URL without a path/],
    ["itself missing", { flags: { "initial-cluster": ["n2=127.0.0.1:1"] } }, /does not list this member/],
    ["a name twice", { flags: { "initial-cluster": ["n1=localhost:1,n1=localhost:2"] } }, /names n1 twice/],
    [
      "an address twice",
      { flags: { "initial-cluster": ["n1=localhost:1,n2=localhost:1"] } },
      /localhost:1 twice/,
    ],
    ["other address", { flags: { "initial-cluster": ["n1=a:1"], "advertise-peer": "b:1" } }, /must be equal/],
    ["no token", { flags: { "initial-cluster": ["n1=10.0.0.1:1"] } }, /needs a join token/],
    ["joining itself", { flags: { join: ["127.0.0.1"] } }, /only this member itself/],
    [
      "gRPC at a port that is taken",
      { flags: { "listen-grpc": "127.0.0.1:2379" } },
      /^--listen-client and --listen-grpc are both 127\.0\.0\.1:2379;/,
    ],
    [
      "gRPC beyond loopback",
      { flags: { "listen-grpc": "10.0.0.1" } },
      /--listen-grpc 10\.0\.0\.1:2381 can be reached.*--insecure/,
    ],
    [
      "gRPC on a wildcard",
      { flags: { "listen-grpc": "0.0.0.0:2381", insecure: "true" } },
      /--advertise-grpc http:\/\/HOST:2381/,
    ],
    [
      "gRPC off but told",
      { flags: { "listen-grpc": "off", "advertise-grpc": "http://n1:2381" } },
      /^--advertise-grpc has a meaning only with --listen-grpc/,
    ],
    ["one port for both", { flags: { "listen-peer": "127.0.0.1:2379" } }, /need a port each/],
    [
      "a slip",
      { environment: { CORACLE_LISTEN_CLEINT: "1" } },
      /CLEINT does not exist; CORACLE_LISTEN_CLIENT/,
    ],
    ["a swap", { environment: { CORACLE_JION: "h" } }, /CORACLE_JION does not exist; CORACLE_JOIN does/],
    ["a short token", { environment: { CORACLE_TOKEN: "abc" } }, /at least 16/],
    ["a name with a slash", { flags: { name: "a/b" } }, /letters, digits/],
    ["an unknown level", { flags: { "log-level": "raft=loud" } }, /"loud" is none of the levels/],
    ["a value above frames", { flags: { "value-bytes-max": "1GiB" } }, /from 1KiB to 8MiB/],
    ["an age without a unit", { flags: { "compact-keep-age": "1" } }, /must be off, or a time from/],
    ["a tail above the log", { flags: { "log-tail-entries": "200000" } }, /--log-tail-entries is 200000/],
  ];
  for (const [what, given, sentence] of cases) {
    test(what, () => assert.match(refusal(given), sentence));
  }

  test("a token never shows in an error", () => {
    assert.doesNotMatch(refusal({ environment: { CORACLE_TOKEN: "two words of secret" } }), /secret/);
  });
});

function fileWith(content: unknown): Given {
  return { flags: { config: "/c.json" }, files: { "/c.json": JSON.stringify(content) } };
}

test("hosts that only this machine reaches, and hosts that name none", () => {
  for (const [host, loopback, wildcard] of [
    ["localhost", true, false],
    ["127.8.9.1", true, false],
    ["::1", true, false],
    ["127.evil.example", false, false],
    ["0.0.0.0", false, true],
    ["::", false, true],
    ["10.0.0.1", false, false],
  ] as const) {
    assert.equal(isLoopbackHost(host), loopback, host);
    assert.equal(isWildcardHost(host), wildcard, host);
  }
});
