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
  const leader = await cluster.leader();
  return {
    name: "coracle",
    version: await coracleVersion(),
    pids: cluster.members.map((member) => member.process.pid),
    leader: async () => ({ "http/1.1": (await cluster.leader()).endpoint, grpc: "" }),
    revision: async () => (await (await cluster.leader()).head()).revision,
    put: async (key, value) => {
      const response = await fetch(`http://${leader.endpoint}/v1/kv/${key}`, { method: "PUT", body: value });
      if (!response.ok)
        throw new Error(`a put of the fill ended: ${response.status} ${await response.text()}`);
      await response.arrayBuffer();
    },
    stop: () => cluster.stop(),
  };
}
