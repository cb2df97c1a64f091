import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemberRecord } from "../base/members.ts";
import type { PeerEndpoint } from "../peer/types.ts";
import { FakeClock } from "./fake-clock.test-support.ts";
import { PeerSet } from "./peer-set.ts";

const member = (id: number): MemberRecord => ({
  id,
  name: `n${id}`,
  peerAddress: `host${id}:2380`,
  clientUrls: [],
  grpcUrls: [],
  learner: false,
});
const membership = (ids: readonly number[], removed: readonly number[] = []) => ({
  clusterId: 1,
  members: ids.map(member),
  removed,
});

function setUp() {
  const clock = new FakeClock();
  const state = { peers: [] as readonly PeerEndpoint[], removed: [] as readonly number[] };
  const transport = {
    setPeers: (peers: readonly PeerEndpoint[]) => {
      state.peers = peers;
    },
    setRemoved: (removed: readonly number[]) => {
      state.removed = removed;
    },
  };
  const set = new PeerSet({ self: 1, clock, transport });
  const connected = (): number[] => state.peers.map(({ id }) => id).sort();
  return { clock, set, state, connected };
}

test("a removed member keeps its connections for a moment, then is refused", () => {
  const { clock, set, state, connected } = setUp();
  set.update(membership([1, 2, 3]));
  set.update(membership([1, 2], [3]));
  assert.deepEqual(connected(), [2, 3]);
  assert.deepEqual(state.removed, []);
  clock.advance(1001);
  assert.deepEqual(connected(), [2]);
  assert.deepEqual(state.removed, [3]);
});

test("a member that this one does not know yet is answered until the membership says more", () => {
  const { set, connected } = setUp();
  set.update(membership([1, 2]));
  set.introduce({ id: 4, name: "n4", address: "elsewhere:1" });
  assert.deepEqual(connected(), [2, 4]);
  set.update(membership([1, 2, 4]));
  assert.deepEqual(connected(), [2, 4]);
  set.update(membership([1, 2], [4]));
  set.introduce({ id: 4, name: "n4", address: "elsewhere:1" });
  assert.equal(connected().filter((id) => id === 4).length, 1, "only its farewell");
});

test("guests are bounded, and never this member itself", () => {
  const { set, connected } = setUp();
  set.update(membership([1]));
  set.introduce({ id: 1, name: "n1", address: "self:1" });
  for (let id = 100; id < 200; id++) set.introduce({ id, name: `n${id}`, address: `h:${id}` });
  assert.equal(connected().length, 15);
  assert.ok(!connected().includes(1));
});
