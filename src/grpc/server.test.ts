import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { afterEach, describe, test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { FakeService } from "../api/fake-service.test-support.ts";
import { CoracleError } from "../base/errors.ts";
import { KV } from "../etcd/gen/kv_pb.ts";
import { Lock } from "../etcd/gen/lock_pb.ts";
import { Maintenance } from "../etcd/gen/maintenance_pb.ts";
import { Watch, WatchResponseSchema } from "../etcd/gen/watch_pb.ts";
import { createEtcdServices } from "../etcd/services.ts";
import type { EtcdContext, EtcdServices } from "../etcd/types.ts";
import { endOf, TestClient } from "./client.test-support.ts";
import { Health, HealthCheckResponse_ServingStatus } from "./gen/health_pb.ts";
import { ServerReflection } from "./gen/reflection-v1_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "./gen/reflection-v1alpha_pb.ts";
import { GrpcServer } from "./server.ts";

const receiveBytesMax = 2_097_152;
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function listening(): Promise<{ server: GrpcServer; client: TestClient }> {
  const server = new GrpcServer({ host: "127.0.0.1", port: 0, receiveBytesMax });
  await server.listen();
  ends.push(() => server.stop(0));
  const client = new TestClient(server.port);
  ends.push(() => client.close());
  return { server, client };
}

async function serving(change: (services: EtcdServices) => Partial<EtcdServices> = () => ({})) {
  const { server, client } = await listening();
  const service = new FakeService();
  const services = createEtcdServices(service);
  const health = { ready: true };
  server.serve({ etcd: () => ({ ...services, ...change(services) }), ready: () => health.ready });
  return { server, client, service, health };
}

const fails = (code: grpc.status, details: RegExp) => (error: unknown) => {
  const { code: got, details: text } = error as grpc.ServiceError;
  assert.deepEqual([got, details.test(text)], [code, true], `${got}: ${text}`);
  return true;
};
const bytes = (text: string) => new TextEncoder().encode(text);

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < deadlineMs, "it did not come about within 10 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A request without an end, as the first bytes of a connection. */
function rawRequest(path: string): Buffer {
  const literal = (index: number, text: string) =>
    Buffer.from([0x40 + index, text.length, ...Buffer.from(text)]);
  const [pathIndex, authorityIndex, contentTypeIndex] = [4, 1, 31];
  const block = Buffer.concat([
    Buffer.of(0x83, 0x86),
    literal(pathIndex, path),
    literal(authorityIndex, "a:1"),
    literal(contentTypeIndex, "application/grpc"),
  ]);
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const header = Buffer.from([0, 0, block.length, 1, 4, 0, 0, 0, 1]);
  return Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings, header, block]);
}

/** A handler that goes on until it is told to end, and tells that it was. */
function endless() {
  const seen = { begun: 0, ended: 0 };
  const wait = (context: EtcdContext): Promise<void> =>
    new Promise((resolve) => {
      seen.begun++;
      const end = () => {
        seen.ended++;
        resolve();
      };
      if (context.signal.aborted) end();
      else context.signal.addEventListener("abort", end);
    });
  return { seen, wait };
}

