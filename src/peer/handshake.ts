import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { concatBytes, emptyBytes, utf8 } from "../base/bytes.ts";
import type { MemberId } from "../raft/types.ts";
import { negotiateVersion, supportedVersions, type VersionRange } from "../wire/protocol.ts";
import { WireError } from "../wire/wire-error.ts";
import {
  decodeHandshake,
  encodeHandshake,
  type HandshakeFrame,
  type Hello,
  nonceBytes,
  type Purpose,
  type Refusal,
  type RefusalReason,
} from "./hello.ts";

/*
 * The handshake as two state machines over frames; no sockets here. Order, and why:
 *   1. dialler → acceptor: hello
 *   2. acceptor → dialler: hello
 *   3. dialler → acceptor: proof   (the dialler first: a stranger gets nothing to try tokens on)
 *   4. acceptor → dialler: verdict with the acceptor's proof, which covers the verdict
 * A proof is HMAC-SHA256(token, label ‖ both hellos as they were sent). The labels differ by
 * direction, so a proof sent back to its maker (reflection) is none; both nonces are in it, so one
 * of an earlier connection (replay) is none; the hellos are in it, so no field can be changed.
 */

/** What a side knows of itself at the time of a handshake. */
export interface Self {
  readonly clusterId: number;
  readonly memberId: MemberId;
  readonly name: string;
  readonly instance: string;
  readonly token: Uint8Array | undefined;
  /** Only in tests: another version range than this program's. */
  readonly versions?: VersionRange;
}

export interface Session {
  readonly version: number;
  readonly purpose: Purpose;
  readonly remote: Hello;
}

export type HandshakeStep =
  | { readonly type: "continue"; readonly send: Uint8Array }
  | { readonly type: "done"; readonly session: Session; readonly send?: Uint8Array }
  | {
      readonly type: "failed";
      readonly refusal: Refusal;
      /** Said by the other side. */
      readonly byRemote: boolean;
      /** The other side had proved that it holds the token (or neither side has one). */
      readonly authenticated: boolean;
      /** Who said or was refused, as far as it introduced itself. */
      readonly remote: Hello | undefined;
      readonly send?: Uint8Array;
    };

const labels = {
  dialler: utf8("coracle peer handshake 1: dialler\n"),
  acceptor: utf8("coracle peer handshake 1: acceptor\n"),
};

function proofOf(token: Uint8Array | undefined, label: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  if (token === undefined) return emptyBytes;
  const hmac = createHmac("sha256", token).update(label);
  for (const part of parts) {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, part.length);
    hmac.update(concatBytes([length, part]));
  }
  return new Uint8Array(hmac.digest());
}

function proofHolds(found: Uint8Array, expected: Uint8Array): boolean {
  return found.length === expected.length && timingSafeEqual(found, expected);
}

function helloOf(self: Self, purpose: Purpose, expectedId: MemberId): Hello {
  return {
    versions: self.versions ?? supportedVersions,
    purpose,
    clusterId: self.clusterId,
    memberId: self.memberId,
    expectedId,
    name: self.name,
    instance: self.instance,
    nonce: new Uint8Array(randomBytes(nonceBytes)),
    hasToken: self.token !== undefined,
  };
}

function refusalOf(reason: RefusalReason, message: string): Refusal {
  return { reason, message };
}

/** Problems that make a proof pointless; found from the two hellos alone. */
function hopeless(self: Self, remote: Hello): Refusal | undefined {
  const ours = self.versions ?? supportedVersions;
  if (negotiateVersion(ours, remote.versions) === undefined) {
    return refusalOf(
      "version",
      `the other side speaks protocol versions ${remote.versions.min} to ${remote.versions.max}, this one ${ours.min} to ${ours.max}`,
    );
  }
  if ((self.token !== undefined) !== remote.hasToken) {
    const who = remote.hasToken
      ? "the other side has a join token, this one has none"
      : "a join token is needed";
    return refusalOf("token", who);
  }
  return undefined;
}

