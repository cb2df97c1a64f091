import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import { encodeCbor } from "../wire/cbor.ts";
import { WireError } from "../wire/wire-error.ts";
import { AcceptorHandshake, DiallerHandshake, type HandshakeStep, type Self } from "./handshake.ts";
import { decodeHandshake, encodeHandshake, type Purpose, type Refusal } from "./hello.ts";

function self(memberId: number, changes: Partial<Self> = {}): Self {
  return {
    clusterId: 9,
    memberId,
    name: `n${memberId}`,
    instance: `instance ${memberId}`,
    token: utf8("a join token"),
    ...changes,
  };
}

interface Outcome {
  readonly dialler: HandshakeStep | undefined;
  readonly acceptor: HandshakeStep | undefined;
  /** Every frame that was sent, by the dialler first, in turns. */
  readonly frames: readonly Uint8Array[];
}

function shake(
  a: Self,
  b: Self,
  options: {
    readonly purpose?: Purpose;
    readonly expectedId?: number;
    readonly admit?: () => Refusal | undefined;
  } = {},
): Outcome {
  const dialler = new DiallerHandshake(a, options.purpose ?? "raft", options.expectedId ?? b.memberId);
  const acceptor = new AcceptorHandshake(b, options.admit ?? (() => undefined));
  const frames: Uint8Array[] = [];
  let dialled: HandshakeStep | undefined;
  let accepted: HandshakeStep | undefined;
  let next: Uint8Array | undefined = dialler.start();
  for (let turn = 0; next !== undefined; turn++) {
    frames.push(next);
    const step: HandshakeStep = turn % 2 === 0 ? acceptor.onFrame(next) : dialler.onFrame(next);
    if (turn % 2 === 0) accepted = step;
    else dialled = step;
    next = step.send;
  }
  return { dialler: dialled, acceptor: accepted, frames };
}

function reasonOf(step: HandshakeStep | undefined): string {
  assert.equal(step?.type, "failed");
  return step.refusal.reason;
}

