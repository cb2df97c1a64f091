import type { Coverage } from "../engine/coverage.ts";
import { faultKinds } from "../faults/schedule.ts";
import type { Totals } from "./parallel.ts";

/** A line that is written over about every second, or every 20 seconds where it cannot be. */
export function progressLine(startMs: number): (totals: Totals, last?: boolean) => void {
  const terminal = process.stderr.isTTY === true;
  let nextMs = 0;
  return (totals, last = false) => {
    const nowMs = performance.now();
    if (nowMs < nextMs && !last) return;
    nextMs = nowMs + (terminal ? 1000 : 20_000);
    const seconds = (nowMs - startMs) / 1000;
    const hours = totals.simulatedMs / 3_600_000;
    let faults = 0;
    for (const [what, times] of totals.coverage.counts) if (what.startsWith("fault: ")) faults += times;
    const line = `${totals.seeds} seeds (${(totals.seeds / seconds).toFixed(1)}/s), ${hours.toFixed(2)} simulated hours, ${faults} faults, ${totals.coverage.get("raft: leader elected")} elections, ${totals.coverage.get("snapshot: installed")} snapshots installed, ${totals.failures.length} failed`;
    process.stderr.write(terminal && !last ? `\r${line}\u001b[K` : `${line}\n`);
  };
}

export function printCoverage(coverage: Coverage): void {
  const rows = [...coverage.counts].sort(([a], [b]) => (a < b ? -1 : 1));
  const width = Math.max(0, ...rows.map(([what]) => what.length));
  for (const [what, times] of rows) console.log(`${what.padEnd(width)} ${String(times).padStart(9)}`);
  const faults = Object.keys(faultKinds).map((kind) => `fault: ${kind}`);
  for (const what of [...faults, ...wanted])
    if (coverage.get(what) === 0) console.log(`NEVER REACHED: ${what}`);
}

/** Rare states without which a long search would prove little. */
export const wanted = [
  "client: answered from the remembered answers",
  "client: compaction done",
  "client: gave up waiting",
  "client: get in the past refused",
  "client: transaction that reads the past refused",
  "compaction: committed",
  "compaction: rows removed",
  "crash: a write of the log torn",
  "crash: between a commit of state.db and what follows",
  "crash: within moments of a membership change",
  "disk: applied entries undone",
  "disk: damage found at start",
  "disk: member stopped by a failed write",
  "lease: keep-alive answer",
  "lease: keep-alive lease_not_found",
  "lease: renewal asked of a leader that was replaced",
  "lease: revoke answer",
  "liveness: minority stays down",
  "lock: acquire answer",
  "lock: acquire lock_held",
  "lock: lost before it was used",
  "lock: worked under it",
  "membership: a change cut from a log",
  "membership: add-learner committed",
  "membership: leadership transferred",
  "membership: member learned of its removal",
  "membership: promote committed",
  "membership: remove committed",
  "membership: update committed",
  "network: connection in the version of the next release",
  "network: connection of two releases",
  "network: held messages came late",
  "network: message duplicated",
  "network: message lost",
  "network: message reordered",
  "node: commands forwarded to the leader",
  "node: read confirmed through the leader",
  "power loss: commits of state.db lost",
  "process: all members restarted one by one",
  "process: clean stop",
  "raft: conflicting entries cut",
  "raft: elected while another still leads an older term",
  "raft: election without a winner",
  "raft: entry of an earlier term committed",
  "raft: leader deposed with entries under way",
  "raft: leader stepped down without a quorum",
  "raft: lone leader at work",
  "raft: vote asked after a transfer",
  "snapshot: arrived behind the commit index",
  "snapshot: arrived during a partition",
  "snapshot: came a second time",
  "snapshot: installed",
  "snapshot: installed over a log that reaches further",
  "snapshot: transfer interrupted",
  "snapshot: transfer resumed",
  "start: state ahead of the log",
  "start: state behind the commit index",
  "watch: opened at a member that is behind",
  "watch: opened in the past",
  "watch: paused",
  "watch: resumed elsewhere",
  "watch: what it needs is compacted",
] as const;
