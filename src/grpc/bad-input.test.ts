import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { create, type DescMethod, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { FakeService } from "../api/fake-service.test-support.ts";
import { Auth } from "../etcd/gen/auth_pb.ts";
import { Cluster } from "../etcd/gen/cluster_pb.ts";
import { Election } from "../etcd/gen/election_pb.ts";
import { KV } from "../etcd/gen/kv_pb.ts";
import { Lease } from "../etcd/gen/lease_pb.ts";
import { Lock } from "../etcd/gen/lock_pb.ts";
import { Maintenance } from "../etcd/gen/maintenance_pb.ts";
import { Watch } from "../etcd/gen/watch_pb.ts";
import { TestClient } from "./client.test-support.ts";
import { GrpcServer } from "./server.ts";

const receiveBytesMax = 2_097_152;
const services = [KV, Watch, Lease, Cluster, Maintenance, Auth, Lock, Election];
const methods: readonly DescMethod[] = services.flatMap((service) => service.methods);
const {
  INVALID_ARGUMENT,
  NOT_FOUND,
  FAILED_PRECONDITION,
  OUT_OF_RANGE,
  UNIMPLEMENTED,
  INTERNAL,
  RESOURCE_EXHAUSTED,
  UNKNOWN,
  OK,
} = grpc.status;

const bytes = (text: string) => new TextEncoder().encode(text);
const put = (key: string) => ({ request: { case: "requestPut" as const, value: { key: bytes(key) } } });
const tooMany = Array.from({ length: 400 }, (_, i) => put(`k${i}`));
const leader = { name: bytes("e"), key: bytes("e/1"), rev: 1n, lease: 1n };

type Row = readonly [request: Record<string, unknown>, code: grpc.status, text: RegExp];

/**
 * By method: requests that are wrong, and what they are told; OK where every request is taken. What only
 * the state can tell, the comparison with etcd tries. The recipes (locks, elections) end as UNKNOWN in etcd too.
 */
const table: Readonly<Record<string, readonly Row[]>> = {
  "KV/Range": [
    [{}, INVALID_ARGUMENT, /^etcdserver: key is not provided$/],
    [{ key: bytes("a"), sortTarget: 9, sortOrder: 1 }, INVALID_ARGUMENT, /^etcdserver: invalid sort option$/],
    [
      { key: bytes("a"), revision: 1n << 40n },
      OUT_OF_RANGE,
      /^etcdserver: mvcc: required revision is a future/,
    ],
  ],
  "KV/Put": [
    [{}, INVALID_ARGUMENT, /^etcdserver: key is not provided$/],
    [
      { key: bytes("a"), value: bytes("v"), ignoreValue: true },
      INVALID_ARGUMENT,
      /^etcdserver: value is provided$/,
    ],
    [{ key: bytes("a"), lease: 1n, ignoreLease: true }, INVALID_ARGUMENT, /^etcdserver: lease is provided$/],
    [{ key: new Uint8Array(40_000) }, INVALID_ARGUMENT, /^etcdserver: request is too large$/],
    [
      { key: bytes("a"), value: new Uint8Array(1_600_000) },
      INVALID_ARGUMENT,
      /^etcdserver: request is too large$/,
    ],
  ],
  "KV/DeleteRange": [[{}, INVALID_ARGUMENT, /^etcdserver: key is not provided$/]],
  "KV/Txn": [
    [{ success: tooMany }, INVALID_ARGUMENT, /^etcdserver: too many operations in txn request$/],
    [{ success: [put("a"), put("a")] }, INVALID_ARGUMENT, /^etcdserver: duplicate key given in txn request$/],
    [{ success: [{}] }, INVALID_ARGUMENT, /^etcdserver: key not found$/],
    [{ compare: [{}] }, INVALID_ARGUMENT, /^etcdserver: key is not provided$/],
  ],
  "KV/Compact": [],
  "Watch/Watch": [],
  "Lease/LeaseGrant": [[{ TTL: 9_000_000_001n }, OUT_OF_RANGE, /^etcdserver: too large lease TTL$/]],
  "Lease/LeaseRevoke": [[{ ID: 77n }, NOT_FOUND, /^etcdserver: requested lease not found$/]],
  "Lease/LeaseKeepAlive": [],
  "Lease/LeaseTimeToLive": [[{ ID: 77n }, OK, /^$/]],
  "Lease/LeaseLeases": [[{}, OK, /^$/]],
  "Cluster/MemberAdd": [
    [{}, INVALID_ARGUMENT, /^etcdserver: given member URLs are invalid$/],
    [{ peerURLs: ["x"] }, INVALID_ARGUMENT, /^etcdserver: given member URLs are invalid$/],
    [{ peerURLs: ["http://a:1"] }, UNIMPLEMENTED, /--join/],
  ],
  "Cluster/MemberRemove": [[{ ID: 99n }, NOT_FOUND, /^etcdserver: member not found$/]],
  "Cluster/MemberUpdate": [
    [{ ID: 1n }, INVALID_ARGUMENT, /^etcdserver: given member URLs are invalid$/],
    [{ ID: 99n, peerURLs: ["http://a:1"] }, NOT_FOUND, /^etcdserver: member not found$/],
    [{ ID: 1n, peerURLs: ["http://a:1"] }, UNIMPLEMENTED, /--advertise-peer/],
  ],
  "Cluster/MemberList": [[{}, OK, /^$/]],
  "Cluster/MemberPromote": [
    [{ ID: 99n }, NOT_FOUND, /^etcdserver: member not found$/],
    [{ ID: 1n }, FAILED_PRECONDITION, /^etcdserver: can only promote a learner member$/],
  ],
  "Maintenance/Alarm": [[{ action: 9, alarm: 9 }, OK, /^$/]],
  "Maintenance/Status": [],
  "Maintenance/Defragment": [[{}, OK, /^$/]],
  "Maintenance/Hash": [],
  "Maintenance/HashKV": [],
  "Maintenance/Snapshot": [],
  "Maintenance/MoveLeader": [
    [{ targetID: 99n }, FAILED_PRECONDITION, /^etcdserver: (bad leader transferee|not leader)$/],
  ],
  "Maintenance/Downgrade": [[{}, UNIMPLEMENTED, /install the older release/]],
  "Auth/AuthStatus": [[{}, OK, /^$/]],
  "Lock/Lock": [[{ name: bytes("l"), lease: 77n }, UNKNOWN, /^etcdserver: requested lease not found$/]],
  "Lock/Unlock": [[{}, UNKNOWN, /^etcdserver: key is not provided$/]],
  "Election/Campaign": [
    [{ name: bytes("e"), lease: 77n }, UNKNOWN, /^etcdserver: requested lease not found$/],
  ],
  "Election/Proclaim": [
    [{}, UNKNOWN, /^"leader" field must be provided$/],
    [{ leader }, UNKNOWN, /^election: not leader$/],
  ],
  "Election/Leader": [[{ name: bytes("nobody") }, UNKNOWN, /^election: no leader$/]],
  "Election/Observe": [],
  "Election/Resign": [[{}, UNKNOWN, /^"leader" field must be provided$/]],
};

function rowsOf(method: DescMethod): readonly Row[] | undefined {
  const service = method.parent.name;
  const rows = table[`${service}/${method.name}`];
  return (
    rows ??
    (service === "Auth"
      ? [[{}, FAILED_PRECONDITION, /^etcdserver: authentication is not enabled$/]]
      : undefined)
  );
}

let server: GrpcServer;
let client: TestClient;
before(async () => {
  server = new GrpcServer({ host: "127.0.0.1", port: 0, receiveBytesMax });
  await server.listen();
  server.serve({ etcd: (create) => create(new FakeService()), ready: () => true });
  client = new TestClient(server.port);
});
after(async () => {
  client.close();
  await server.stop(0);
});

/** How a call with these bytes ends, whichever kind it is: a stream takes them as its only request. */
function endOf(method: DescMethod, body: Uint8Array): Promise<grpc.StatusObject> {
  const path = `/${method.parent.typeName}/${method.name}`;
  const call = client.client.makeBidiStreamRequest<Uint8Array, Buffer>(
    path,
    (message) => Buffer.from(message),
    (answer) => answer,
    { deadline: Date.now() + 20_000 },
  );
  const status = new Promise<grpc.StatusObject>((resolve) => call.once("status", resolve));
  call.on("error", () => {});
  call.resume();
  call.write(body);
  call.end();
  return status;
}

describe("every method, given", () => {
  for (const method of methods) {
    test(`${method.parent.name}/${method.name}: bytes that are no message, and too many of them`, async () => {
      const malformed = await endOf(method, Uint8Array.of(0xff, 0xff, 0xff));
      assert.equal(malformed.code, INTERNAL, malformed.details);
      assert.match(malformed.details, /^grpc: error unmarshalling request: /);
      const large = await endOf(method, new Uint8Array(receiveBytesMax + 1));
      assert.equal(large.code, RESOURCE_EXHAUSTED, large.details);
      assert.match(large.details, /^grpc: received message larger than max \(2097153 vs\. 2097152\)$/);
    });

    test(`${method.parent.name}/${method.name}: a request that is wrong`, async () => {
      const rows = rowsOf(method);
      assert.ok(rows !== undefined, "the table has this method");
      for (const [request, code, text] of rows) {
        const body = toBinary(method.input, create(method.input, request));
        const status = await endOf(method, body);
        const shown = JSON.stringify(request, (_, value) =>
          typeof value === "bigint" ? `${value}` : value,
        ).slice(0, 200);
        assert.equal(status.code, code, `${shown}: ${status.details}`);
        if (code !== OK) assert.match(status.details, text);
      }
    });
  }
});
