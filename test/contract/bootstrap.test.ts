import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { type BootstrapResult, bootstrap } from "../../src/discovery/bootstrap.ts";
import { BootstrapDesk } from "../../src/discovery/bootstrap-desk.ts";
import type { BootstrapRecord } from "../../src/discovery/bootstrap-file.ts";
import { closeAll, startMember, type TestMember } from "../../src/peer/network.test-support.ts";

/** Starts a process that answers and takes part in a bootstrap over real connections. */
async function startProcess(id: number) {
  let desk: BootstrapDesk | undefined;
  const member = await startMember(id, {
    clusterId: 0,
    control: async (name, body) => desk?.handle(name, body),
  });
  let record: BootstrapRecord | undefined;
  desk = new BootstrapDesk({
    self: { name: `n${id}`, peerAddress: member.endpoint.address, clientUrls: [], grpcUrls: [] },
    instance: member.network.instance,
    store: {
      load: () => record,
      save: (next) => {
        record = next;
      },
      clear: () => {
        record = undefined;
      },
    },
    standing: "bootstrap",
  });
  return { member, desk };
}

function begin(process: { member: TestMember; desk: BootstrapDesk }, addresses: readonly string[]) {
  return bootstrap({
    desk: process.desk,
    ask: (address, name, body, options) => process.member.network.ask(address, name, body, options),
    clock: systemClock,
    targets: async () => addresses.map((address) => ({ address })),
    expected: addresses.length,
    retryMs: 20,
  });
}

test("members found one cluster over real connections, and a late one is sent to it", async () => {
  const processes = await Promise.all([1, 2, 3].map(startProcess));
  const late = await startProcess(4);
  const members = [...processes, late].map(({ member }) => member);
  try {
    const addresses = processes.map(({ member }) => member.endpoint.address);
    const results: BootstrapResult[] = await Promise.all(processes.map((one) => begin(one, addresses)));
    const [first] = results;
    assert.ok(first?.kind === "founded");
    for (const result of results) {
      assert.ok(result.kind === "founded");
      assert.equal(result.clusterId, first.clusterId);
      assert.deepEqual(result.members, first.members);
    }
    const ids = new Set(results.map((result) => result.kind === "founded" && result.memberId));
    assert.equal(ids.size, 3);
    const existing = await begin(late, addresses);
    assert.equal(existing.kind, "existing");
    assert.equal(existing.clusterId, first.clusterId);
  } finally {
    await closeAll(members);
  }
});