describe("calls", () => {
  test("reach the handlers, which answer by message or by status", async () => {
    const { client, service } = await serving();
    const put = await client.unary(KV.method.put, { key: bytes("a"), value: bytes("1") });
    assert.equal(put.header?.revision, BigInt(service.revision));
    const range = await client.unary(KV.method.range, { key: bytes("a") });
    assert.deepEqual(range.kvs[0]?.value, bytes("1"));
    await assert.rejects(
      client.unary(KV.method.put, {}),
      fails(grpc.status.INVALID_ARGUMENT, /^etcdserver: key is not provided$/),
    );
    service.failWith = new CoracleError("no_leader", "There is no leader now.");
    await assert.rejects(
      client.unary(KV.method.range, { key: bytes("a") }),
      fails(grpc.status.UNAVAILABLE, /^etcdserver: no leader$/),
    );
  });

  test("a bug is told as no more than that", async () => {
    const { client, service } = await serving();
    service.failWith = new TypeError("secret is undefined");
    await assert.rejects(
      client.unary(KV.method.range, { key: bytes("a") }),
      fails(grpc.status.UNKNOWN, /^etcdserver: internal error$/),
    );
  });

  test("are turned away, to be sent again, until the member takes part in its cluster", async () => {
    const { client } = await listening();
    await assert.rejects(
      client.unary(KV.method.range, { key: bytes("a") }),
      fails(grpc.status.UNAVAILABLE, /starting/),
    );
    const watch = client.stream(Watch.method.watch);
    assert.equal((await endOf(watch)).code, grpc.status.UNAVAILABLE);
  });

  test("a deadline ends the call on both sides", async () => {
    const { seen, wait } = endless();
    const { client } = await serving(({ kv }) => ({
      kv: {
        ...kv,
        range: async (request, context) => {
          await wait(context);
          return kv.range(request, context);
        },
      },
    }));
    await assert.rejects(
      client.unary(KV.method.range, { key: bytes("a") }, { deadline: Date.now() + 100 }),
      fails(grpc.status.DEADLINE_EXCEEDED, /./),
    );
    await until(() => seen.ended === 1);
  });
});

describe("what is not right", () => {
  test("a request over the limit is refused in etcd's words, one below it is not", async () => {
    const { client } = await serving();
    const path = "/etcdserverpb.KV/Range";
    // A field of length 3 in front makes it a request for the key "abc"; then fields that are not known.
    const unknown = (size: number) => {
      const body = Buffer.alloc(size, 0);
      body.set([0x0a, 3, 97, 98, 99]);
      // Field 1000, length-delimited, of the rest.
      const rest = size - 5 - 6;
      body.set(
        [0xc2, 0x3e, (rest % 128) | 128, ((rest >> 7) % 128) | 128, ((rest >> 14) % 128) | 128, rest >> 21],
        5,
      );
      return body;
    };
    assert.ok((await client.bytes(path, unknown(receiveBytesMax))).length > 0);
    await assert.rejects(
      client.bytes(path, unknown(receiveBytesMax + 1)),
      fails(
        grpc.status.RESOURCE_EXHAUSTED,
        /^grpc: received message larger than max \(2097153 vs\. 2097152\)$/,
      ),
    );
    await assert.rejects(
      client.bytes(path, Buffer.alloc(3 * receiveBytesMax)),
      fails(grpc.status.RESOURCE_EXHAUSTED, /larger than max/),
    );
  });

  test("bytes that are no message, and methods that do not exist", async () => {
    const { client } = await serving();
    await assert.rejects(
      client.bytes("/etcdserverpb.KV/Put", bytes("\u00ff\u00ff\u00ff")),
      fails(grpc.status.INTERNAL, /^grpc: error unmarshalling request: /),
    );
    await assert.rejects(
      client.bytes("/etcdserverpb.KV/Nothing", bytes("")),
      fails(grpc.status.UNIMPLEMENTED, /./),
    );
    const watch = client.client.makeBidiStreamRequest(
      "/etcdserverpb.Watch/Watch",
      () => Buffer.from("\u00ff\u00ff"),
      (answer) => answer,
    );
    watch.write(0);
    assert.equal((await endOf(watch)).code, grpc.status.INTERNAL);
  });

  test("a client that speaks another protocol is let go, and others are served on", async () => {
    const { server, client } = await serving();
    for (const text of [
      "GET /version HTTP/1.1\r\nHost: x\r\n\r\n",
      "\u0016\u0003\u0001\u0002",
      "x".repeat(70_000),
    ]) {
      const socket = connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.resume();
      socket.end(text);
      await once(socket, "close");
    }
    await client.unary(KV.method.put, { key: bytes("a") });
  });

  test("a port that is taken is told with what to do", async () => {
    const taken = createServer();
    ends.push(() => taken.close());
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const address = taken.address();
    assert.ok(address !== null && typeof address === "object");
    const server = new GrpcServer({ host: "127.0.0.1", port: address.port, receiveBytesMax });
    await assert.rejects(server.listen(), /in use by another process; choose another by --listen-grpc/);
  });
});

