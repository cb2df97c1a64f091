import { rmSync } from "node:fs";
import { join } from "node:path";
import { Cluster, type Member } from "../test/e2e/cluster.ts";
import { freePorts } from "../test/e2e/ports.ts";
import { ManagedProcess } from "../test/e2e/process.ts";
import { until } from "../test/e2e/wait.ts";
import { ask, serves, statusOf } from "./gateway.ts";
import { coracleVersion, etcdBinary, etcdVersion } from "./versions.ts";

/**
 * Three members of either system with each of them in hand: for parts that end, restart, add and
 * look into single members. Everything that is asked goes by the JSON gateway, alike for both.
 */

export type Side = "coracle" | "etcd";
/** In this order in every table. */
export const sides: readonly Side[] = ["coracle", "etcd"];

export interface BenchMember {
  readonly name: string;
  /** `host:port` for clients. */
  readonly endpoint: string;
  /** Of its data. */
  readonly folder: string;
  readonly pid: number;
  readonly running: boolean;
  start(): void;
  kill(): Promise<void>;
  /** SIGTERM, and the end that follows. */
  terminate(): Promise<void>;
}

/** Members of one system. */
export abstract class BenchCluster {
  abstract readonly side: Side;
  readonly version: string;
  readonly members: BenchMember[];

  constructor(version: string, members: BenchMember[]) {
    this.version = version;
    this.members = members;
  }

  /** Starts a further member that joins the others. Resolves when its process runs. */
  abstract join(name: string): Promise<BenchMember>;
  /** Takes a member out for good, and ends it. */
  abstract remove(member: BenchMember): Promise<void>;
  /** Ends all, and deletes their data. */
  abstract stop(): Promise<void>;

  get running(): BenchMember[] {
    return this.members.filter((member) => member.running);
  }
  get pids(): number[] {
    return this.running.map(({ pid }) => pid);
  }
  get endpoints(): string[] {
    return this.members.map(({ endpoint }) => endpoint);
  }

  /** The one that every running member takes for the leader. */
  leader(): Promise<BenchMember> {
    return until(
      "a leader that all members agree on",
      async () => {
        const views = await Promise.all(this.running.map(({ endpoint }) => statusOf(endpoint)));
        const leaderId = views[0]?.leaderId ?? "0";
        if (leaderId === "0" || views.some((view) => view.leaderId !== leaderId)) return undefined;
        return this.running[views.findIndex(({ memberId }) => memberId === leaderId)];
      },
      { everyMs: 20, timeoutMs: 60_000 },
    );
  }
}

export interface BenchClusterOptions {
  /** For etcd's data; coracle's has a folder of its own. */
  readonly folder: string;
  /** Flags for every member of this system. */
  readonly flags?: Readonly<Partial<Record<Side, readonly string[]>>>;
}

/** Three members on loopback with default timeouts, ready. */
export async function startMembers(side: Side, options: BenchClusterOptions): Promise<BenchCluster> {
  const flags = options.flags?.[side] ?? [];
  if (side === "etcd") return await startEtcdMembers(options.folder, flags);
  return new CoracleMembers(await coracleVersion(), await Cluster.start({ label: "bench", flags }));
}

/** Waits until the member answers a linearizable read. */
export async function ready(member: BenchMember, timeoutMs = 120_000): Promise<void> {
  await until(`${member.name} at ${member.endpoint} serves`, () => serves(member.endpoint), {
    timeoutMs,
    everyMs: 10,
  });
}

function coracleMember(member: Member): BenchMember {
  return {
    name: member.name,
    endpoint: member.endpoint,
    folder: member.plan.folder,
    get pid() {
      return member.process.pid;
    },
    get running() {
      return member.running;
    },
    start: () => member.start(),
    kill: () => member.kill(),
    terminate: async () => {
      await member.terminate();
    },
  };
}

class CoracleMembers extends BenchCluster {
  readonly side = "coracle";
  readonly #cluster: Cluster;

  constructor(version: string, cluster: Cluster) {
    super(version, cluster.members.map(coracleMember));
    this.#cluster = cluster;
  }

  async join(name: string): Promise<BenchMember> {
    const joining = await this.#cluster.addJoining(name);
    joining.start();
    const member = coracleMember(joining);
    this.members.push(member);
    return member;
  }

