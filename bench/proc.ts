import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { pause } from "../test/e2e/wait.ts";

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** CPU seconds, user and system, that the processes have used with all their threads. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // Fields are counted behind the program's name, which may hold spaces (proc(5): utime 14, stime 15).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / ticksPerSecond;
}

export interface Memory {
  /** Resident, files mapped from the executable included. */
  readonly residentMiB: number;
  /** Resident and not backed by a file: what the process costs beyond the page cache. */
  readonly anonymousMiB: number;
}

/** Memory of the processes together. */
export function memory(pids: readonly number[]): Memory {
  let residentKiB = 0;
  let anonymousKiB = 0;
  for (const pid of pids) {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    residentKiB += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    anonymousKiB += Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  }
  return { residentMiB: residentKiB / 1024, anonymousMiB: anonymousKiB / 1024 };
}

/** Waits until the processes use next to no CPU, so that one load's remains do not weigh on the next. */
export async function settle(pids: readonly number[]): Promise<void> {
  const windowMs = 400;
  for (let window = 0; window < 40; window++) {
    const before = cpuSeconds(pids);
    await pause(windowMs);
    if (cpuSeconds(pids) - before <= 0.04) return;
  }
  console.log("  (the members were still busy after 16 s; measured all the same)");
}
