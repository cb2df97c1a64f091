import { existsSync } from "node:fs";
import { join } from "node:path";
import { Cluster, temporaryFolder } from "../../e2e/cluster.ts";
import { freePorts } from "../../e2e/ports.ts";
import { ManagedProcess } from "../../e2e/process.ts";
import { until } from "../../e2e/wait.ts";
import { type Face, GatewayFace, GrpcFace } from "./faces.ts";

export type FaceName = "gateway" | "grpc";

/** What is compared: a server or cluster with one face a member for each protocol. */
export interface Target {
  readonly name: string;
  readonly faces: Readonly<Record<FaceName, readonly Face[]>>;
  stop(): Promise<void>;
}

const etcdPath = "/usr/bin/etcd";

export const etcdInstalled = (): boolean => existsSync(etcdPath);

/** One member: replicas of this release can diverge. */
export async function startEtcd(): Promise<Target> {
  const [client = 0, peer = 0] = await freePorts(2);
  const folder = temporaryFolder("compat-etcd");
  const url = (port: number): string => `http://127.0.0.1:${port}`;
  const server = new ManagedProcess({
    logPath: join(folder, "etcd.log"),
    command: [
      ...[etcdPath, "--name", "d1", "--data-dir", join(folder, "data"), "--unsafe-no-fsync"],
      ...["--listen-client-urls", url(client), "--advertise-client-urls", url(client)],
      ...["--listen-peer-urls", url(peer), "--initial-advertise-peer-urls", url(peer)],
      ...["--initial-cluster", `d1=${url(peer)}`],
    ],
  });
  const endpoint = `127.0.0.1:${client}`;
  await until("etcd is ready", async () => {
    if (!server.running) throw new Error(`etcd ended:\n${server.tail()}`);
    return (await fetch(`http://${endpoint}/health`)).ok;
  });
  return {
    name: "etcd",
    faces: facesOf([{ http: endpoint, grpc: endpoint }]),
    stop: async () => {
      await server.stop("SIGTERM");
    },
  };
}

export async function startCoracle(count: number): Promise<Target> {
  const label = `compat-${count}`;
  const cluster = await Cluster.start({ label }, count);
  const endpoints = cluster.members.map((member) => ({ http: member.endpoint, grpc: member.grpcEndpoint }));
  return {
    name: count === 1 ? "coracle, one member" : `coracle, ${count} members`,
    faces: facesOf(endpoints),
    stop: () => cluster.stop(),
  };
}

/** The greatest revision that a seed names as such, and not by its distance from those it makes. */
const namedRevisionMax = 100;

/**
 * Brings a fresh store past the revisions that seeds name, and compacts those: else it would depend on
 * how much was written before whether such a revision is past, to come, or gone.
 */
export async function passNamedRevisions({ faces }: Target): Promise<void> {
  const [face] = faces.gateway;
  for (let revision = 0; revision <= namedRevisionMax; revision++) {
    await face?.call("/v3/kv/put", { key: "AA==" });
  }
  await face?.call("/v3/kv/deleterange", { key: "AA==" });
  await face?.call("/v3/kv/compaction", { revision: namedRevisionMax + 1 });
}

function facesOf(endpoints: readonly { readonly http: string; readonly grpc: string }[]): Target["faces"] {
  return {
    gateway: endpoints.map(({ http }) => new GatewayFace(http)),
    grpc: endpoints.map(({ grpc }) => new GrpcFace(grpc)),
  };
}
