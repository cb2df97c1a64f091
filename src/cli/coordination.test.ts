import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { createApp } from "../api/app.ts";
import { type HttpServer, serveHttp } from "../runtime/http.ts";
import type { Child } from "./child.ts";
import { FakeMember, RecordingIo } from "./fake-member.test-support.ts";
import { runProgram } from "./program.ts";
import { TestCluster } from "./test-cluster.test-support.ts";

let cluster: TestCluster;
let server: HttpServer;

before(async () => {
  cluster = new TestCluster();
  await cluster.ready();
  const { service, registry } = cluster.member(1);
  const info = { version: "0", commit: "0", startedAtMs: 0 };
  const app = createApp({ service, info, metrics: registry });
  server = await serveHttp({ host: "127.0.0.1", port: 0, fetch: app.fetch, onError: () => {} });
});
after(async () => {
  await server.stop(0);
  await cluster.close();
});

const open: RecordingIo[] = [];
afterEach(() => {
  for (const io of open.splice(0)) io.interruption.abort();
});

function start(args: readonly string[], endpoints = `127.0.0.1:${server.port}`, input = "") {
  const io = new RecordingIo();
  io.input = new TextEncoder().encode(input);
  open.push(io);
  io.environment.CORACLE_ENDPOINTS = endpoints;
  return { io, ended: runProgram(args, io) };
}

