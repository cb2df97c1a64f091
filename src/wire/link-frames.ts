import * as v from "valibot";
import type { SnapshotMeta } from "../raft/types.ts";
import { encodeCborView } from "./cbor.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { decodeFields } from "./messages.ts";
import { frameType } from "./protocol.ts";
import { byteString, check, confFields, count, longText } from "./schema.ts";
import { WireError } from "./wire-error.ts";

/** What a member offers to send: a file with the state at `meta.index`. */
export interface SnapshotOffer {
  readonly meta: SnapshotMeta;
  readonly bytes: number;
  /** SHA-256 of the file, lower-case hexadecimal. */
  readonly sha256: string;
  /** The term of the leader that sends it. */
  readonly senderTerm: number;
}

/** Frames of a connection itself, which no member's logic ever sees. */
export type LinkFrame =
  | { readonly type: "ping"; readonly number: number }
  | { readonly type: "pong"; readonly number: number }
  | { readonly type: "snapshot-offer"; readonly offer: SnapshotOffer }
  /** Bytes that the receiver holds: first where to begin, later a sign of life. */
  | { readonly type: "snapshot-offset"; readonly offset: number }
  | { readonly type: "snapshot-chunk"; readonly offset: number; readonly data: Uint8Array }
  | { readonly type: "snapshot-verdict"; readonly stored: boolean; readonly message: string };

export const linkFieldSchemas = {
  ping: v.strictTuple([count]),
  pong: v.strictTuple([count]),
  "snapshot-offer": v.strictTuple([
    count,
    count,
    confFields.voters,
    confFields.learners,
    count,
    v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    count,
  ]),
  "snapshot-offset": v.strictTuple([count]),
  "snapshot-chunk": v.strictTuple([count, byteString]),
  "snapshot-verdict": v.strictTuple([v.boolean(), longText]),
};

export function writeLinkFrame(writer: FrameWriter, frame: LinkFrame, version: number): void {
  writer.frame(encodeCborView([version, frameType[frame.type], ...fieldsOf(frame)]));
}

function fieldsOf(frame: LinkFrame): unknown[] {
  switch (frame.type) {
    case "ping":
    case "pong":
      return [frame.number];
    case "snapshot-offer": {
      const { meta, bytes, sha256, senderTerm } = frame.offer;
      return [
        meta.index,
        meta.term,
        [...meta.conf.voters],
        [...meta.conf.learners],
        bytes,
        sha256,
        senderTerm,
      ];
    }
    case "snapshot-offset":
      return [frame.offset];
    case "snapshot-chunk":
      return [frame.offset, frame.data];
    case "snapshot-verdict":
      return [frame.stored, frame.message.slice(0, 4096).toWellFormed()];
  }
}

/** Whether a frame of this version is one of the connection's own; nothing more is checked. */
export function isPingOrPong(frame: Uint8Array): boolean {
  // [version, type, number]: an array of three, a version below 24, a type of two bytes.
  return (
    frame[0] === 0x83 && frame[2] === 0x18 && (frame[3] === frameType.ping || frame[3] === frameType.pong)
  );
}

/**
 * Reads a frame of the negotiated version. A chunk's data is a view of the frame.
 *
 * @throws WireError when it is no frame of a connection.
 */
export function decodeLinkFrame(frame: Uint8Array, version: number): LinkFrame {
  const { type, fields } = decodeFields(frame, version, "views");
  switch (type) {
    case "ping":
    case "pong": {
      const [number] = check(linkFieldSchemas[type], fields, type);
      return { type, number };
    }
    case "snapshot-offer": {
      const [index, term, voters, learners, bytes, sha256, senderTerm] = check(
        linkFieldSchemas[type],
        fields,
        type,
      );
      return {
        type,
        offer: { meta: { index, term, conf: { voters, learners } }, bytes, sha256, senderTerm },
      };
    }
    case "snapshot-offset": {
      const [offset] = check(linkFieldSchemas[type], fields, type);
      return { type, offset };
    }
    case "snapshot-chunk": {
      const [offset, data] = check(linkFieldSchemas[type], fields, type);
      return { type, offset, data };
    }
    case "snapshot-verdict": {
      const [stored, message] = check(linkFieldSchemas[type], fields, type);
      return { type, stored, message };
    }
    default:
      throw new WireError(`a ${type} frame stands where none is expected`);
  }
}
