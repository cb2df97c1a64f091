import { join } from "node:path";
import { coracleCommand } from "../test/e2e/cluster.ts";
import { freePorts } from "../test/e2e/ports.ts";
import { ManagedProcess } from "../test/e2e/process.ts";
import { pause } from "../test/e2e/wait.ts";
import { type Memory, memory, settle } from "./proc.ts";
import type { SystemName } from "./types.ts";
import { etcdBinary } from "./versions.ts";

export interface Start {
  readonly system: SystemName;
  /** From the start of the process to the first answered request, on an empty folder. */
  readonly firstAnswerMs: number;
  /** Of the one idle member, once it has calmed down. */
  readonly idle: Memory;
}

/** Starts a lone member on an empty folder and asks it again and again until it serves. */
export async function measureStart(system: SystemName, folder: string, round: number): Promise<Start> {
  const [client = 0, peer = 0, grpc = 0] = await freePorts(3);
  const data = join(folder, `lone-${system}-${round}`);
  const command =
    system === "coracle"
      ? [
          ...[...coracleCommand(), "serve", "--name", "lone", "--data-dir", data],
          ...["--listen-client", `127.0.0.1:${client}`, "--listen-peer", `127.0.0.1:${peer}`],
          ...["--listen-grpc", `127.0.0.1:${grpc}`],
        ]
      : [
          ...[etcdBinary, "--name", "lone", "--data-dir", data, "--logger", "zap", "--log-level", "error"],
          ...["--listen-client-urls", `http://127.0.0.1:${client}`],
          ...["--advertise-client-urls", `http://127.0.0.1:${client}`],
          ...["--listen-peer-urls", `http://127.0.0.1:${peer}`],
          ...["--initial-advertise-peer-urls", `http://127.0.0.1:${peer}`],
          ...["--initial-cluster", `lone=http://127.0.0.1:${peer}`],
        ];
  const request =
    system === "coracle"
      ? new Request(`http://127.0.0.1:${client}/v1/kv?prefix=a`)
      : new Request(`http://127.0.0.1:${client}/v3/kv/range`, { method: "POST", body: '{"key":"YQ=="}' });
  const startedAt = performance.now();
  const member = new ManagedProcess({ command, logPath: `${data}.log` });
  try {
    while (true) {
      if (!member.running) throw new Error(`${system} ended at start:\n${member.tail()}`);
      if (performance.now() - startedAt > 20_000)
        throw new Error(`${system} does not serve:\n${member.tail()}`);
      try {
        const response = await fetch(request.clone());
        await response.arrayBuffer();
        if (response.ok) break;
      } catch {
        // Not listening yet.
      }
      await pause(1);
    }
    const firstAnswerMs = performance.now() - startedAt;
    await settle([member.pid]);
    return { system, firstAnswerMs, idle: memory([member.pid]) };
  } finally {
    await member.stop("SIGKILL");
  }
}
