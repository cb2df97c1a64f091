import * as v from "valibot";
import { decodeCbor, encodeCbor, plain } from "../wire/cbor.ts";
import type { VersionRange } from "../wire/protocol.ts";
import { check, count, longText, shortText } from "../wire/schema.ts";
import { WireError } from "../wire/wire-error.ts";

/*
 * The frames of the handshake. They stand outside the protocol version: every version must be able
 * to read them in order to say that it is the wrong one. Items after the known ones are ignored.
 */

export const purposes = ["raft", "snapshot", "control"] as const;
export type Purpose = (typeof purposes)[number];

export const refusalReasons = [
  "version",
  "token",
  "cluster",
  "member",
  "removed",
  /** Another process runs with the dialler's identity. */
  "duplicate",
  "self",
  "not-ready",
  "busy",
  "malformed",
] as const;
export type RefusalReason = (typeof refusalReasons)[number];

/** What each side says of itself. */
export interface Hello {
  readonly versions: VersionRange;
  readonly purpose: Purpose;
  /** 0 before the member belongs to a cluster. */
  readonly clusterId: number;
  readonly memberId: number;
  /** Whom the sender believes to speak with, or 0 when it does not know. */
  readonly expectedId: number;
  readonly name: string;
  /** Drawn at the start of the process: recognises a connection with oneself. */
  readonly instance: string;
  readonly nonce: Uint8Array;
  readonly hasToken: boolean;
}

export interface Refusal {
  readonly reason: RefusalReason;
  readonly message: string;
}

export type HandshakeFrame =
  | { readonly type: "hello"; readonly hello: Hello }
  | { readonly type: "proof"; readonly proof: Uint8Array }
  /** After a valid proof. `refusal` absent: welcome. */
  | { readonly type: "verdict"; readonly refusal?: Refusal; readonly proof: Uint8Array }
  /** Without proof, thus only a hint for the log. */
  | { readonly type: "refused"; readonly refusal: Refusal };

const magic = "coracle";
export const nonceBytes = 32;
export const proofBytes = 32;
const kind = { hello: 1, proof: 2, verdict: 3, refused: 4 } as const;
const itemsMax = 24;

const bytesOf = (...lengths: number[]) =>
  v.pipe(
    v.instance(Uint8Array),
    v.check((bytes) => lengths.includes(bytes.length), "a wrong length"),
  );

const helloSchema = v.tuple([
  v.literal(magic),
  v.literal(kind.hello),
  count,
  count,
  v.picklist(purposes),
  count,
  count,
  count,
  shortText,
  shortText,
  bytesOf(nonceBytes),
  v.boolean(),
]);
const proofSchema = v.tuple([v.literal(magic), v.literal(kind.proof), bytesOf(0, proofBytes)]);
const verdictSchema = v.tuple([
  v.literal(magic),
  v.literal(kind.verdict),
  v.union([v.literal(""), v.picklist(refusalReasons)]),
  longText,
  bytesOf(0, proofBytes),
]);
const refusedSchema = v.tuple([
  v.literal(magic),
  v.literal(kind.refused),
  v.picklist(refusalReasons),
  longText,
]);

/** For the fingerprint: a change here needs more than a new version, it needs a new handshake. */
export const handshakeSchemas = { helloSchema, proofSchema, verdictSchema, refusedSchema };

/** The content of a frame, without its length. */
export function encodeHandshake(frame: HandshakeFrame): Uint8Array {
  return encodeCbor(plain([magic, kind[frame.type], ...fieldsOf(frame)]));
}

function fieldsOf(frame: HandshakeFrame): unknown[] {
  switch (frame.type) {
    case "hello": {
      const { versions, purpose, clusterId, memberId, expectedId, name, instance, nonce, hasToken } =
        frame.hello;
      return [
        versions.min,
        versions.max,
        purpose,
        clusterId,
        memberId,
        expectedId,
        name,
        instance,
        nonce,
        hasToken,
      ];
    }
    case "proof":
      return [frame.proof];
    case "verdict":
      return [frame.refusal?.reason ?? "", frame.refusal?.message ?? "", frame.proof];
    case "refused":
      return [frame.refusal.reason, frame.refusal.message];
  }
}

/**
 * Reads a frame of the handshake. Byte strings are copies.
 *
 * @throws WireError when it is none.
 */
export function decodeHandshake(bytes: Uint8Array): HandshakeFrame {
  const items = decodeCbor(bytes, "copies");
  if (!Array.isArray(items) || items[0] !== magic || items.length > itemsMax) {
    throw new WireError("it is no handshake of coracle");
  }
  switch (items[1]) {
    case kind.hello: {
      const fields = check(helloSchema, items, "the handshake's hello");
      const [, , min, max, purpose, clusterId, memberId, expectedId, name, instance, nonce, hasToken] =
        fields;
      if (min < 1 || min > max) throw new WireError("the handshake's version range is empty");
      const hello = {
        versions: { min, max },
        purpose,
        clusterId,
        memberId,
        expectedId,
        name,
        instance,
        nonce,
        hasToken,
      };
      return { type: "hello", hello };
    }
    case kind.proof: {
      const [, , proof] = check(proofSchema, items, "the handshake's proof");
      return { type: "proof", proof };
    }
    case kind.verdict: {
      const [, , reason, message, proof] = check(verdictSchema, items, "the handshake's verdict");
      if (reason === "") return { type: "verdict", proof };
      return { type: "verdict", refusal: { reason, message }, proof };
    }
    case kind.refused: {
      const [, , reason, message] = check(refusedSchema, items, "the handshake's refusal");
      return { type: "refused", refusal: { reason, message } };
    }
    default:
      throw new WireError("it is no frame of the handshake");
  }
}