describe("streams", () => {
  test("a client that leaves ends its handler", async () => {
    const { seen, wait } = endless();
    const { client } = await serving(() => ({
      watch: {
        async *watch(_requests, context) {
          yield create(WatchResponseSchema, { created: true });
          await wait(context);
        },
      },
    }));
    const watch = client.stream(Watch.method.watch);
    const end = endOf(watch);
    await once(watch, "data");
    watch.cancel();
    assert.equal((await end).code, grpc.status.CANCELLED);
    await until(() => seen.ended === 1);
  });

  test("a client that closes its side gets the rest, and the end", async () => {
    const { client } = await serving(() => ({
      watch: {
        async *watch(requests) {
          let count = 0n;
          for await (const _ of requests) count++;
          yield create(WatchResponseSchema, { watchId: count });
        },
      },
    }));
    const watch = client.stream(Watch.method.watch);
    const answers: bigint[] = [];
    watch.on("data", ({ watchId }) => answers.push(watchId));
    for (let i = 0; i < 100; i++) watch.write({});
    watch.end();
    assert.equal((await endOf(watch)).code, grpc.status.OK);
    assert.deepEqual(answers, [100n]);
  });

  test("a client that does not read holds up its own stream alone", async () => {
    let made = 0;
    const answer = create(WatchResponseSchema, { cancelReason: "x".repeat(10_000) });
    const { server, client } = await serving(() => ({
      watch: {
        async *watch(_requests, { signal }) {
          for (; !signal.aborted; made++) yield answer;
        },
      },
    }));
    // Opens the stream, with HTTP/2's window of 64 KiB, and never gives it more.
    const slow = connect(server.port, "127.0.0.1");
    slow.on("error", () => {});
    ends.push(() => slow.destroy());
    slow.write(rawRequest("/etcdserverpb.Watch/Watch"));
    await until(() => made > 0);
    // It comes to rest, when the window and the buffers are full.
    let before = -1;
    while (before !== made) {
      before = made;
      for (let i = 0; i < 20; i++) await client.unary(KV.method.put, { key: bytes("a"), value: bytes("1") });
    }
    assert.ok(made < 200, `${made} answers of 10 kB were made for nobody`);
  });

  test("a long download arrives whole", async () => {
    const { client } = await serving(({ maintenance }) => ({
      maintenance: {
        ...maintenance,
        async *snapshot() {
          for (let i = 0; i < 64; i++) {
            yield {
              $typeName: "etcdserverpb.SnapshotResponse",
              remainingBytes: BigInt(63 - i),
              blob: new Uint8Array(256 * 1024),
              version: "",
            };
          }
        },
      },
    }));
    let size = 0;
    const download = client.download(Maintenance.method.snapshot, {});
    download.on("data", ({ blob }) => {
      size += blob.length;
    });
    assert.equal((await endOf(download)).code, grpc.status.OK);
    assert.equal(size, 64 * 256 * 1024);
  });
});

test("a stop ends streams, so that clients go elsewhere, and answers what is in flight", async () => {
  const { seen, wait } = endless();
  const { server, client, service } = await serving(() => ({
    watch: {
      async *watch(_requests, context) {
        yield create(WatchResponseSchema, { created: true });
        await wait(context);
      },
    },
  }));
  const watch = client.stream(Watch.method.watch);
  const end = endOf(watch);
  await once(watch, "data");
  const gate = Promise.withResolvers<void>();
  const waiting = new Promise<void>((resolve) => {
    service.onWaiting = resolve;
  });
  service.gate = gate.promise;
  const put = client.unary(KV.method.put, { key: bytes("a"), value: bytes("1") });
  await waiting;
  const stopped = server.stop(10_000);
  const { code, details } = await end;
  assert.deepEqual([code, details], [grpc.status.UNAVAILABLE, "etcdserver: server stopped"]);
  assert.equal(seen.ended, 1);
  gate.resolve();
  assert.ok((await put).header !== undefined);
  await stopped;
  const late = new TestClient(server.port);
  ends.push(() => late.close());
  await assert.rejects(late.unary(KV.method.range, { key: bytes("a") }), fails(grpc.status.UNAVAILABLE, /./));
});

