import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { freePorts } from "../test/e2e/ports.ts";
import { ManagedProcess } from "../test/e2e/process.ts";
import { until } from "../test/e2e/wait.ts";
import { keyPrefix } from "./faces.ts";
import { benchValue, fillKeys, keyOf } from "./fill.ts";
import { countKeys, statusOf } from "./gateway.ts";
import { type Side, startMembers } from "./members.ts";
import type { System, SystemName } from "./types.ts";

/** Three members of the system on loopback, with default timeouts. */
export function startSystem(name: SystemName, folder: string): Promise<System> {
  return name === "prototype" ? startPrototype(folder) : startSide(name, folder);
}

async function startSide(side: Side, folder: string): Promise<System> {
  const members = await startMembers(side, { folder });
  return {
    name: side,
    version: members.version,
    get pids() {
      return members.pids;
    },
    leader: async () => {
      const { endpoint } = await members.leader();
      return { "http/1.1": endpoint, grpc: side === "etcd" ? endpoint : await grpcAddress(endpoint) };
    },
    revision: async () => (await statusOf((await members.leader()).endpoint)).revision,
    fill: async (count) => {
      await fillKeys(members, 0, count);
      const found = await countKeys((await members.leader()).endpoint, keyPrefix);
      if (found !== count) throw new Error(`${side}: ${count} keys were put, but it has ${found}`);
    },
    stop: () => members.stop(),
  };
}

/** `host:port` of the gRPC face of coracle's leader, as the asked member knows it. */
async function grpcAddress(endpoint: string): Promise<string> {
  const answer = await fetch(`http://${endpoint}/v1/leader`);
  const { leader } = (await answer.json()) as { leader: { grpc_urls: string[] } };
  const url = leader.grpc_urls[0];
  if (url === undefined) throw new Error(`the leader that ${endpoint} knows serves no gRPC`);
  return new URL(url).host;
}

const prototypeProgram = resolve(import.meta.dirname, "prototype/member.ts");

/** The bare data path without consensus: one that leads for ever, and two followers. */
async function startPrototype(folder: string): Promise<System> {
  const [http = 0, ...followers] = await freePorts(3);
  const start = (name: string, ...args: readonly number[]): ManagedProcess => {
    const data = join(folder, name);
    mkdirSync(data, { recursive: true });
    const command = [process.execPath, prototypeProgram, data, ...args.map(String)];
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
    leader: async () => ({ "http/1.1": endpoint, grpc: "" }),
    revision,
    fill: (count) => putEach(endpoint, count),
    stop: async () => {
      await Promise.all(processes.map((one) => one.stop("SIGKILL")));
    },
  };
}

/** It has no transactions to fill it with. */
async function putEach(endpoint: string, count: number): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      const url = `http://${endpoint}/v1/kv/${keyOf(next++)}`;
      const response = await fetch(url, { method: "PUT", body: benchValue });
      if (!response.ok) throw new Error(`a put of the fill ended: ${response.status}`);
      await response.arrayBuffer();
    }
  };
  await Promise.all(Array.from({ length: 32 }, work));
}

async function listening(port: number): Promise<boolean> {
  const probe = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
  probe.end();
  return true;
}
