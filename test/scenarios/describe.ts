import type { Packet } from "../../src/raft/harness.test-support.ts";
import { textOf } from "../../src/raft/harness.test-support.ts";
import type { HarnessMember } from "../../src/raft/harness-member.test-support.ts";
import { type Entry, entryKind } from "../../src/raft/types.ts";

/** One line for a packet, as a person would write it. */
export function describePacket(packet: Packet): string {
  const head = `${packet.from}>${packet.to} ${packet.type}`;
  const term = `term ${packet.term}`;
  switch (packet.type) {
    case "append":
      return `${head} ${term}, after ${packet.prevIndex}/${packet.prevTerm}, commit ${packet.commit}: ${describeEntries(packet.entries)}`;
    case "append-response":
      return packet.rejected
        ? `${head} ${term}: rejects ${packet.index}, hint ${packet.hintIndex}/${packet.hintTerm}`
        : `${head} ${term}: has ${packet.index}`;
    case "vote":
      return `${packet.from}>${packet.to} ${packet.pre ? "pre-vote" : "vote"} ${term}, log ends ${packet.lastIndex}/${packet.lastTerm}${packet.transfer ? ", transfer" : ""}`;
    case "vote-response":
      return `${packet.from}>${packet.to} ${packet.pre ? "pre-vote" : "vote"}-response ${term}: ${packet.granted ? "granted" : "refused"}`;
    case "heartbeat":
      return `${head} ${term}, commit ${packet.commit}${packet.readRound ? `, read round ${packet.readRound}` : ""}`;
    case "heartbeat-response":
      return `${head} ${term}${packet.readRound ? `, read round ${packet.readRound}` : ""}`;
    case "snapshot":
      return `${head} ${term}, up to ${packet.snapshot.index}/${packet.snapshot.term}`;
    case "snapshot-transfer":
      return `${head} ${term}, up to ${packet.state.applied}/${packet.state.appliedTerm}`;
    case "timeout-now":
      return `${head} ${term}`;
    case "read-index":
      return `${head} ${term}, read ${packet.context}`;
    case "read-index-response":
      return `${head} ${term}, read ${packet.context} at ${packet.index}`;
  }
}

function describeEntries(entries: readonly Entry[]): string {
  return entries.length === 0 ? "nothing" : entries.map(describeEntry).join(" ");
}

export function describeEntry(entry: Entry): string {
  const at = `${entry.index}/${entry.term}`;
  if (entry.kind === entryKind.noop) return `${at}(noop)`;
  const text = textOf(entry.data);
  if (entry.kind === entryKind.normal) return `${at}(${text})`;
  const { op, id } = JSON.parse(text);
  return `${at}(${op} ${id})`;
}

/** One line for the state of a member. */
export function describeMember(member: HarnessMember): string {
  if (!member.up)
    return `${member.id}: down, disk ends ${member.disk.lastIndex()}, term ${member.diskState.term}`;
  const { role, term, leader, commit, applied, lastIndex, stable, conf, transferee } = member.raft.status();
  const line = [`${member.id}: ${role} in term ${term}`];
  if (role === "follower") line.push(leader === 0 ? "no leader" : `leader ${leader}`);
  line.push(`log ${member.log.firstIndex()}..${lastIndex}`);
  if (stable !== lastIndex) line.push(`stable ${stable}`);
  line.push(`commit ${commit}`);
  if (applied !== commit) line.push(`applied ${applied}`);
  line.push(`voters ${conf.voters.join(" ") || "none"}`);
  if (conf.learners.length > 0) line.push(`learners ${conf.learners.join(" ")}`);
  if (transferee !== 0) line.push(`transfers to ${transferee}`);
  return line.join(", ");
}