const wrongToken = refusalOf("token", "the join tokens differ");

/** What must hold of a connection between members, seen from one side. */
function mismatch(self: Self, remote: Hello, purpose: Purpose): Refusal | undefined {
  if (purpose === "control") return undefined;
  if (remote.instance === self.instance) {
    return refusalOf("self", "the address leads back to this process");
  }
  if (self.memberId === 0 || remote.memberId === 0) {
    return refusalOf("not-ready", "one side belongs to no cluster yet");
  }
  if (remote.memberId === self.memberId) {
    return refusalOf("self", "both ends have the same member id");
  }
  if (remote.clusterId !== self.clusterId) {
    return refusalOf(
      "cluster",
      `the other side belongs to cluster ${remote.clusterId}, this one to ${self.clusterId}`,
    );
  }
  return undefined;
}

function failed(
  refusal: Refusal,
  context: { byRemote: boolean; authenticated: boolean; remote: Hello | undefined },
  send?: HandshakeFrame,
): HandshakeStep {
  return {
    type: "failed",
    refusal,
    ...context,
    ...(send !== undefined && { send: encodeHandshake(send) }),
  };
}

export class DiallerHandshake {
  readonly #self: Self;
  readonly #purpose: Purpose;
  readonly #expectedId: MemberId;
  readonly #hello: Uint8Array;
  #remote: { readonly hello: Hello; readonly bytes: Uint8Array } | undefined;

  constructor(self: Self, purpose: Purpose, expectedId: MemberId) {
    this.#self = self;
    this.#purpose = purpose;
    this.#expectedId = expectedId;
    this.#hello = encodeHandshake({ type: "hello", hello: helloOf(self, purpose, expectedId) });
  }

  /** The first frame. */
  start(): Uint8Array {
    return this.#hello;
  }

