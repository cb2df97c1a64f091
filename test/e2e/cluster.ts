import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type HeadView, readHead } from "./api-shapes.ts";
import { HttpConnection } from "./http.ts";
import { freePorts } from "./ports.ts";
import { atEnd, type Exit, ManagedProcess } from "./process.ts";
import { until } from "./wait.ts";

const root = resolve(import.meta.dirname, "../..");

/**
 * The program under test: the compiled binary, or what CORACLE_BIN names (words apart by spaces).
 * @throws Error when it is not there.
 */
export function coracleCommand(): string[] {
  const words = (process.env.CORACLE_BIN ?? join(root, "dist/coracle")).split(" ");
  const program = words[0] ?? "";
  if (program.includes("/") && !existsSync(program))
    throw new Error(`${program} does not exist; compile it first with: npm run compile`);
  return words;
}

/** A folder of its own under the system's temporary folder, removed when the script ends. */
export function temporaryFolder(label: string): string {
  const folder = mkdtempSync(join(tmpdir(), `coracle-${label}-`));
  if (process.env.KEEP === undefined) atEnd(() => rmSync(folder, { recursive: true, force: true }));
  else console.log(`     kept: ${folder}`);
  return folder;
}

/** Where a member runs, when it is not simply on this machine's loopback. */
export interface Place {
  readonly host: string;
  /** Words before the command, for instance to enter a network namespace. */
  readonly wrap: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** `host:port` at which the others reach it. */
  readonly advertisePeer?: string;
}

const loopback: Place = { host: "127.0.0.1", wrap: [], env: {} };

export interface MemberPlan {
  readonly name: string;
  readonly folder: string;
  readonly clientPort: number;
  readonly peerPort: number;
  /** 0 without gRPC. */
  readonly grpcPort: number;
  readonly place: Place;
  /** Flags behind the ones that every member gets. */
  readonly flags: readonly string[];
}

export interface ClusterOptions {
  readonly label: string;
  /** Flags for every member, for instance `--heartbeat-ms 50`. */
  readonly flags?: readonly string[];
  /** Instead of the compiled binary. */
  readonly command?: readonly string[];
}

/** One member: its addresses and folder, and the process that runs it now. */
export class Member {
  readonly plan: MemberPlan;
  readonly #command: readonly string[];
  readonly #logPath: string;
  #process: ManagedProcess | undefined;

  constructor(plan: MemberPlan, command: readonly string[], logFolder: string) {
    this.plan = plan;
    this.#command = command;
    this.#logPath = join(logFolder, `${plan.name}.log`);
  }

  get name(): string {
    return this.plan.name;
  }
  /** `host:port` for clients. */
  get endpoint(): string {
    return `${this.plan.place.host}:${this.plan.clientPort}`;
  }
  /** `host:port` for etcd's gRPC clients. */
  get grpcEndpoint(): string {
    return `127.0.0.1:${this.plan.grpcPort}`;
  }
  get peerAddress(): string {
    return `${this.plan.place.host}:${this.plan.peerPort}`;
  }
  get running(): boolean {
    return this.#process?.running ?? false;
  }
  get process(): ManagedProcess {
    if (this.#process === undefined) throw new Error(`${this.name} was never started`);
    return this.#process;
  }

  start(extraFlags: readonly string[] = []): void {
    if (this.running) throw new Error(`${this.name} is running already`);
    const { name, folder, flags, place } = this.plan;
    const advertise = place.advertisePeer === undefined ? [] : ["--advertise-peer", place.advertisePeer];
    this.#process = new ManagedProcess({
      logPath: this.#logPath,
      env: place.env,
      command: [
        ...place.wrap,
        ...this.#command,
        ...["serve", "--name", name, "--data-dir", folder],
        ...["--listen-client", this.endpoint, "--listen-peer", this.peerAddress],
        ...advertise,
        ...["--listen-grpc", this.plan.grpcPort === 0 ? "off" : this.grpcEndpoint],
        ...flags,
        ...extraFlags,
      ],
    });
  }

  async kill(): Promise<void> {
    await this.process.stop("SIGKILL");
  }

  /** SIGTERM, and the end that follows. */
  terminate(): Promise<Exit> {
    return this.process.stop("SIGTERM", 30_000);
  }

  /** Waits for 200 from /readyz. @throws Error when it does not come, or the process ends. */
  async ready(timeoutMs = 30_000): Promise<void> {
    const started = this.process;
    await until(
      `${this.name} ready`,
      async () => {
        if (!started.running) return true;
        const connection = new HttpConnection(this.endpoint);
        try {
          return (await connection.request({ method: "GET", path: "/readyz" }, 2_000)).status === 200;
        } finally {
          connection.close();
        }
      },
      { timeoutMs, everyMs: 15 },
    );
    if (!started.running)
      throw new Error(`${this.name} ended with ${JSON.stringify(started.exit)}:\n${started.tail()}`);
  }

  /** Its own view of the cluster. */
  head(): Promise<HeadView> {
    return readHead(this.endpoint);
  }

  tail(lines?: number): string {
    return this.#process?.tail(lines) ?? "(never started)";
  }
}

