import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { FakeService } from "../api/fake-service.test-support.ts";
import { present } from "../base/assert.ts";
import { utf8 } from "../base/bytes.ts";
import { CoracleError, errorCodes } from "../base/errors.ts";
import { EtcdError } from "./error.ts";
import { MemberListRequestSchema } from "./gen/cluster_pb.ts";
import { PutRequestSchema, RangeRequestSchema, TxnRequestSchema } from "./gen/kv_pb.ts";
import { LeaseKeepAliveRequestSchema, LeaseTimeToLiveRequestSchema } from "./gen/lease_pb.ts";
import {
  AlarmRequest_AlarmAction,
  AlarmRequestSchema,
  AlarmType,
  MoveLeaderRequestSchema,
  SnapshotRequestSchema,
  StatusRequestSchema,
} from "./gen/maintenance_pb.ts";
import { rangeOperation, txnOperation } from "./kv-requests.ts";
import { etcdErrorOf, recipeErrorOf } from "./refusals.ts";
import { createEtcdServices } from "./services.ts";
import type { EtcdContext } from "./types.ts";

const context: EtcdContext = {
  face: "grpc",
  signal: new AbortController().signal,
  aborted: false,
  requireLeader: false,
};
const key = utf8("k");

function bench() {
  const service = new FakeService();
  return { service, services: createEtcdServices(service) };
}

describe("requests as operations", () => {
  test("what no revision or limit can be is the nearest that could", () => {
    const range = rangeOperation(
      create(RangeRequestSchema, {
        key,
        revision: 2n ** 63n - 1n,
        limit: -5n,
        minModRevision: -(2n ** 63n),
        maxCreateRevision: 9n,
      }),
    );
    assert.deepEqual(range, {
      type: "range",
      key,
      revision: Number.MAX_SAFE_INTEGER,
      limit: 0,
      minModRevision: Number.MIN_SAFE_INTEGER,
      maxCreateRevision: 9,
    });
  });

  test("a target without an order sorts ascending, and an unknown order not at all", () => {
    const sort = (sortTarget: number, sortOrder: number) =>
      rangeOperation(create(RangeRequestSchema, { key, sortTarget, sortOrder })).sort;
    assert.deepEqual(sort(2, 0), { target: "create", descending: false });
    assert.deepEqual(sort(4, 2), { target: "value", descending: true });
    assert.equal(sort(0, 0), undefined);
    assert.equal(sort(3, 9), undefined);
  });

  test("comparisons mean what etcd makes of them", () => {
    const compare = (fields: Record<string, unknown>) => {
      const [only] = txnOperation(
        create(TxnRequestSchema, { compare: [{ key, ...fields }] as never }),
      ).compare;
      const { key: _, ...rest } = present(only, "the comparison");
      return rest;
    };
    const mod = { case: "modRevision", value: 7n };
    assert.deepEqual(compare({ target: 2, targetUnion: mod }), {
      target: "mod",
      result: "equal",
      operand: 7,
    });
    assert.deepEqual(
      compare({ target: 1, targetUnion: mod, result: 1 }),
      { target: "create", result: "greater", operand: 0 },
      "the operand of another target is none",
    );
    assert.deepEqual(compare({ target: 3, result: 3 }), {
      target: "value",
      result: "not-equal",
      operand: new Uint8Array(0),
    });
    const lease = { case: "lease", value: 2n ** 63n - 1n };
    assert.equal(compare({ target: 4, targetUnion: lease }).operand, 2n ** 63n - 1n);
    const always = { target: "version", result: "greater", operand: -1 };
    const never = { target: "version", result: "less", operand: 0 };
    assert.deepEqual(compare({ target: 9 }), always, "an unknown target compares as equal");
    assert.deepEqual(compare({ target: 9, result: 2 }), never);
    assert.deepEqual(compare({ target: 0, result: 9 }), always, "an unknown result holds");
    assert.deepEqual(compare({ target: 3, result: 9 }), { target: "version", result: "greater", operand: 0 });
  });
});

describe("errors", () => {
  test("every code of coracle has one of etcd's", () => {
    for (const code of errorCodes) {
      const error = etcdErrorOf(new CoracleError(code, "Why."));
      assert.ok(error instanceof EtcdError, code);
    }
    const bug = new TypeError("x");
    assert.equal(etcdErrorOf(bug), bug);
  });

  test("a recipe tells a refusal without its code, and a lack of service with it", () => {
    const code = (error: unknown) => (error instanceof EtcdError ? error.grpcCode : undefined);
    assert.equal(code(recipeErrorOf(new CoracleError("lease_not_found", "Why."))), 2);
    assert.equal(code(recipeErrorOf(new CoracleError("no_leader", "Why."))), 14);
  });

  test("what needs a leader is refused while there is none", async () => {
    const { service, services } = bench();
    service.cluster.leaderId = 0;
    const request = create(PutRequestSchema, { key });
    await services.kv.put(request, context);
    await assert.rejects(services.kv.put(request, { ...context, requireLeader: true }), {
      message: "etcdserver: no leader",
    });
    const stream = services.maintenance.snapshot(create(SnapshotRequestSchema), {
      ...context,
      requireLeader: true,
    });
    await assert.rejects(stream[Symbol.asyncIterator]().next(), { message: "etcdserver: no leader" });
  });
});

