import type { Host } from "./host.ts";

/** A machine and its member in one line, for the message of a violation. */
export function describeHost(host: Host): string {
  const { process } = host;
  if (process?.ready !== true)
    return `${host.name} (${host.retired ? "retired" : host.running ? "starting" : "down"})`;
  const { role, term, leader, commit, applied, lastIndex, conf } = process.node.raftStatus();
  const stopped = process.stoppedSinceUs === undefined ? "" : ", stopped";
  return `${host.name} (${process.memberId}: ${role} in term ${term}, leader ${leader}, applied ${applied} of ${commit} of ${lastIndex}, voters ${conf.voters.join("+")}, learners ${conf.learners.join("+")}${stopped})`;
}
