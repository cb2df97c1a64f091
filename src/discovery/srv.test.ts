import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import dgram from "node:dgram";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import { resolveSrv } from "./srv.ts";

const dnsmasq = ["/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"].find((path) => existsSync(path));
if (dnsmasq === undefined) console.log("skipped: SRV records; Debian's dnsmasq-base is not installed");

async function freeUdpPort(): Promise<number> {
  const socket = dgram.createSocket("udp4");
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.bind(0, "127.0.0.1", () => resolve());
  await promise;
  const { port } = socket.address();
  const closed = Promise.withResolvers<void>();
  socket.close(() => closed.resolve());
  await closed.promise;
  return port;
}

async function withServer(records: readonly string[], body: (dnsServer: string) => Promise<void>) {
  const port = await freeUdpPort();
  const options = [
    "--keep-in-foreground",
    "--no-resolv",
    "--no-hosts",
    "--conf-file=/dev/null",
    "--pid-file=",
    "--log-facility=-",
    "--local=/coracle.test/",
    "--listen-address=127.0.0.1",
    "--bind-interfaces",
    `--port=${port}`,
    ...records,
  ];
  const server: ChildProcess = spawn(dnsmasq ?? "", options, { stdio: ["ignore", "ignore", "pipe"] });
  const started = Promise.withResolvers<void>();
  let output = "";
  server.stderr?.on("data", (text: Buffer) => {
    output += String(text);
    if (output.includes("started")) started.resolve();
  });
  const exited = Promise.withResolvers<void>();
  server.on("exit", () => {
    started.reject(new Error(output));
    exited.resolve();
  });
  try {
    await started.promise;
    await body(`127.0.0.1:${port}`);
  } finally {
    started.promise.catch(() => undefined);
    server.kill();
    await exited.promise;
  }
}

describe("SRV records", { skip: dnsmasq === undefined }, () => {
  test("give the members' addresses, in order, without doubles", () =>
    withServer(
      [
        "--srv-host=_coracle-peer._tcp.coracle.test,b.coracle.test,2480",
        "--srv-host=_coracle-peer._tcp.coracle.test,a.coracle.test,2380",
        "--srv-host=_coracle-peer._tcp.coracle.test,six.coracle.test,2580",
        "--srv-host=_coracle-client._tcp.coracle.test,a.coracle.test,2379",
        "--host-record=a.coracle.test,127.0.0.1",
        "--host-record=b.coracle.test,127.0.0.2",
        "--host-record=six.coracle.test,::1",
      ],
      async (dnsServer) => {
        assert.deepEqual(await resolveSrv({ domain: "coracle.test", dnsServer }), [
          "127.0.0.1:2380",
          "127.0.0.2:2480",
          "[::1]:2580",
        ]);
        assert.deepEqual(await resolveSrv({ service: "coracle-client", domain: "coracle.test", dnsServer }), [
          "127.0.0.1:2379",
        ]);
      },
    ));

  test("that are missing are told by their name", () =>
    withServer([], (dnsServer) =>
      assert.rejects(resolveSrv({ domain: "coracle.test", dnsServer }), {
        code: "config_invalid",
        message: /no SRV records _coracle-peer\._tcp\.coracle\.test/,
      }),
    ));

  test("of a server that does not answer can be asked for later", async () => {
    const port = await freeUdpPort();
    const dnsServer = `127.0.0.1:${port}`;
    await assert.rejects(resolveSrv({ domain: "coracle.test", dnsServer, timeoutMs: 200 }), {
      code: "not_proposed",
    });
  });
});