describe("answers", () => {
  test("have the store's revision in the header, and inner ones nothing else", async () => {
    const { services } = bench();
    const put = { request: { case: "requestPut", value: { key } } } as const;
    const answer = await services.kv.txn(create(TxnRequestSchema, { success: [put] }), context);
    assert.deepEqual(
      [answer.header?.clusterId, answer.header?.memberId, answer.header?.revision, answer.header?.raftTerm],
      [7_000_000_000_000_000n, 1n, 2n, 2n],
    );
    const inner = answer.responses[0]?.response.value?.header;
    assert.deepEqual([inner?.clusterId, inner?.memberId, inner?.revision, inner?.raftTerm], [0n, 0n, 2n, 0n]);
  });

  test("members have the URLs of the protocol that asks", async () => {
    const { service, services } = bench();
    service.cluster.records = service.cluster.records.map((record) => ({
      ...record,
      grpcUrls: [`http://127.0.0.1:${40_000 + record.id}`],
    }));
    const request = create(MemberListRequestSchema, { linearizable: true });
    const urls = async (face: EtcdContext["face"]) =>
      (await services.cluster.memberList(request, { ...context, face })).members.map(
        ({ clientURLs }) => clientURLs[0],
      );
    assert.deepEqual((await urls("gateway"))[0], "http://127.0.0.1:20001");
    assert.deepEqual((await urls("grpc"))[0], "http://127.0.0.1:40001");
    assert.equal(service.reads.at(-1)?.consistency.mode, "linearizable");
  });

  test("unknown leases are no errors where etcd has none", async () => {
    const { services } = bench();
    const left = await services.lease.leaseTimeToLive(
      create(LeaseTimeToLiveRequestSchema, { ID: 5n }),
      context,
    );
    assert.deepEqual([left.TTL, left.grantedTTL], [-1n, 0n]);
    const requests = async function* () {
      yield create(LeaseKeepAliveRequestSchema, { ID: 5n });
    };
    for await (const answer of services.lease.leaseKeepAlive(requests(), context)) {
      assert.deepEqual([answer.ID, answer.TTL], [5n, 0n]);
    }
  });

  test("a snapshot ends with its SHA-256", async () => {
    const service = new FakeService();
    const sha256 = createHash("sha256").update("first second").digest("hex");
    const pieces = (async function* () {
      yield* [utf8("first "), utf8("second")];
    })();
    const maintenance = { ...service.maintenance, snapshot: async () => ({ bytes: 12, sha256, pieces }) };
    const services = createEtcdServices({
      ...service,
      kv: service.kv,
      cluster: service.cluster,
      maintenance,
    });
    const told: { remaining: bigint; blob: Uint8Array }[] = [];
    for await (const { remainingBytes, blob } of services.maintenance.snapshot(
      create(SnapshotRequestSchema),
      context,
    )) {
      told.push({ remaining: remainingBytes, blob });
    }
    assert.deepEqual(
      told.map(({ remaining }) => remaining),
      [6n, 0n, 0n],
    );
    assert.deepEqual(Buffer.from(told.at(-1)?.blob ?? []).toString("hex"), sha256);
  });

  test("leadership moves to a voter, at the leader only", async () => {
    const { service, services } = bench();
    const move = (targetID: bigint) =>
      services.maintenance.moveLeader(create(MoveLeaderRequestSchema, { targetID }), context);
    await assert.rejects(move(99n), { message: "etcdserver: bad leader transferee" });
    await assert.rejects(move(3n), { message: "etcdserver: bad leader transferee" });
    await move(2n);
    assert.equal(service.cluster.leaderId, 2);
    await assert.rejects(move(1n), { message: "etcdserver: not leader" });
  });

  test("a full store is an alarm for as long as it is full, and a member's status tells it", async () => {
    const { service, services } = bench();
    const { GET, DEACTIVATE } = AlarmRequest_AlarmAction;
    const alarms = async (action = GET, alarm = AlarmType.NONE) =>
      (await services.maintenance.alarm(create(AlarmRequestSchema, { action, alarm }), context)).alarms.map(
        (told) => [told.memberID, told.alarm],
      );
    assert.deepEqual(await alarms(), []);
    service.full = "The quota is used up.";
    assert.deepEqual(await alarms(), [[1n, AlarmType.NOSPACE]]);
    assert.deepEqual(await alarms(GET, AlarmType.NOSPACE), [[1n, AlarmType.NOSPACE]]);
    assert.deepEqual(await alarms(GET, AlarmType.CORRUPT), []);
    assert.deepEqual(await alarms(DEACTIVATE, AlarmType.NOSPACE), []);
    const status = await services.maintenance.status(create(StatusRequestSchema), context);
    assert.deepEqual(status.errors, ["memberID:1 alarm:NOSPACE "]);
    service.full = undefined;
    assert.deepEqual(await alarms(), []);
  });

  test("status tells that there is no leader", async () => {
    const service = new FakeService();
    service.cluster.leaderId = 0;
    const maintenance = { ...service.maintenance, storage: () => ({ bytes: 10, usedBytes: 7 }) };
    const services = createEtcdServices({
      ...service,
      kv: service.kv,
      cluster: service.cluster,
      maintenance,
    });
    const status = await services.maintenance.status(create(StatusRequestSchema), context);
    assert.deepEqual([status.leader, status.errors], [0n, ["etcdserver: no leader"]]);
    assert.deepEqual([status.dbSize, status.dbSizeInUse, status.version], [10n, 7n, "3.4.23"]);
  });
});