/** Members of one cluster, in a folder of their own. */
export class Cluster {
  readonly folder: string;
  readonly members: Member[] = [];
  readonly #options: ClusterOptions;
  readonly #command: readonly string[];

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#command = options.command ?? coracleCommand();
    this.folder = temporaryFolder(options.label);
  }

  /** Starts n1..nN from a static list and waits until all are ready. */
  static async start(options: ClusterOptions, count = 3): Promise<Cluster> {
    const cluster = new Cluster(options);
    const ports = await freePorts(count * 3);
    const names = Array.from({ length: count }, (_, i) => `n${i + 1}`);
    const list = names.map((name, i) => `${name}=127.0.0.1:${ports[i * 3 + 1]}`).join(",");
    names.forEach((name, i) => {
      const [client = 0, peer = 0, grpc = 0] = ports.slice(i * 3, i * 3 + 3);
      cluster.add(name, client, peer, ["--initial-cluster", list], grpc);
    });
    for (const member of cluster.members) member.start();
    await cluster.ready().catch((error: unknown) => {
      cluster.showLogs();
      throw error;
    });
    return cluster;
  }

  /** Plans a member; it is started by the caller. */
  add(
    name: string,
    clientPort: number,
    peerPort: number,
    flags: readonly string[],
    grpcPort = 0,
    place: Place = loopback,
  ): Member {
    const plan: MemberPlan = {
      name,
      folder: join(this.folder, name),
      clientPort,
      peerPort,
      grpcPort,
      place,
      flags: [...flags, ...(this.#options.flags ?? [])],
    };
    const member = new Member(plan, this.#command, join(this.folder, "logs"));
    this.members.push(member);
    return member;
  }

  /** Plans a member that joins the ones there are now. */
  async addJoining(name: string): Promise<Member> {
    const [clientPort = 0, peerPort = 0, grpcPort = 0] = await freePorts(3);
    const peers = this.members.map((member) => member.peerAddress).join(",");
    const token = join(this.members[0]?.plan.folder ?? "", "token");
    const tokenFlags = existsSync(token) ? ["--token-file", token] : [];
    return this.add(name, clientPort, peerPort, ["--join", peers, ...tokenFlags], grpcPort);
  }

  get endpoints(): string[] {
    return this.members.map((member) => member.endpoint);
  }

  get running(): Member[] {
    return this.members.filter((member) => member.running);
  }

  async ready(timeoutMs?: number): Promise<void> {
    await Promise.all(this.running.map((member) => member.ready(timeoutMs)));
  }

  /** The leader as the running members agree on it now. */
  leader(timeoutMs = 20_000): Promise<Member> {
    return until(
      "a leader that a majority agrees on",
      async () => {
        const running = this.running;
        const views = await Promise.all(running.map((member) => member.head().catch(() => undefined)));
        const byLeader = new Map<string, number>();
        for (const view of views) {
          if (view !== undefined && view.leaderId !== "0") {
            const key = `${view.term}/${view.leaderId}`;
            byLeader.set(key, (byLeader.get(key) ?? 0) + 1);
          }
        }
        return running.find((_, i) => {
          const view = views[i];
          if (view === undefined || view.memberId !== view.leaderId) return false;
          return (byLeader.get(`${view.term}/${view.leaderId}`) ?? 0) > running.length / 2;
        });
      },
      { timeoutMs, everyMs: 10 },
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.running.map((member) => member.kill()));
  }

  /** Prints the end of every member's log. For a script that failed. */
  showLogs(lines = 25): void {
    for (const member of this.members) console.log(`--- ${member.name}\n${member.tail(lines)}`);
  }
}
