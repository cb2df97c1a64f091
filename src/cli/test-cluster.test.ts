import assert from "node:assert/strict";
import { test } from "node:test";
import { createApp } from "../api/app.ts";
import { utf8 } from "../base/bytes.ts";
import { TestCluster } from "./test-cluster.test-support.ts";

test("a test cluster serves the faces as a member does", async () => {
  for (const members of [1, 3]) {
    const cluster = new TestCluster({ members });
    try {
      await cluster.ready();
      const { service, registry } = cluster.member(members);
      const app = createApp({
        service,
        info: { version: "test", commit: "test", startedAtMs: 0 },
        metrics: registry,
        limits: { valueBytesMax: 1000 },
        stopping: new AbortController().signal,
      });
      const { id } = await service.leases.grant(0, 60);
      const put = await app.request(`/v1/kv/a?lease=${id}`, { method: "PUT", body: "1" });
      assert.equal(put.status, 200);
      assert.deepEqual(await service.leases.keepAlive(id), { ttlSeconds: 60 });
      assert.deepEqual((await service.leases.timeToLive(id, true)).keys, [utf8("a")]);
      assert.deepEqual(await service.leases.list(), [id]);
      await service.leases.revoke(id);
      assert.equal((await app.request("/v1/kv/a")).status, 404);
      assert.match(await registry.metrics(), /^coracle_leases 0$/m);
    } finally {
      await cluster.close();
    }
    assert.deepEqual(cluster.fatal, []);
  }
});
