import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { freePorts } from "../test/e2e/ports.ts";
import { ManagedProcess } from "../test/e2e/process.ts";
import { until } from "../test/e2e/wait.ts";
import type { System } from "./types.ts";

const program = resolve(import.meta.dirname, "prototype/member.ts");

/** Starts the bare data path without consensus: one that leads for ever, and two followers. */
export async function startPrototype(folder: string): Promise<System> {
  const [http = 0, ...followers] = await freePorts(3);
  const start = (name: string, ...args: readonly number[]): ManagedProcess => {
    const data = join(folder, name);
    mkdirSync(data, { recursive: true });
    const command = [process.execPath, program, data, ...args.map(String)];
    return new ManagedProcess({ command, logPath: join(folder, `${name}.log`) });
  };
  const processes = followers.map((port, at) => start(`p${at + 2}`, port));
  await Promise.all(followers.map((port) => until("a follower", () => listening(port))));
  processes.unshift(start("p1", http, ...followers));
  const endpoint = `127.0.0.1:${http}`;
  const revision = async (): Promise<number> => {
    const answer = await fetch(`http://${endpoint}/revision`);
    return ((await answer.json()) as { revision: number }).revision;
  };
  await until("the prototype to serve", revision);
  return {
    name: "prototype",
    version: "the bare data path",
    pids: processes.map(({ pid }) => pid),
    endpoints: [endpoint],
    leader: async () => ({ "http/1.1": endpoint, grpc: "" }),
    revision,
    put: async (key, value) => {
      const response = await fetch(`http://${endpoint}/v1/kv/${key}`, { method: "PUT", body: value });
      if (!response.ok) throw new Error(`a put of the fill ended: ${response.status}`);
      await response.arrayBuffer();
    },
    killLeader: () => Promise.reject(new Error("without its leader the prototype is nothing")),
    restart: () => Promise.reject(new Error("the prototype cannot read what it wrote")),
    stopAll: () => Promise.reject(new Error("the prototype cannot read what it wrote")),
    stop: async () => {
      await Promise.all(processes.map((one) => one.stop("SIGKILL")));
    },
  };
}

async function listening(port: number): Promise<boolean> {
  const probe = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
  probe.end();
  return true;
}
