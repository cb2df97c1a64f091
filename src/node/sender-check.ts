import { getLogger } from "@logtape/logtape";
import type { MemberId, Message } from "../raft/types.ts";

const log = getLogger(["coracle", "node"]);

/**
 * Whether Raft may be given this message: it is for this member, and speaks for the one that sent it.
 * A snapshot's data comes on a connection of its own; without it there is nothing to install.
 */
export function isCredible(message: Message, from: MemberId, self: MemberId): boolean {
  const { type, from: named, to } = message;
  if (named === from && to === self && type !== "snapshot") return true;
  log.warn("Dropped a {type} message in the name of {named} to {to} from {from}.", { type, named, to, from });
  return false;
}
