import type { ErrorCode } from "../base/errors.ts";
import type { Command, CommandResult } from "../kv/types.ts";
import type { MemberId, Message } from "../raft/types.ts";

/** How a forwarded command ended. `done` includes results of type `refused`. */
export type ForwardOutcome =
  | { readonly status: "done"; readonly result: CommandResult }
  | { readonly status: "not-proposed"; readonly code: ErrorCode; readonly message: string }
  | { readonly status: "unknown"; readonly message: string };

/** What two members say to each other on their standing connection. */
export type PeerMessage =
  | Message
  /** Commands for the leader to propose; `first` numbers them one by one in the sender's own count. */
  | { readonly type: "forward"; readonly first: number; readonly commands: readonly Command[] }
  /** Ends of forwarded commands, by the sender's numbers. */
  | { readonly type: "forward-result"; readonly outcomes: readonly (readonly [number, ForwardOutcome])[] }
  /** A question by name (status, add a member, ...) with a CBOR value; see `wire/requests.ts`. */
  | { readonly type: "request"; readonly id: number; readonly name: string; readonly body: unknown }
  | { readonly type: "response"; readonly id: number; readonly body: unknown }
  | {
      readonly type: "request-failed";
      readonly id: number;
      readonly code: ErrorCode;
      readonly message: string;
    };

/** What the node is told by the transport. Calls come one at a time, never inside `send`. */
export interface TransportEvents {
  /** A validated message from an authenticated member. */
  onMessage(from: MemberId, message: PeerMessage): void;
  onConnected(member: MemberId): void;
  /** An established connection to or from this member closed. */
  onDisconnected(member: MemberId): void;
}

export interface PeerEndpoint {
  readonly id: MemberId;
  readonly name: string;
  /** `host:port`. */
  readonly address: string;
}

/** Standing connections to the other members. Implemented on TCP, and by the simulator. */
export interface Transport {
  /** The members to keep connections with, without this one. */
  setPeers(peers: readonly PeerEndpoint[]): void;
  /**
   * Queues a message; messages of one turn share one write. False when there is no connection or
   * its queue is full: the message was then not sent and never will be.
   */
  send(to: MemberId, message: PeerMessage): boolean;
  connected(member: MemberId): boolean;
  /** Why a member is not connected; `undefined` when it is, or before the first attempt has ended. */
  trouble(member: MemberId): string | undefined;
  /** Milliseconds of the last measured round trip, or `undefined`. */
  roundTripMs(member: MemberId): number | undefined;
  close(): Promise<void>;
}