  async remove(member: BenchMember): Promise<void> {
    const rest = this.running.find((one) => one !== member);
    const response = await fetch(`http://${rest?.endpoint}/v1/members/${member.name}`, { method: "DELETE" });
    if (!response.ok) throw new Error(`${member.name} was not removed: ${await response.text()}`);
    await member.kill();
    this.members.splice(this.members.indexOf(member), 1);
    const planned = this.#cluster.members;
    planned.splice(
      planned.findIndex(({ name }) => name === member.name),
      1,
    );
    rmSync(member.folder, { recursive: true, force: true });
  }

  async stop(): Promise<void> {
    await this.#cluster.stop();
    rmSync(this.#cluster.folder, { recursive: true, force: true });
  }
}

class EtcdMember implements BenchMember {
  readonly name: string;
  readonly endpoint: string;
  readonly folder: string;
  readonly peer: string;
  readonly #flags: readonly string[];
  #process: ManagedProcess | undefined;

  constructor(name: string, folder: string, ports: readonly number[], flags: readonly string[]) {
    this.name = name;
    this.folder = join(folder, name);
    this.endpoint = `127.0.0.1:${ports[0]}`;
    this.peer = `http://127.0.0.1:${ports[1]}`;
    this.#flags = flags;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }
  get running(): boolean {
    return this.#process?.running ?? false;
  }

  /** Where the cluster begins, as flags. Only the first start looks at them. */
  cluster: readonly string[] = [];

  start(): void {
    this.#process = new ManagedProcess({
      logPath: `${this.folder}.log`,
      // Debian's build refuses nothing on amd64; on other machines etcd 3.4 asks for this word.
      env: { ETCD_UNSUPPORTED_ARCH: process.arch },
      command: [
        ...[etcdBinary, "--name", this.name, "--data-dir", this.folder],
        ...["--listen-client-urls", `http://${this.endpoint}`],
        ...["--advertise-client-urls", `http://${this.endpoint}`],
        ...["--listen-peer-urls", this.peer, "--initial-advertise-peer-urls", this.peer],
        ...["--logger", "zap", "--log-level", "error"],
        // Room for a large store; it costs nothing.
        ...["--quota-backend-bytes", String(8 * 1024 ** 3)],
        ...this.cluster,
        ...this.#flags,
      ],
    });
  }

  async kill(): Promise<void> {
    await this.#process?.stop("SIGKILL");
  }

  async terminate(): Promise<void> {
    await this.#process?.stop("SIGTERM", 30_000);
  }
}

class EtcdMembers extends BenchCluster {
  readonly side = "etcd";
  readonly #folder: string;
  readonly #flags: readonly string[];
  readonly #own: EtcdMember[];

  constructor(version: string, members: EtcdMember[], folder: string, flags: readonly string[]) {
    super(version, [...members]);
    this.#own = members;
    this.#folder = folder;
    this.#flags = flags;
  }

  async join(name: string): Promise<BenchMember> {
    const member = new EtcdMember(name, this.#folder, await freePorts(2), this.#flags);
    const leader = await this.leader();
    await ask(leader.endpoint, "/v3/cluster/member/add", { peerURLs: [member.peer] }, 10_000);
    this.#own.push(member);
    this.members.push(member);
    member.cluster = ["--initial-cluster", listOf(this.#own), "--initial-cluster-state", "existing"];
    member.start();
    return member;
  }

  async remove(member: BenchMember): Promise<void> {
    const { memberId } = await statusOf(member.endpoint);
    const leader = await this.leader();
    await ask(leader.endpoint, "/v3/cluster/member/remove", { ID: memberId }, 10_000);
    await member.kill();
    for (const list of [this.members, this.#own])
      list.splice(
        list.findIndex(({ name }) => name === member.name),
        1,
      );
    rmSync(member.folder, { recursive: true, force: true });
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    for (const member of this.members) rmSync(member.folder, { recursive: true, force: true });
  }
}

function listOf(members: readonly EtcdMember[]): string {
  return members.map(({ name, peer }) => `${name}=${peer}`).join(",");
}

async function startEtcdMembers(folder: string, flags: readonly string[]): Promise<BenchCluster> {
  const ports = await freePorts(6);
  const members = ["e1", "e2", "e3"].map(
    (name, at) => new EtcdMember(name, folder, ports.slice(at * 2, at * 2 + 2), flags),
  );
  for (const member of members) {
    member.cluster = ["--initial-cluster", listOf(members), "--initial-cluster-state", "new"];
    member.start();
  }
  try {
    await Promise.all(members.map((member) => ready(member)));
  } catch (error) {
    await Promise.all(members.map((member) => member.kill()));
    throw error;
  }
  return new EtcdMembers(await etcdVersion(), members, folder, flags);
}