test("a stop ends calls that wait for a lock", async () => {
  const { server, client } = await serving();
  const lock = () => client.unary(Lock.method.lock, { name: bytes("l") });
  await lock();
  const second = lock();
  await until(() => server.waiting.size === 1);
  const refused = assert.rejects(second, fails(grpc.status.UNAVAILABLE, /^etcdserver: server stopped$/));
  await server.stop(10_000);
  await refused;
  assert.equal(server.waiting.size, 0);
});

test("the standard health service follows readiness", async () => {
  const { client, health } = await serving();
  const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;
  assert.equal((await client.unary(Health.method.check, { service: "" })).status, SERVING);
  assert.equal((await client.unary(Health.method.check, { service: "etcdserverpb.KV" })).status, SERVING);
  await assert.rejects(
    client.unary(Health.method.check, { service: "nobody" }),
    fails(grpc.status.NOT_FOUND, /unknown service/),
  );
  const told: HealthCheckResponse_ServingStatus[] = [];
  const watch = client.download(Health.method.watch, { service: "" });
  watch.on("data", ({ status }) => told.push(status));
  watch.on("error", () => {});
  await until(() => told.length === 1);
  health.ready = false;
  await until(() => told.length === 2);
  assert.deepEqual(told, [SERVING, NOT_SERVING]);
  watch.cancel();
  const unknown = client.download(Health.method.watch, { service: "nobody" });
  unknown.on("error", () => {});
  assert.equal((await once(unknown, "data"))[0].status, SERVICE_UNKNOWN);
  unknown.cancel();
});

type Reflection = typeof ServerReflection.method.serverReflectionInfo;
const reflections: readonly (readonly [string, Reflection])[] = [
  ["v1", ServerReflection.method.serverReflectionInfo],
  // The same fields and numbers under another name of the package.
  ["v1alpha", ServerReflectionAlpha.method.serverReflectionInfo as unknown as Reflection],
];
for (const [name, method] of reflections) {
  test(`reflection ${name} tells the schema to clients that have none`, async () => {
    const { client } = await serving();
    const stream = client.stream(method);
    stream.on("error", () => {});
    const ask = async (messageRequest: Parameters<typeof stream.write>[0]) => {
      stream.write(messageRequest);
      return (await once(stream, "data"))[0].messageResponse;
    };
    const list = await ask({ messageRequest: { case: "listServices", value: "" } });
    const names = list.value.service.map((item: { name: string }) => item.name);
    assert.ok(names.includes("etcdserverpb.KV") && names.includes("grpc.health.v1.Health"));
    for (const symbol of [
      "etcdserverpb.KV",
      "etcdserverpb.KV.Put",
      "mvccpb.KeyValue",
      "v3lockpb.LockRequest.lease",
    ]) {
      const found = await ask({ messageRequest: { case: "fileContainingSymbol", value: symbol } });
      assert.equal(found.case, "fileDescriptorResponse", symbol);
      const files = found.value.fileDescriptorProto.map((file: Uint8Array) =>
        fromBinary(FileDescriptorProtoSchema, file),
      );
      assert.ok(files.some((file: { package: string }) => symbol.startsWith(file.package)));
    }
    assert.equal(
      (await ask({ messageRequest: { case: "fileByFilename", value: "kv.proto" } })).case,
      "fileDescriptorResponse",
    );
    assert.equal(
      (await ask({ messageRequest: { case: "fileByFilename", value: "x" } })).value.errorCode,
      grpc.status.NOT_FOUND,
    );
    stream.end();
  });
}
