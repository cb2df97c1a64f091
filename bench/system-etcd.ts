import { join } from "node:path";
import { freePorts } from "../test/e2e/ports.ts";
import { ManagedProcess, runToEnd } from "../test/e2e/process.ts";
import { until } from "../test/e2e/wait.ts";
import type { System } from "./types.ts";

/** The etcd to compare with: Debian's, or the one that ETCD_BIN names. */
export const etcdBinary = process.env.ETCD_BIN ?? "/usr/bin/etcd";

interface Header {
  readonly member_id: string;
  readonly revision: string;
}

export async function etcdVersion(): Promise<string> {
  const { stdout } = await runToEnd([etcdBinary, "--version"]);
  return /etcd Version: (\S+)/.exec(stdout)?.[1] ?? "unknown";
}

async function ask<T>(client: string, path: string, body: object = {}): Promise<T> {
  const response = await fetch(`http://${client}${path}`, {
    method: "POST",
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(5_000),
  });
  if (!response.ok) throw new Error(`etcd ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** Starts a cluster of `count` etcd members with default timeouts on loopback. */
export async function startEtcd(folder: string, count = 3): Promise<System> {
  const ports = await freePorts(count * 2);
  const members = Array.from({ length: count }, (_, i) => ({
    name: `e${i + 1}`,
    client: `127.0.0.1:${ports[i * 2]}`,
    peer: `http://127.0.0.1:${ports[i * 2 + 1]}`,
  }));
  const initialCluster = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
  const start = ({ name, client, peer }: (typeof members)[number]): ManagedProcess =>
    new ManagedProcess({
      logPath: join(folder, `${name}.log`),
      // Debian's build refuses nothing on amd64; on other machines etcd 3.4 asks for this word.
      env: { ETCD_UNSUPPORTED_ARCH: process.arch },
      command: [
        etcdBinary,
        ...["--name", name, "--data-dir", join(folder, name)],
        ...["--listen-client-urls", `http://${client}`, "--advertise-client-urls", `http://${client}`],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        ...["--initial-cluster", initialCluster, "--initial-cluster-state", "new"],
        ...["--logger", "zap", "--log-level", "error"],
        // Room for every round of a long run; it costs nothing.
        ...["--quota-backend-bytes", String(8 * 1024 ** 3)],
      ],
    });
  const processes = members.map(start);
  const status = (client: string): Promise<{ header: Header; leader?: string }> =>
    ask(client, "/v3/maintenance/status");
  const leader = async (): Promise<string> => {
    for (const [at, { client }] of members.entries()) {
      if (processes[at]?.running !== true) continue;
      const found = await status(client);
      if (found.leader !== undefined && found.leader === found.header.member_id) return client;
    }
    throw new Error("no etcd member leads");
  };
  const running = (): string => members.find((_, at) => processes[at]?.running === true)?.client ?? "";
  await until("an etcd leader", leader, { everyMs: 50 });
  return {
    name: "etcd",
    version: await etcdVersion(),
    get pids() {
      return processes.filter((member) => member.running).map((member) => member.pid);
    },
    endpoints: members.map(({ client }) => client),
    leader: async () => {
      const client = await leader();
      return { "http/1.1": client, grpc: client };
    },
    revision: async () => {
      const answer = await ask<{ header: Header }>(running(), "/v3/kv/range", { key: btoa("?") });
      return Number(answer.header.revision);
    },
    put: async (key, value) => {
      await ask(running(), "/v3/kv/put", { key: btoa(key), value: btoa(value) });
    },
    killLeader: async () => {
      const client = await leader();
      await processes[members.findIndex((member) => member.client === client)]?.stop("SIGKILL");
    },
    restart: async () => {
      for (const [at, member] of members.entries()) {
        if (processes[at]?.running !== true) processes[at] = start(member);
      }
      for (const { client } of members) {
        await until(`etcd at ${client}`, async () => (await status(client)).leader, {
          everyMs: 50,
          timeoutMs: 120_000,
        });
      }
    },
    stopAll: async () => {
      await Promise.all(processes.map((member) => member.stop("SIGTERM")));
    },
    stop: async () => {
      await Promise.all(processes.map((member) => member.stop("SIGTERM")));
    },
  };
}
