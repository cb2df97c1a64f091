import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { closeAll, introduce, startMember, until } from "../../src/peer/network.test-support.ts";
import type { PeerMessage, Transport } from "../../src/peer/types.ts";
import type { MemberId } from "../../src/raft/types.ts";

/** What a test needs of an implementation: members that know each other, and a way to lose one. */
interface TestNet {
  readonly members: readonly TestEnd[];
  /** Ends a member as a crash would. */
  kill(index: number): Promise<void>;
  close(): Promise<void>;
}

interface TestEnd {
  readonly id: MemberId;
  readonly transport: Transport;
  readonly received: readonly { readonly from: MemberId; readonly message: PeerMessage }[];
  readonly connected: readonly MemberId[];
  readonly disconnected: readonly MemberId[];
}

async function tcpNet(count: number): Promise<TestNet> {
  const members = await Promise.all(Array.from({ length: count }, (_, i) => startMember(i + 1)));
  introduce(members);
  return {
    members: members.map(({ network, ...records }, i) => ({ id: i + 1, transport: network, ...records })),
    kill: async (index) => members[index]?.network.close(),
    close: () => closeAll(members),
  };
}

const implementations = [{ name: "TCP", make: tcpNet }];

function heartbeat(from: MemberId, to: MemberId, commit: number): PeerMessage {
  return { type: "heartbeat", from, to, term: 1, commit, readRound: 0 };
}

async function withNet(
  make: (count: number) => Promise<TestNet>,
  count: number,
  body: (ends: readonly TestEnd[], net: TestNet) => Promise<void>,
): Promise<void> {
  const net = await make(count);
  try {
    for (const end of net.members) {
      await until(() => end.connected.length === count - 1, `member ${end.id} is connected to all`);
    }
    await body(net.members, net);
  } finally {
    await net.close();
  }
}

function pair(ends: readonly TestEnd[]): [TestEnd, TestEnd] {
  const [a, b] = ends;
  assert.ok(a !== undefined && b !== undefined);
  return [a, b];
}

for (const { name, make } of implementations) {
  describe(`transport on ${name}`, () => {
    test("messages arrive whole, in order, from their sender", () =>
      withNet(make, 3, async (ends) => {
        for (const end of ends) {
          for (let i = 0; i < 500; i++) {
            for (const other of ends) {
              if (other !== end) assert.ok(end.transport.send(other.id, heartbeat(end.id, other.id, i)));
            }
          }
        }
        for (const end of ends) {
          await until(() => end.received.length === 1000, `member ${end.id} has received all`);
          for (const other of ends) {
            const commits = end.received
              .filter(({ from }) => from === other.id)
              .map(({ message }) => (message.type === "heartbeat" ? message.commit : -1));
            const sent = other === end ? 0 : 500;
            assert.deepEqual(
              commits,
              Array.from({ length: sent }, (_, i) => i),
            );
          }
        }
      }));

    test("a large message arrives as it was sent", () =>
      withNet(make, 2, async (ends) => {
        const [a, b] = pair(ends);
        const data = new Uint8Array(8 * 1024 * 1024);
        for (let i = 0; i < data.length; i++) data[i] = i * 7;
        const entries = [{ index: 2, term: 1, kind: 0 as const, data }];
        const message: PeerMessage = {
          type: "append",
          from: a.id,
          to: b.id,
          term: 1,
          prevIndex: 1,
          prevTerm: 1,
          commit: 1,
          entries,
        };
        assert.ok(a.transport.send(b.id, message));
        await until(() => b.received.length === 1, "it arrived");
        assert.deepEqual(b.received[0]?.message, message);
      }));

    test("nothing is sent to a stranger", () =>
      withNet(make, 2, async (ends) => {
        const [a] = pair(ends);
        assert.equal(a.transport.send(77, heartbeat(a.id, 77, 1)), false);
        assert.equal(a.transport.connected(77), false);
        assert.equal(a.transport.roundTripMs(77), undefined);
      }));

    test("the loss of a member is told, and nothing is sent to it", () =>
      withNet(make, 3, async (ends, net) => {
        const [a, b] = pair(ends);
        await net.kill(1);
        await until(() => a.disconnected.includes(b.id), "the loss was told");
        await until(() => !a.transport.connected(b.id), "it counts as lost");
        assert.equal(a.transport.send(b.id, heartbeat(a.id, b.id, 1)), false);
      }));

    test("a round trip is measured", () =>
      withNet(make, 2, async (ends) => {
        const [a, b] = pair(ends);
        await until(() => a.transport.roundTripMs(b.id) !== undefined, "it is measured");
        assert.ok((a.transport.roundTripMs(b.id) ?? -1) >= 0);
      }));

    test("a member that is no peer any more gets nothing", () =>
      withNet(make, 2, async (ends) => {
        const [a, b] = pair(ends);
        a.transport.setPeers([]);
        assert.equal(a.transport.send(b.id, heartbeat(a.id, b.id, 1)), false);
        assert.equal(a.transport.connected(b.id), false);
      }));

    test("closing twice is fine, and ends everything", () =>
      withNet(make, 2, async (ends) => {
        const [a, b] = pair(ends);
        await a.transport.close();
        await a.transport.close();
        assert.equal(a.transport.send(b.id, heartbeat(a.id, b.id, 1)), false);
      }));
  });
}