async function run(...args: string[]) {
  const { io, ended } = start(args);
  return { exitCode: await ended, output: io.output, errors: io.errors, io };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const startMs = performance.now();
  while (!condition()) {
    assert.ok(performance.now() - startMs < 20_000, `waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A program that runs until it is ended. */
function endless(): { readonly child: Child; readonly signals: string[] } {
  const { promise, resolve } = Promise.withResolvers<{ code: number }>();
  const signals: string[] = [];
  const kill = (signal: string): void => {
    signals.push(signal);
    resolve({ code: 143 });
  };
  return { child: { exited: promise, kill }, signals };
}

describe("leases", () => {
  test("grant, put with it, ttl, keep-alive, list, revoke", async () => {
    const { output } = await run("lease", "grant", "60");
    const id = output.trim();
    assert.match(id, /^\d+$/);
    assert.equal((await run("put", "leased", "x", "--lease", id)).exitCode, 0);
    assert.match((await run("lease", "ttl", id, "--keys")).output, /^(59|60) s left of 60 s\nleased\n$/);
    assert.equal((await run("lease", "keep-alive", id, "--once")).output, `renewed ${id}, 60 s\n`);
    assert.ok((await run("lease", "list")).output.split("\n").includes(id));
    assert.equal((await run("lease", "revoke", id)).exitCode, 0);
    assert.equal((await run("get", "leased")).exitCode, 5);
    const gone = await run("lease", "ttl", id);
    assert.equal(gone.exitCode, 5);
    assert.match(gone.errors, /^coracle: .*does not exist.*\n$/);
  });

  test("with an id of one's own, in JSON", async () => {
    const granted = await run("lease", "grant", "60", "--id", "-9223372036854775808", "-o", "json");
    assert.deepEqual(JSON.parse(granted.output), { id: "-9223372036854775808", ttl: 60 });
    const again = await run("lease", "grant", "60", "--id", "-9223372036854775808");
    assert.equal(again.exitCode, 1);
  });

  test("kept alive until Ctrl-C", async () => {
    const id = (await run("lease", "grant", "60")).output.trim();
    const { io, ended } = start(["lease", "keep-alive", id]);
    await until(() => io.output !== "", "the first renewal");
    io.interruption.abort();
    assert.equal(await ended, 0);
  });
});

describe("lock", () => {
  test("runs a program with the lock in its environment, and ends with its exit code", async () => {
    const { io, ended } = start(["lock", "l1", "--", "backup", "--fast"]);
    io.onRun = () => ({ exited: Promise.resolve({ code: 7 }), kill: () => {} });
    assert.equal(await ended, 7);
    const [command] = io.ran;
    assert.deepEqual([command?.program, ...(command?.args ?? [])], ["backup", "--fast"]);
    assert.match(command?.environment.CORACLE_LOCK_KEY ?? "", /^l1\/[0-9a-f]+$/);
    assert.match(command?.environment.CORACLE_LOCK_REVISION ?? "", /^\d+$/);
    assert.equal((await run("list", "l1/", "--count-only")).output, "0\n");
  });

  test("excludes others, and goes to the next when it is given up", async () => {
    const first = start(["lock", "l2"]);
    await until(() => first.io.output !== "", "it is held");
    const refused = await run("lock", "l2", "--wait", "0", "--", "true");
    assert.equal(refused.exitCode, 6);
    assert.equal((await run("lock", "l2", "--wait", "50ms", "--", "true")).exitCode, 6);
    const second = start(["lock", "l2", "-o", "json"]);
    first.io.interruption.abort();
    assert.equal(await first.ended, 0);
    await until(() => second.io.output !== "", "the next holds it");
    const held = JSON.parse(second.io.output);
    assert.match(held.key, /^l2\//);
    second.io.interruption.abort();
    assert.equal(await second.ended, 0);
    assert.equal((await run("list", "l2/", "--count-only")).output, "0\n");
  });

  test("ends its program when the lock is lost", async () => {
    const { io, ended } = start(["lock", "l3", "--ttl", "3", "--", "x"]);
    const { child, signals } = endless();
    io.onRun = () => child;
    await until(() => io.ran.length === 1, "it runs");
    await run("lease", "revoke", io.ran[0]?.environment.CORACLE_LOCK_LEASE ?? "");
    assert.equal(await ended, 1);
    assert.deepEqual(signals, ["SIGTERM"]);
    assert.match(io.errors, /lease \d+ is lost/);
  });

  test("passes Ctrl-C on to its program and ends with it", async () => {
    const { io, ended } = start(["lock", "l4", "--", "x"]);
    const { child, signals } = endless();
    io.onRun = () => child;
    await until(() => io.ran.length === 1, "it runs");
    io.interruption.abort();
    assert.equal(await ended, 143);
    assert.deepEqual(signals, ["SIGTERM"]);
  });

  test("interrupted while it waits leaves nothing behind", async () => {
    const first = start(["lock", "l5"]);
    await until(() => first.io.output !== "", "it is held");
    const second = start(["lock", "l5"]);
    const waiting = async () => (await run("list", "l5/", "--count-only")).output === "2\n";
    while (!(await waiting()));
    second.io.interruption.abort();
    assert.equal(await second.ended, 1);
    assert.match(second.io.errors, /Interrupted before it was held/);
    assert.equal((await run("list", "l5/", "--count-only")).output, "1\n");
  });

  test("is acquired at the next endpoint when one is down", async () => {
    const down = await FakeMember.start(() => ({ status: 200, body: {} }));
    const { endpoint } = down;
    down.stop();
    const { io, ended } = start(["lock", "l6", "--", "true"], `${endpoint},127.0.0.1:${server.port}`);
    assert.equal(await ended, 0, io.errors);
  });

  test("of a wrong use says so before anything is sent", async () => {
    for (const args of [
      ["lock"],
      ["lock", ""],
      ["lock", "a", "--wait", "soon"],
      ["lock", "a", "--ttl", "0"],
      ["elect", "e"],
      ["elect", "e", "me", "--listen"],
      ["lease", "grant", "0"],
      ["lease", "revoke", "abc"],
      ["lease", "revoke", "0"],
      ["compact", "x"],
      ["txn", "{"],
      ["watch"],
      ["watch", "a", "--all"],
      ["watch", "", "--prefix"],
      ["watch", "--all", "--exec", "x", "-o", "json"],
      ["put", "a", "b", "--lease", "x"],
    ]) {
      const { exitCode, errors, output } = await run(...args);
      assert.equal(exitCode, 2, `${args.join(" ")}: ${errors}`);
      assert.match(errors, /^coracle: [^\n]+[.?)]\n$/, args.join(" "));
      assert.equal(output, "");
    }
  });
});

describe("elect", () => {
  test("leads, is followed, and hands over", async () => {
    const listener = start(["elect", "e1", "--listen"]);
    const first = start(["elect", "e1", "host-1"]);
    await until(() => first.io.output.includes("host-1"), "the first leads");
    const second = start(["elect", "e1", "host-2"]);
    await until(() => listener.io.output.includes("host-1"), "it is seen");
    first.io.interruption.abort();
    assert.equal(await first.ended, 0);
    await until(() => listener.io.output.includes("host-2"), "the second is seen");
    assert.match(listener.io.output, /^e1\/\w+ {2}host-1\ne1\/\w+ {2}host-2\n$/);
    second.io.interruption.abort();
    await second.ended;
    listener.io.interruption.abort();
    assert.equal(await listener.ended, 0);
  });
});

describe("txn and compact", () => {
  test("run the document that is given", async () => {
    const document = {
      compare: [{ key: "t", version: 0 }],
      success: [{ type: "put", key: "t", value: "1" }],
      failure: [
        { type: "range", key: "t" },
        { type: "txn", success: [{ type: "delete", key: "t", prev: true }] },
      ],
    };
    const first = await run("txn", JSON.stringify(document));
    assert.match(first.output, /^success, revision \d+\nput\n$/);
    const { io, ended } = start(["txn", "-o", "json"], undefined, JSON.stringify(document));
    assert.equal(await ended, 0, io.errors);
    const { succeeded, responses } = JSON.parse(io.output);
    assert.equal(succeeded, false);
    assert.equal(responses[0].keys[0].value, "1");
    assert.equal(responses[1].responses[0].previous[0].value, "1");
  });

  test("compact says what is compacted already", async () => {
    await run("put", "c", "1");
    const { output } = await run("put", "c", "2");
    const revision = output.replace(/\D/g, "");
    const done = await run("compact", revision);
    assert.match(done.output, new RegExp(`^compacted below ${revision}, revision ${revision}\\n$`));
    assert.equal((await run("compact", revision)).exitCode, 1);
  });
});

describe("watch", () => {
  test("prints events from a revision on, and ends after so many", async () => {
    const { output } = await run("put", "w/a", "1");
    const revision = output.replace(/\D/g, "");
    await run("put", "w/b", "2");
    await run("del", "w/a");
    const watched = await run("watch", "w/", "--prefix", "--revision", revision, "--count", "3", "--prev");
    assert.equal(watched.exitCode, 0, watched.errors);
    const lines = watched.output.split("\n").map((line) => line.replace(/^\d+ /, ""));
    assert.deepEqual(lines, [" put     w/a  1", " put     w/b  2", " delete  w/a  (was 1)", ""]);
    const json = await run(
      "watch",
      "w/a",
      "--revision",
      revision,
      "--only",
      "put",
      "--count",
      "1",
      "-o",
      "json",
    );
    const { type, key, value, version } = JSON.parse(json.output);
    assert.deepEqual({ type, key, value, version }, { type: "put", key: "w/a", value: "1", version: 1 });
  });

  test("runs a command for each event, one after the other, and goes on when it fails", async () => {
    const { output } = await run("put", "x/a", "value");
    await run("del", "x/a");
    const from = output.replace(/\D/g, "");
    const { io, ended } = start(["watch", "x/a", "--revision", from, "--count", "2", "--exec", "hook"]);
    io.onRun = () => ({ exited: Promise.resolve({ code: 3 }), kill: () => {} });
    assert.equal(await ended, 0);
    assert.equal(io.output, "");
    const [put, del] = io.ran;
    assert.deepEqual(put?.args, ["-c", "hook"]);
    assert.equal(new TextDecoder().decode(put?.input), "value");
    const {
      CORACLE_WATCH_TYPE: type,
      CORACLE_WATCH_KEY: key,
      CORACLE_WATCH_VALUE: value,
    } = put?.environment ?? {};
    assert.deepEqual({ type, key, value }, { type: "put", key: "x/a", value: "value" });
    assert.equal(put?.environment.CORACLE_WATCH_REVISION, from);
    assert.equal(del?.environment.CORACLE_WATCH_TYPE, "delete");
    assert.match(io.errors, /the command failed at revision \d+: it ended with code 3/);
  });

  test("goes on at the next endpoint behind the last revision seen", async () => {
    const event = (revision: number) =>
      `${JSON.stringify({
        type: "events",
        revision,
        events: [{ type: "put", key: "k", key_base64: "aw==", value_base64: "", mod_revision: revision }],
      })}\n`;
    const answers = [
      `{"type":"created","revision":4}\n${event(7)}{"type":"book`,
      `{"type":"bookmark","revision":9}\n{"type":"error","code":"shutting_down","detail":"Stopping."}\n`,
      `${event(10)}`,
    ];
    const members = await Promise.all(
      answers.map((text) => FakeMember.start(() => ({ status: 200, body: new TextEncoder().encode(text) }))),
    );
    const endpoints = members.map(({ endpoint }) => endpoint).join(",");
    const { io, ended } = start(["watch", "k", "--count", "2"], endpoints);
    assert.equal(await ended, 0, io.errors);
    const revisions = members.map(({ seen }) => /revision=(\d+)/.exec(seen[0]?.path ?? "")?.[1]);
    assert.deepEqual(revisions, [undefined, "8", "10"]);
    assert.equal(io.output, "7  put     k  \n10  put     k  \n");
    assert.match(io.errors, /going on at the next endpoint/);
    for (const member of members) member.stop();
  });

  test("of a compacted revision is refused", async () => {
    await run("put", "y", "1");
    const { output } = await run("put", "y", "2");
    await run("compact", output.replace(/\D/g, ""));
    const { exitCode, errors } = await run("watch", "y", "--revision", "1");
    assert.equal(exitCode, 1);
    assert.match(errors, /Revision 1 has been compacted/);
  });

  test("without a member that answers ends with 3", async () => {
    const down = await FakeMember.start(() => ({ status: 200, body: {} }));
    const { endpoint } = down;
    down.stop();
    const { io, ended } = start(["watch", "k", "--timeout", "300ms"], endpoint);
    assert.equal(await ended, 3);
    assert.match(io.errors, /No endpoint could be reached: .*nothing accepts connections there/);
  });
});
