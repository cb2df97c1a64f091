import { limits } from "../base/limits.ts";

/** Times and bounds of peer connections. Tests shorten them. */
export const peerLimits = {
  /** From the first byte, or the attempt to connect, to the end of the handshake. */
  handshakeMs: 5_000,
  /** One frame before the other side has proved itself. */
  handshakeFrameBytesMax: 4_096,
  /** Connections that have not proved themselves; over it the oldest is closed. */
  unauthenticatedMax: 64,
  /** Control connections that are being answered. */
  controlMax: 128,
  /** How long the answer to a control request may take. */
  controlMs: 60_000,
  /** A control request or answer. */
  controlFrameBytesMax: 1024 * 1024,
  /** Time between two pings, and the step by which silence is counted. */
  pingMs: 1_000,
  /** Pings without an answer after which a connection counts as dead. */
  silentPingsMax: 3,
  reconnectMsMin: 50,
  reconnectMsMax: 2_000,
  /** Bytes waiting for one peer before messages to it are dropped. */
  queueBytesMax: limits.peerQueueBytesMax,
  /** Messages that reach this size are written without waiting for the end of the turn. */
  flushBytes: 256 * 1024,
  /** Bytes of a snapshot on their way into the socket at once. */
  snapshotWindowBytes: 1024 * 1024,
  snapshotChunkBytes: limits.snapshotChunkBytes,
  /** A snapshot connection without any progress for so long is given up. */
  snapshotIdleMs: 15_000,
  /** The same refusal is logged once in this time. */
  refusalLogMs: 60_000,
};

export type PeerLimits = { readonly [name in keyof typeof peerLimits]: number };
