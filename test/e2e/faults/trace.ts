import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Cluster, Member } from "../cluster.ts";
import { ManagedProcess } from "../process.ts";
import { until } from "../wait.ts";

/** The thread of a member that writes its log: the first worker that it starts. */
function logWriterThread(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
    .map(Number)
    .filter((thread) => readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8").trim() === "Worker")
    .sort((a, b) => a - b);
  const [first] = threads;
  if (first === undefined) throw new Error(`process ${pid} has no worker thread`);
  return first;
}

/**
 * Has the kernel's answers to a member's log writer changed: `injection` is what strace calls so,
 * such as `fsync,fdatasync:error=EIO`. Only that thread is traced: the others keep their pace. Gives
 * what ends it.
 */
export async function inject(
  cluster: Cluster,
  member: Member,
  injection: string,
): Promise<() => Promise<void>> {
  const thread = logWriterThread(member.process.pid);
  const calls = injection.slice(0, injection.indexOf(":"));
  const tracer = new ManagedProcess({
    command: [
      "strace",
      "-p",
      `${thread}`,
      "-o",
      "/dev/null",
      "-e",
      `trace=${calls}`,
      "-e",
      `inject=${injection}`,
    ],
    logPath: join(cluster.folder, "logs", `strace-${member.name}.log`),
  });
  await until("strace to attach", () => {
    // An error may end the member, and so the tracing, before anybody looks.
    if (tracer.tail(5).includes("attached")) return true;
    if (!tracer.running) throw new Error(`strace ended: ${tracer.tail(3)}`);
    return false;
  });
  return async () => {
    await tracer.stop("SIGINT");
  };
}
