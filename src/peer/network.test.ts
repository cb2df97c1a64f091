import assert from "node:assert/strict";
import net from "node:net";
import { describe, test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";
import { CoracleError } from "../base/errors.ts";
import { seededRandom } from "../base/prng.ts";
import { parseAddress } from "../wire/address.ts";
import { encodeCbor } from "../wire/cbor.ts";
import { frameType } from "../wire/protocol.ts";
import {
  closeAll,
  introduce,
  refuseControl,
  refuseSnapshots,
  startMember,
  type TestMember,
  until,
} from "./network.test-support.ts";
import { PeerNetwork } from "./network.ts";

async function using(members: readonly TestMember[], body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } finally {
    await closeAll(members);
  }
}

interface Raw {
  readonly socket: net.Socket;
  closed: boolean;
  bytes: number;
}

async function rawConnection(member: TestMember): Promise<Raw> {
  const socket = net.connect(parseAddress(member.endpoint.address));
  const raw: Raw = { socket, closed: false, bytes: 0 };
  socket.on("error", () => undefined);
  socket.on("data", (data) => {
    raw.bytes += data.length;
  });
  socket.on("close", () => {
    raw.closed = true;
  });
  await until(() => !socket.connecting, "connected");
  return raw;
}

function frame(content: Uint8Array): Uint8Array {
  const whole = new Uint8Array(content.length + 4);
  new DataView(whole.buffer).setUint32(0, content.length);
  whole.set(content, 4);
  return whole;
}

