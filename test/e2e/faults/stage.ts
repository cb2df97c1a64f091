import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster, type Place } from "../cluster.ts";
import { freePorts } from "../ports.ts";
import { clockEnvironment } from "./clock-faults.ts";
import type { Fault } from "./fault.ts";
import { type Network, networkFor } from "./network.ts";
import { mountSmall } from "./tools.ts";

/** A running cluster with what a fault needs around it. */
export interface Stage {
  readonly cluster: Cluster;
  readonly network: Network | undefined;
  end(): Promise<void>;
}

export async function setStage(fault: Fault): Promise<Stage> {
  const count = fault.members ?? 3;
  const cluster = new Cluster({ label: `fault-${fault.name}`, flags: fault.flags ?? [] });
  const ports = await freePorts(count * 2);
  const peerPorts = ports.slice(count);
  const network =
    fault.network === undefined
      ? undefined
      : await networkFor(
          fault.network,
          count,
          (member) => cluster.members[member]?.process.pid ?? 0,
          peerPorts,
        );
  const unmounts: (() => void)[] = [];
  const end = async (): Promise<void> => {
    await cluster.stop();
    network?.close();
    for (const unmount of unmounts) unmount();
  };
  try {
    const names = Array.from({ length: count }, (_, at) => `n${at + 1}`);
    const places = names.map((name, at) => placeOf(fault, cluster, network, name, at));
    const list = names.map((name, at) => {
      const { host, advertisePeer } = places[at] as Place;
      return `${name}=${advertisePeer ?? `${host}:${peerPorts[at]}`}`;
    });
    const token = join(cluster.folder, "token");
    writeFileSync(token, `${"fault".repeat(8)}\n`, { mode: 0o600 });
    const flags = ["--initial-cluster", list.join(","), "--token-file", token, ...(network?.flags ?? [])];
    names.forEach((name, at) => {
      const member = cluster.add(name, ports[at] ?? 0, peerPorts[at] ?? 0, flags, 0, places[at]);
      if (fault.diskMebibytes === undefined) return;
      mkdirSync(member.plan.folder, { recursive: true });
      unmounts.push(mountSmall(member.plan.folder, fault.diskMebibytes));
    });
    for (const member of cluster.members) member.start();
    await cluster.ready();
    return { cluster, network, end };
  } catch (error) {
    cluster.showLogs();
    await end();
    throw error;
  }
}

function placeOf(
  fault: Fault,
  cluster: Cluster,
  network: Network | undefined,
  name: string,
  at: number,
): Place {
  const place = network?.place(at) ?? { host: "127.0.0.1", wrap: [], env: {} };
  return fault.clocks === true ? { ...place, env: clockEnvironment(cluster.folder, name) } : place;
}
