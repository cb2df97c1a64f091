import { Cluster, coracleCommand } from "../test/e2e/cluster.ts";
import { runToEnd } from "../test/e2e/process.ts";
import type { System } from "./types.ts";

export async function coracleVersion(): Promise<string> {
  const { stdout, code } = await runToEnd([...coracleCommand(), "--version"]);
  return code === 0
    ? (stdout
        .trim()
        .split("\n")[0]
        ?.replace(/^coracle /, "") ?? "unknown")
    : "unknown";
}

/** Starts three coracle members with default timeouts on loopback. */
export async function startCoracle(): Promise<System> {
  const cluster = await Cluster.start({ label: "bench" });
  let leader = await cluster.leader();
  return {
    name: "coracle",
    version: await coracleVersion(),
    get pids() {
      return cluster.members.filter((member) => member.running).map((member) => member.process.pid);
    },
    endpoints: cluster.members.map((member) => member.endpoint),
    leader: async () => {
      leader = await cluster.leader();
      return { "http/1.1": leader.endpoint, grpc: await grpcAddress(leader.endpoint) };
    },
    revision: async () => (await (await cluster.leader()).head()).revision,
    put: async (key, value) => {
      const response = await fetch(`http://${leader.endpoint}/v1/kv/${key}`, { method: "PUT", body: value });
      if (!response.ok)
        throw new Error(`a put of the fill ended: ${response.status} ${await response.text()}`);
      await response.arrayBuffer();
    },
    killLeader: async () => (await cluster.leader()).kill(),
    restart: async () => {
      const down = cluster.members.filter((member) => !member.running);
      for (const member of down) member.start();
      await Promise.all(down.map((member) => member.ready(120_000)));
    },
    stopAll: async () => {
      await Promise.all(cluster.members.map((member) => member.terminate()));
    },
    stop: () => cluster.stop(),
  };
}

/** `host:port` of the gRPC face of the leader, as the asked member knows it. */
async function grpcAddress(endpoint: string): Promise<string> {
  const answer = await fetch(`http://${endpoint}/v1/leader`);
  const { leader } = (await answer.json()) as { leader: { grpc_urls: string[] } };
  const url = leader.grpc_urls[0];
  return url === undefined ? "" : new URL(url).host;
}