describe("the peer network", () => {
  test("refuses a second process with a member's identity, and lets it in when the first is gone", async () => {
    const limits = { reconnectMsMin: 5, reconnectMsMax: 40 };
    const [a, original, copy] = [
      await startMember(1, { limits }),
      await startMember(2, { limits }),
      await startMember(2, { limits }),
    ];
    await using([a, original, copy], async () => {
      introduce([a, original]);
      await until(() => original.network.connected(1), "the first is connected");
      copy.network.setPeers([a.endpoint]);
      await until(() => copy.refused.length > 2, "the second is refused");
      assert.equal(copy.refused[0]?.reason, "duplicate");
      assert.match(
        copy.refused[0]?.message ?? "",
        /another process runs as member n2, connected from 127\.0\.0\.1/,
      );
      assert.deepEqual(original.disconnected, [], "the first is left alone");
      await original.network.close();
      await until(() => copy.network.connected(1), "the first is gone");
    });
  });

  test("connects again after a member came back, with a delay that grows no further than its limit", async () => {
    const limits = { reconnectMsMin: 5, reconnectMsMax: 40 };
    const [a, b] = [await startMember(1, { limits }), await startMember(2, { limits })];
    introduce([a, b]);
    await using([a], async () => {
      await until(() => a.network.connected(2), "connected");
      await b.network.close();
      await until(() => a.disconnected.includes(2), "told");
      await until(() => a.network.trouble(2)?.includes("was not reached") === true, "it tried again");
      const again = await startMember(2, { limits, listen: parseAddress(b.endpoint.address) });
      again.network.setPeers([a.endpoint]);
      await using([again], async () => {
        await until(() => a.network.connected(2) && again.network.connected(1), "connected again");
        assert.equal(a.network.trouble(2), undefined);
      });
    });
  });

  test("keeps members of another cluster, with another token and removed ones out", async () => {
    const b = await startMember(2);
    b.network.setRemoved([7]);
    const others = [
      await startMember(1, { clusterId: 50 }),
      await startMember(3, { token: "another join token" }),
      await startMember(4, { versions: { min: 8, max: 9 } }),
      await startMember(7),
    ];
    await using([b, ...others], async () => {
      for (const other of others) other.network.setPeers([b.endpoint]);
      const removed = others[3];
      await until(() => (removed?.refused.length ?? 0) > 0, "it is told that it was removed");
      assert.deepEqual(removed?.refused.map(({ member, reason }) => [member, reason])[0], [2, "removed"]);
      for (const other of others) assert.equal(other.network.connected(2), false);
      const why = (): string[] => others.map(({ network }) => network.trouble(2) ?? "");
      await until(() => !why().includes(""), "each knows why");
      const patterns = [
        /\(cluster\)/,
        /\(token\) and says: the join tokens differ/,
        /\(version\)/,
        /\(removed\)/,
      ];
      for (const [at, pattern] of patterns.entries()) assert.match(why()[at] ?? "", pattern);
      assert.deepEqual(b.received, []);
      // Without proof a refusal is a hint at most.
      assert.deepEqual(others[1]?.refused, []);
    });
  });

  test("closes the connections of a member that is removed", async () => {
    const [a, b] = [await startMember(1), await startMember(2)];
    await using([a, b], async () => {
      introduce([a, b]);
      await until(() => a.network.connected(2), "connected");
      b.network.setRemoved([1]);
      await until(() => a.refused.length > 0 && !a.network.connected(2), "it is out");
      assert.equal(a.refused[0]?.reason, "removed");
    });
  });

  test("drops messages when a queue is full", async () => {
    const [a, b] = [await startMember(1, { limits: { queueBytesMax: 100_000 } }), await startMember(2)];
    await using([a, b], async () => {
      introduce([a, b]);
      await until(() => a.network.connected(2), "connected");
      const body = new Uint8Array(30_000);
      const sent = Array.from({ length: 20 }, (_, id) =>
        a.network.send(2, { type: "response", id, body }),
      ).filter(Boolean).length;
      assert.ok(sent >= 3 && sent <= 5, `${sent} were taken`);
      await until(() => b.received.length === sent, "those taken arrived");
      assert.ok(a.network.send(2, { type: "response", id: 99, body }));
    });
  });

  test("finds a connection dead on which nothing comes back", async () => {
    const limits = { pingMs: 20, reconnectMsMax: 20 };
    const b = await startMember(2);
    // A relay that falls silent.
    let silent = false;
    const relay = net.createServer((client) => {
      const server = net.connect(parseAddress(b.endpoint.address));
      client.on("data", (data) => silent || server.write(data));
      server.on("data", (data) => silent || client.write(data));
      for (const [one, other] of [
        [client, server],
        [server, client],
      ] as const) {
        one.on("error", () => undefined);
        one.on("close", () => other.destroy());
      }
    });
    relay.listen(0, "127.0.0.1");
    await until(() => relay.listening, "listening");
    const bound = relay.address();
    assert.ok(typeof bound === "object" && bound !== null);
    const a = await startMember(1, { limits });
    await using([a, b], async () => {
      a.network.setPeers([{ id: 2, name: "n2", address: `127.0.0.1:${bound.port}` }]);
      await until(() => a.network.roundTripMs(2) !== undefined, "alive");
      silent = true;
      await until(() => a.disconnected.includes(2), "found dead");
      silent = false;
      await until(() => a.network.connected(2), "connected again");
    });
    relay.close();
  });

  test("says which port is in use", async () => {
    const a = await startMember(1);
    const listen = parseAddress(a.endpoint.address);
    const second = new PeerNetwork({
      listen,
      name: "second",
      clock: systemClock,
      random: seededRandom(1),
      events: { onMessage() {}, onConnected() {}, onDisconnected() {} },
      control: refuseControl,
      snapshots: refuseSnapshots,
    });
    await using([a], async () => {
      await assert.rejects(second.listen(), {
        code: "config_invalid",
        message: new RegExp(`Port ${listen.port} `),
      });
      await second.close();
    });
  });
});