  /** @throws WireError when the frame is none that may come now. */
  onFrame(bytes: Uint8Array): HandshakeStep {
    const frame = decodeHandshake(bytes);
    if (frame.type === "refused") {
      const remote = this.#remote?.hello;
      return failed(frame.refusal, { byRemote: true, authenticated: false, remote });
    }
    if (this.#remote === undefined && frame.type === "hello") return this.#onHello(frame.hello, bytes);
    if (this.#remote !== undefined && frame.type === "verdict") return this.#onVerdict(frame, this.#remote);
    throw new WireError(`a ${frame.type} came where the handshake wants another frame`);
  }

  #onHello(remote: Hello, bytes: Uint8Array): HandshakeStep {
    const refusal =
      hopeless(this.#self, remote) ?? mismatch(this.#self, remote, this.#purpose) ?? this.#unexpected(remote);
    if (refusal !== undefined) {
      return failed(refusal, { byRemote: false, authenticated: false, remote });
    }
    this.#remote = { hello: remote, bytes: bytes.slice() };
    const proof = proofOf(this.#self.token, labels.dialler, [this.#hello, this.#remote.bytes]);
    return { type: "continue", send: encodeHandshake({ type: "proof", proof }) };
  }

  #unexpected(remote: Hello): Refusal | undefined {
    if (this.#purpose === "control" || remote.memberId === this.#expectedId) return undefined;
    return refusalOf("member", `it is member ${remote.memberId} and not ${this.#expectedId}`);
  }

  #onVerdict(
    frame: Extract<HandshakeFrame, { type: "verdict" }>,
    remote: { readonly hello: Hello; readonly bytes: Uint8Array },
  ): HandshakeStep {
    const { hello, bytes } = remote;
    const verdict = utf8(frame.refusal === undefined ? "" : frame.refusal.reason);
    const expected = proofOf(this.#self.token, labels.acceptor, [this.#hello, bytes, verdict]);
    if (!proofHolds(frame.proof, expected)) {
      return failed(wrongToken, { byRemote: false, authenticated: false, remote: hello });
    }
    if (frame.refusal !== undefined) {
      return failed(frame.refusal, { byRemote: true, authenticated: true, remote: hello });
    }
    return { type: "done", session: sessionOf(this.#self, this.#purpose, hello) };
  }
}

export class AcceptorHandshake {
  readonly #self: Self;
  /** Asked once the dialler has proved itself. */
  readonly #admit: (remote: Hello) => Refusal | undefined;
  #remote: { readonly hello: Hello; readonly transcript: readonly Uint8Array[] } | undefined;

  constructor(self: Self, admit: (remote: Hello) => Refusal | undefined) {
    this.#self = self;
    this.#admit = admit;
  }

  /** @throws WireError when the frame is none that may come now. */
  onFrame(bytes: Uint8Array): HandshakeStep {
    const frame = decodeHandshake(bytes);
    if (this.#remote === undefined && frame.type === "hello") return this.#onHello(frame.hello, bytes);
    if (this.#remote !== undefined && frame.type === "proof") {
      return this.#onProof(frame.proof, this.#remote);
    }
    throw new WireError(`a ${frame.type} came where the handshake wants another frame`);
  }

  #onHello(remote: Hello, bytes: Uint8Array): HandshakeStep {
    const refusal = hopeless(this.#self, remote);
    if (refusal !== undefined) {
      const context = { byRemote: false, authenticated: false, remote };
      return failed(refusal, context, { type: "refused", refusal: mirrored(refusal, this.#self, remote) });
    }
    const hello = helloOf(this.#self, remote.purpose, remote.memberId);
    const send = encodeHandshake({ type: "hello", hello });
    this.#remote = { hello: remote, transcript: [bytes.slice(), send] };
    return { type: "continue", send };
  }

  #onProof(
    proof: Uint8Array,
    remote: { readonly hello: Hello; readonly transcript: readonly Uint8Array[] },
  ): HandshakeStep {
    const { hello, transcript } = remote;
    const context = { byRemote: false, authenticated: false, remote: hello };
    if (!proofHolds(proof, proofOf(this.#self.token, labels.dialler, transcript))) {
      return failed(wrongToken, context, { type: "refused", refusal: wrongToken });
    }
    const refusal = this.#refuses(hello);
    const verdict = utf8(refusal === undefined ? "" : refusal.reason);
    const answer = proofOf(this.#self.token, labels.acceptor, [...transcript, verdict]);
    if (refusal !== undefined) {
      return failed(
        refusal,
        { ...context, authenticated: true },
        { type: "verdict", refusal, proof: answer },
      );
    }
    return {
      type: "done",
      session: sessionOf(this.#self, hello.purpose, hello),
      send: encodeHandshake({ type: "verdict", proof: answer }),
    };
  }

  #refuses(remote: Hello): Refusal | undefined {
    const found = mismatch(this.#self, remote, remote.purpose);
    if (found !== undefined) return found;
    if (remote.purpose !== "control" && remote.expectedId !== this.#self.memberId) {
      return refusalOf("member", `this is member ${this.#self.memberId} and not ${remote.expectedId}`);
    }
    return this.#admit(remote);
  }
}

/** The same problem in the words of the other side. */
function mirrored(refusal: Refusal, self: Self, remote: Hello): Refusal {
  if (refusal.reason === "token") {
    return remote.hasToken ? refusalOf("token", "this side has no join token") : refusal;
  }
  const ours = self.versions ?? supportedVersions;
  return refusalOf("version", `this side speaks protocol versions ${ours.min} to ${ours.max}`);
}

function sessionOf(self: Self, purpose: Purpose, remote: Hello): Session {
  const version = negotiateVersion(self.versions ?? supportedVersions, remote.versions);
  if (version === undefined) throw new WireError("no common protocol version");
  return { version, purpose, remote };
}