describe("the handshake", () => {
  test("makes a session on both sides", () => {
    const { dialler, acceptor } = shake(self(1), self(2));
    assert.ok(dialler?.type === "done" && acceptor?.type === "done");
    assert.equal(dialler.session.remote.memberId, 2);
    assert.equal(acceptor.session.remote.memberId, 1);
    assert.equal(acceptor.session.purpose, "raft");
    assert.equal(dialler.session.version, acceptor.session.version);
  });

  test("needs no token when neither side has one, and refuses when one has", () => {
    const none = { token: undefined };
    assert.equal(shake(self(1, none), self(2, none)).dialler?.type, "done");
    for (const [a, b] of [
      [self(1, none), self(2)],
      [self(1), self(2, none)],
    ] as const) {
      const { dialler, acceptor } = shake(a, b);
      assert.equal(reasonOf(acceptor), "token");
      assert.equal(reasonOf(dialler), "token");
    }
  });

  test("refuses a wrong token on both sides, before anything is admitted", () => {
    let admitted = false;
    const { dialler, acceptor } = shake(self(1, { token: utf8("another token") }), self(2), {
      admit: () => {
        admitted = true;
        return undefined;
      },
    });
    assert.equal(reasonOf(acceptor), "token");
    assert.equal(reasonOf(dialler), "token");
    assert.equal(admitted, false);
  });

  test("agrees on the highest common version, or refuses", () => {
    const versions = (min: number, max: number) => ({ versions: { min, max } });
    const { dialler, acceptor } = shake(self(1, versions(1, 3)), self(2, versions(2, 5)));
    assert.ok(dialler?.type === "done" && acceptor?.type === "done");
    assert.deepEqual([dialler.session.version, acceptor.session.version], [3, 3]);
    const apart = shake(self(1, versions(1, 1)), self(2, versions(2, 3)));
    assert.equal(reasonOf(apart.dialler), "version");
    assert.equal(reasonOf(apart.acceptor), "version");
  });

  test("refuses another cluster, another member, oneself and a member without identity", () => {
    assert.equal(reasonOf(shake(self(1), self(2, { clusterId: 8 })).dialler), "cluster");
    assert.equal(reasonOf(shake(self(1), self(2), { expectedId: 3 }).dialler), "member");
    assert.equal(reasonOf(shake(self(1), self(1, { instance: "x" })).dialler), "self");
    assert.equal(reasonOf(shake(self(1), self(2, { instance: "instance 1" })).dialler), "self");
    assert.equal(reasonOf(shake(self(1), self(2, { memberId: 0, clusterId: 0 })).dialler), "not-ready");
  });

  test("lets anybody with the token ask, whatever its cluster", () => {
    const outsider = self(0, { clusterId: 0 });
    assert.equal(shake(outsider, self(2), { purpose: "control" }).dialler?.type, "done");
    assert.equal(shake(outsider, self(2), { purpose: "snapshot" }).dialler?.type, "failed");
  });

  test("brings a refusal after the proof with a proof of its own", () => {
    const removed: Refusal = { reason: "removed", message: "it was removed" };
    const { dialler, frames } = shake(self(1), self(2), { admit: () => removed });
    assert.ok(dialler?.type === "failed");
    assert.deepEqual([dialler.refusal, dialler.authenticated, dialler.byRemote], [removed, true, true]);
    // Whoever cannot prove itself cannot make a member believe that it was removed.
    const liar = new DiallerHandshake(self(1), "raft", 2);
    const acceptor = new AcceptorHandshake(self(2), () => removed);
    const hello = acceptor.onFrame(liar.start());
    assert.ok(hello.type === "continue");
    liar.onFrame(hello.send);
    const verdict = liar.onFrame(frames[3] ?? new Uint8Array());
    assert.ok(verdict.type === "failed");
    assert.deepEqual([verdict.refusal.reason, verdict.authenticated], ["token", false]);
  });

  test("turns a welcome into a refusal for nobody", () => {
    const dialler = new DiallerHandshake(self(1), "raft", 2);
    const acceptor = new AcceptorHandshake(self(2), () => undefined);
    const hello = acceptor.onFrame(dialler.start());
    assert.ok(hello.type === "continue");
    const proof = dialler.onFrame(hello.send);
    assert.ok(proof.type === "continue");
    const welcome = acceptor.onFrame(proof.send);
    assert.ok(welcome.type === "done" && welcome.send !== undefined);
    const frame = decodeHandshake(welcome.send);
    assert.ok(frame.type === "verdict");
    const refusal: Refusal = { reason: "removed", message: "" };
    const step = dialler.onFrame(encodeHandshake({ ...frame, refusal }));
    assert.ok(step.type === "failed" && !step.authenticated);
  });

  test("takes no proof a second time", () => {
    const { frames } = shake(self(1), self(2));
    const [hello, , proof] = frames;
    assert.ok(hello !== undefined && proof !== undefined);
    const again = new AcceptorHandshake(self(2), () => undefined);
    assert.equal(again.onFrame(hello).type, "continue");
    const step = again.onFrame(proof);
    assert.equal(reasonOf(step), "token");
  });

  test("takes no proof that is its own, sent back", () => {
    // The attacker knows no token. It dials the victim and lets the victim dial it at once.
    const victim = self(2);
    const asDialler = new DiallerHandshake(victim, "control", 0);
    const asAcceptor = new AcceptorHandshake(victim, () => undefined);
    const reflected = asAcceptor.onFrame(asDialler.start());
    assert.ok(reflected.type === "continue");
    const proof = asDialler.onFrame(reflected.send);
    assert.ok(proof.type === "continue");
    const { proof: diallersProof } = decodeHandshake(proof.send) as { proof: Uint8Array };
    // Sent back as the verdict, it proves nothing: the labels differ.
    const step = asDialler.onFrame(encodeHandshake({ type: "verdict", proof: diallersProof }));
    assert.equal(reasonOf(step), "token");
  });

  test("covers every field: a changed hello is a wrong proof", () => {
    const dialler = new DiallerHandshake(self(1), "raft", 2);
    const acceptor = new AcceptorHandshake(self(2), () => undefined);
    const first = decodeHandshake(dialler.start());
    assert.ok(first.type === "hello");
    const changed = { ...first.hello, name: "another" };
    const hello = acceptor.onFrame(encodeHandshake({ type: "hello", hello: changed }));
    assert.ok(hello.type === "continue");
    const proof = dialler.onFrame(hello.send);
    assert.ok(proof.type === "continue");
    assert.equal(reasonOf(acceptor.onFrame(proof.send)), "token");
  });

  test("refuses frames out of order, foreign ones and malformed ones", () => {
    const acceptor = () => new AcceptorHandshake(self(2), () => undefined);
    const refused = (bytes: Uint8Array) => assert.throws(() => acceptor().onFrame(bytes), WireError);
    refused(encodeHandshake({ type: "proof", proof: new Uint8Array(32) }));
    refused(encodeHandshake({ type: "verdict", proof: new Uint8Array(32) }));
    refused(new Uint8Array());
    refused(utf8("GET / HTTP/1.1\r\n\r\n"));
    refused(encodeCbor(["etcd", 1]));
    refused(encodeCbor(["coracle", 1, 1, 1]));
    refused(encodeCbor(["coracle", 99]));
    const hello = decodeHandshake(new DiallerHandshake(self(1), "raft", 2).start());
    assert.ok(hello.type === "hello");
    const broken = (changes: object) =>
      refused(encodeHandshake({ type: "hello", hello: { ...hello.hello, ...changes } }));
    broken({ nonce: new Uint8Array(31) });
    broken({ name: "x".repeat(300) });
    broken({ versions: { min: 3, max: 2 } });
    broken({ memberId: -1 });
    broken({ purpose: "gossip" });
    const dialler = new DiallerHandshake(self(1), "raft", 2);
    assert.throws(
      () => dialler.onFrame(encodeHandshake({ type: "verdict", proof: new Uint8Array(32) })),
      WireError,
    );
  });
});