describe("control requests", () => {
  test("are answered before and without membership", async () => {
    const b = await startMember(2, {
      clusterId: 0,
      control: async (name, body) => ({ name, body }),
    });
    const a = await startMember(1, { clusterId: 0 });
    await using([a, b], async () => {
      const answer = await a.network.ask(
        b.endpoint.address,
        "probe",
        { x: [1, utf8("y")] },
        { timeoutMs: 2_000 },
      );
      assert.deepEqual(answer, { name: "probe", body: { x: [1, utf8("y")] } });
      const own = await b.network.ask(b.endpoint.address, "probe", null, { timeoutMs: 2_000 });
      assert.deepEqual(own, { name: "probe", body: null });
    });
  });

  test("bring errors back with code and message, but no inner ones", async () => {
    const b = await startMember(2, {
      control: async (name) => {
        if (name === "join") throw new CoracleError("name_taken", "The name is taken.");
        throw new Error("secret detail");
      },
    });
    const a = await startMember(1, { clusterId: 0 });
    await using([a, b], async () => {
      const ask = (name: string) => a.network.ask(b.endpoint.address, name, null, { timeoutMs: 2_000 });
      await assert.rejects(ask("join"), { code: "name_taken", message: "The name is taken." });
      await assert.rejects(ask("other"), (error: CoracleError) => {
        assert.equal(error.code, "internal");
        assert.doesNotMatch(error.message, /secret/);
        return true;
      });
    });
  });

  test("end when nobody listens, nobody answers, or the token is wrong", async () => {
    const b = await startMember(2, { control: () => new Promise(() => undefined) });
    const a = await startMember(1, { clusterId: 0 });
    const stranger = await startMember(3, { clusterId: 0, token: "another join token" });
    const free = await startMember(4);
    await free.network.close();
    await using([a, b, stranger], async () => {
      const { address } = b.endpoint;
      await assert.rejects(a.network.ask(address, "x", null, { timeoutMs: 50 }), { code: "outcome_unknown" });
      await assert.rejects(a.network.ask(free.endpoint.address, "x", null, { timeoutMs: 500 }), {
        code: "not_proposed",
      });
      await assert.rejects(
        stranger.network.ask(address, "x", null, { timeoutMs: 500 }),
        (error: CoracleError) => {
          assert.deepEqual([error.code, error.details.reason], ["peer_refused", "token"]);
          return true;
        },
      );
    });
  });
});

describe("a hostile connection", () => {
  test("is closed when its first frame is too long, malformed or no handshake", async () => {
    const b = await startMember(2);
    await using([b], async () => {
      for (const bytes of [
        utf8("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        new Uint8Array([0, 0, 0x10, 0x01]),
        frame(new Uint8Array(0)),
        frame(encodeCbor([1, frameType.heartbeat, 1, 2, 3, 4, 5])),
        frame(new Uint8Array([0xc0, 0x1b, 255, 255])),
      ]) {
        const raw = await rawConnection(b);
        raw.socket.write(bytes);
        await until(() => raw.closed, "it was closed");
        assert.equal(raw.bytes, 0);
      }
      assert.deepEqual(b.received, []);
    });
  });

  test("that says nothing, or very slowly something, is closed in time", async () => {
    const b = await startMember(2, { limits: { handshakeMs: 60 } });
    await using([b], async () => {
      const silent = await rawConnection(b);
      const slow = await rawConnection(b);
      const drip = setInterval(() => slow.socket.write(new Uint8Array(1)), 10);
      await until(() => silent.closed && slow.closed, "they were closed");
      clearInterval(drip);
    });
  });

  test("cannot keep members out by its number", async () => {
    const b = await startMember(2, { limits: { unauthenticatedMax: 4 } });
    const a = await startMember(1);
    await using([a, b], async () => {
      const crowd = await Promise.all(Array.from({ length: 20 }, () => rawConnection(b)));
      await until(() => crowd.filter(({ closed }) => closed).length >= 16, "the oldest had to go");
      a.network.setPeers([b.endpoint]);
      await until(() => a.network.connected(2), "a member gets in");
      for (const { socket } of crowd) socket.destroy();
    });
  });
});
