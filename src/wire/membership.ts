import * as v from "valibot";
import type { MemberChange, MemberRecord } from "../base/members.ts";
import type { MembershipCommand } from "../kv/types.ts";
import { decodeCbor, encodeCbor, plain } from "./cbor.ts";
import { check, id, memberTuple } from "./schema.ts";
import { WireError } from "./wire-error.ts";

const layout = 1;
const operations = ["add-learner", "promote", "remove", "update"] as const;

/** [layout 1, operation, member or id] */
export const membershipSchema = v.union([
  v.strictTuple([v.literal(layout), v.literal(0), memberTuple]),
  v.strictTuple([v.literal(layout), v.literal(1), id]),
  v.strictTuple([v.literal(layout), v.literal(2), id]),
  v.strictTuple([v.literal(layout), v.literal(3), memberTuple]),
]);

/**
 * The content of a `confChange` log entry.
 *
 * @throws WireError when the member's fields are none that could be read again: an entry that
 *   cannot be read would stop every member.
 */
export function encodeMembershipCommand(command: MembershipCommand): Uint8Array {
  const { change } = command;
  const subject = "member" in change ? positional(change.member) : change.id;
  const value = plain([layout, operations.indexOf(change.op), subject]);
  check(membershipSchema, value, "a membership command");
  return encodeCbor(value);
}

/**
 * Reads the content of a `confChange` log entry.
 *
 * @throws WireError when it is no membership command of a layout that this version reads.
 */
export function decodeMembershipCommand(bytes: Uint8Array): MembershipCommand {
  const [, operation, subject] = check(membershipSchema, decodeCbor(bytes), "a membership command");
  return { change: changeOf(operation, subject) };
}

function changeOf(operation: number, subject: number | v.InferOutput<typeof memberTuple>): MemberChange {
  const op = operations[operation];
  if (typeof subject === "number") {
    if (op === "promote" || op === "remove") return { op, id: subject };
  } else if (op === "add-learner" || op === "update") {
    return { op, member: recordOf(subject) };
  }
  throw new WireError("a membership command names the wrong subject");
}

function positional(member: MemberRecord): unknown[] {
  return [
    member.id,
    member.name,
    member.peerAddress,
    [...member.clientUrls],
    [...member.grpcUrls],
    member.learner,
  ];
}

function recordOf(fields: v.InferOutput<typeof memberTuple>): MemberRecord {
  const [memberId, name, peerAddress, clientUrls, grpcUrls, learner] = fields;
  return { id: memberId, name, peerAddress, clientUrls, grpcUrls, learner };
}
