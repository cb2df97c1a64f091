import { join } from "node:path";
import { Cluster, temporaryFolder } from "../../e2e/cluster.ts";
import { freePorts } from "../../e2e/ports.ts";
import { ManagedProcess, runToEnd } from "../../e2e/process.ts";
import { until } from "../../e2e/wait.ts";

/** Three members of one system, as a client sees them. `host:port` throughout. */
export interface System {
  readonly name: "etcd" | "coracle";
  readonly grpc: readonly string[];
  readonly gateway: readonly string[];
  /** The gRPC endpoint of the leader. */
  leader(): Promise<string>;
  killLeader(): Promise<void>;
  /** Starts what was killed, and waits until every member serves. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export const etcdBinary = process.env.ETCD_BIN ?? "/usr/bin/etcd";

/** The endpoint whose member leads, as etcdctl tells it. */
async function leaderAmong(endpoints: readonly string[]): Promise<string> {
  const { stdout } = await runToEnd(
    ["etcdctl", `--endpoints=${endpoints.join(",")}`, "endpoint", "status", "-w", "json"],
    { env: { ETCDCTL_API: "3" }, timeoutMs: 10_000 },
  );
  const statuses = JSON.parse(stdout) as {
    Endpoint: string;
    Status: { header: { member_id: number }; leader: number };
  }[];
  const found = statuses.find(({ Status }) => Status.leader === Status.header.member_id);
  if (found === undefined) throw new Error(`no leader among ${endpoints.join(",")}`);
  return found.Endpoint.replace(/^http:\/\//, "");
}

async function serving(endpoints: readonly string[]): Promise<void> {
  for (const endpoint of endpoints) {
    await until(
      `${endpoint} healthy`,
      async () =>
        (
          await runToEnd(["etcdctl", `--endpoints=${endpoint}`, "endpoint", "health"], {
            env: { ETCDCTL_API: "3" },
            timeoutMs: 10_000,
          })
        ).code === 0,
      { timeoutMs: 60_000, everyMs: 100 },
    );
  }
}

export async function startEtcd(): Promise<System> {
  const folder = temporaryFolder("compat-etcd");
  const ports = await freePorts(6);
  const members = [0, 1, 2].map((i) => ({
    name: `e${i + 1}`,
    client: `127.0.0.1:${ports[i * 2]}`,
    peer: `http://127.0.0.1:${ports[i * 2 + 1]}`,
  }));
  const initialCluster = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
  const start = ({ name, client, peer }: (typeof members)[number]): ManagedProcess =>
    new ManagedProcess({
      logPath: join(folder, `${name}.log`),
      env: { ETCD_UNSUPPORTED_ARCH: process.arch },
      command: [
        etcdBinary,
        ...["--name", name, "--data-dir", join(folder, name)],
        ...["--listen-client-urls", `http://${client}`, "--advertise-client-urls", `http://${client}`],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        ...["--initial-cluster", initialCluster, "--initial-cluster-state", "new"],
        ...["--logger", "zap", "--log-level", "error"],
      ],
    });
  const processes = members.map(start);
  const endpoints = members.map(({ client }) => client);
  await serving(endpoints);
  return {
    name: "etcd",
    grpc: endpoints,
    gateway: endpoints,
    leader: () => leaderAmong(endpoints),
    killLeader: async () => {
      const leader = await leaderAmong(endpoints.filter((_, at) => processes[at]?.running === true));
      await processes[endpoints.indexOf(leader)]?.stop("SIGKILL");
    },
    restart: async () => {
      for (const [at, member] of members.entries()) {
        if (processes[at]?.running !== true) processes[at] = start(member);
      }
      await serving(endpoints);
    },
    stop: async () => void (await Promise.all(processes.map((member) => member.stop("SIGTERM")))),
  };
}

export async function startCoracle(): Promise<System> {
  const cluster = await Cluster.start({ label: "compat-coracle" });
  return {
    name: "coracle",
    grpc: cluster.members.map((member) => member.grpcEndpoint),
    gateway: cluster.members.map((member) => member.endpoint),
    leader: async () => (await cluster.leader()).grpcEndpoint,
    killLeader: async () => (await cluster.leader()).kill(),
    restart: async () => {
      for (const member of cluster.members) if (!member.running) member.start();
      await cluster.ready();
    },
    stop: () => cluster.stop(),
  };
}
