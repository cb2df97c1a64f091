import assert from "node:assert/strict";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../e2e/ports.ts";
import { atEnd, ManagedProcess, runToEnd } from "../../e2e/process.ts";
import { until } from "../../e2e/wait.ts";
import { type Client, outcomeOf, scratchFolder } from "./checks.ts";
import type { System } from "./systems.ts";

const postgresFolder = "/usr/lib/postgresql/15/bin";
/** The least that Patroni accepts; a lost leader is replaced after about `ttl`. */
const timing = { ttl: 20, loop_wait: 1, retry_timeout: 3 };
const password = "compat-only";

interface Status {
  readonly role?: string;
  readonly state?: string;
  readonly dcs_last_seen?: number;
}

/** One PostgreSQL instance with the Patroni that looks after it. */
class Instance {
  readonly name: string;
  readonly #folder: string;
  readonly #rest: string;
  readonly #port: number;
  readonly #user: readonly string[];
  #process: ManagedProcess | undefined;

  constructor(name: string, folder: string, ports: readonly [number, number], gateway: readonly string[]) {
    const [rest, port] = ports;
    this.name = name;
    this.#folder = join(folder, name);
    this.#rest = `127.0.0.1:${rest}`;
    this.#port = port;
    mkdirSync(this.#folder, { mode: 0o700 });
    writeFileSync(join(this.#folder, "patroni.json"), JSON.stringify(this.#config(gateway)));
    this.#user = postgresUser([folder, this.#folder]);
  }

  #config(gateway: readonly string[]): object {
    const address = `127.0.0.1:${this.#port}`;
    return {
      scope: "compat",
      name: this.name,
      restapi: { listen: this.#rest, connect_address: this.#rest },
      etcd3: { hosts: gateway },
      bootstrap: {
        dcs: { ...timing, postgresql: { use_pg_rewind: true, parameters: { max_connections: 20 } } },
        initdb: [{ encoding: "UTF8" }, "data-checksums"],
        pg_hba: [
          "local all all trust",
          "host replication replicator 127.0.0.1/32 md5",
          "host all all 127.0.0.1/32 md5",
        ],
      },
      postgresql: {
        listen: address,
        connect_address: address,
        data_dir: join(this.#folder, "data"),
        bin_dir: postgresFolder,
        pgpass: join(this.#folder, "pgpass"),
        authentication: {
          superuser: { username: "postgres", password },
          replication: { username: "replicator", password },
        },
        parameters: { unix_socket_directories: this.#folder, shared_buffers: "16MB", fsync: "off" },
      },
    };
  }

  start(): void {
    this.#process = new ManagedProcess({
      command: [...this.#user, "/usr/bin/patroni", join(this.#folder, "patroni.json")],
      logPath: join(this.#folder, "log"),
      cwd: this.#folder,
    });
  }

  /** Patroni and PostgreSQL, at once and without a word. */
  async kill(): Promise<void> {
    await this.#process?.stop("SIGKILL");
    killPostgres(join(this.#folder, "data"));
  }

  /** Whether its `GET /leader`, `/replica` or the like says yes. */
  async is(role: string): Promise<boolean> {
    const response = await fetch(`http://${this.#rest}/${role}`, { signal: AbortSignal.timeout(3_000) });
    await response.arrayBuffer();
    return response.ok;
  }

  async status(): Promise<Status> {
    const response = await fetch(`http://${this.#rest}/patroni`, { signal: AbortSignal.timeout(3_000) });
    return (await response.json()) as Status;
  }

  async sql(statement: string): Promise<string> {
    const connection = `host=127.0.0.1 port=${this.#port} user=postgres dbname=postgres connect_timeout=3`;
    const { code, stdout, stderr } = await runToEnd(["psql", "-AtX", connection, "-c", statement], {
      env: { PGPASSWORD: password },
    });
    assert.equal(code, 0, stderr);
    return stdout.trim();
  }

  tail(): string {
    return this.#process?.tail(5) ?? "";
  }

  readonly killNow = (): void => killPostgres(join(this.#folder, "data"));
}

/** PostgreSQL refuses to run as root: these words run a program as its own user, who then owns the folders. */
function postgresUser(folders: readonly string[]): string[] {
  if (process.getuid?.() !== 0) return [];
  const [, , uid = "0", gid = "0"] =
    readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .find((line) => line.startsWith("postgres:"))
      ?.split(":") ?? [];
  for (const folder of folders) {
    chmodSync(folder, 0o700);
    chownSync(folder, Number(uid), Number(gid));
  }
  return ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--init-groups"];
}

function killPostgres(data: string): void {
  const path = join(data, "postmaster.pid");
  if (!existsSync(path)) return;
  const pid = Number(readFileSync(path, "utf8").split("\n")[0]);
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It had ended by itself.
  }
}

export const patroni: Client = {
  name: "patroni",
  missing: async () => {
    if (!existsSync("/usr/bin/patroni")) return "apt-get install patroni";
    if (!existsSync(join(postgresFolder, "postgres"))) return "apt-get install postgresql-15";
    return undefined;
  },
  run: async (system, tell) => {
    const folder = scratchFolder();
    const ports = await freePorts(4);
    const [one, two] = [0, 1].map(
      (i) => new Instance(`p${i + 1}`, folder, [ports[i * 2] ?? 0, ports[i * 2 + 1] ?? 0], system.gateway),
    ) as [Instance, Instance];
    const releases = [one, two].map((instance) => atEnd(instance.killNow));
    try {
      for (const [name, check] of Object.entries(checks(system, one, two))) {
        const outcome = await outcomeOf(check);
        tell(name, outcome);
        if (outcome.kind === "failed") {
          console.log(`p1: ${one.tail()}\np2: ${two.tail()}`);
          break;
        }
      }
    } finally {
      await Promise.all([one.kill(), two.kill()]);
      for (const release of releases) release();
    }
  },
};

function checks(system: System, one: Instance, two: Instance): Record<string, () => Promise<void>> {
  const wait = { timeoutMs: 90_000, everyMs: 250 };
  return {
    "a leader is elected": async () => {
      one.start();
      await until("p1 leads", () => one.is("leader"), wait);
    },
    "a replica attaches": async () => {
      two.start();
      await until("p2 follows", () => two.is("replica"), wait);
      await one.sql("CREATE TABLE t (v int); INSERT INTO t VALUES (1)");
      await until("the row at p2", async () => (await two.sql("SELECT v FROM t")) === "1", wait);
    },
    "the leader of the store dies": async () => {
      const seenBefore = (await one.status()).dcs_last_seen ?? 0;
      await system.killLeader();
      const later = async () => ((await one.status()).dcs_last_seen ?? 0) > seenBefore + 5;
      await until("p1 reaches the store again", later, wait);
      assert.ok(await one.is("leader"), "p1 was demoted");
      await system.restart();
    },
    "kill -9 of the primary": async () => {
      // By now the replica is known to the store as one that may take over.
      await until("p2 follows", () => two.is("replica"), wait);
      await one.kill();
      await until("p2 is promoted", () => two.is("leader"), wait);
      await until("p2 takes writes", () => two.sql("INSERT INTO t VALUES (2)").then(() => true), wait);
    },
    "the old primary comes back as a replica": async () => {
      one.start();
      await until("p1 follows", () => one.is("replica"), wait);
      await until("the row at p1", async () => (await one.sql("SELECT count(*) FROM t")) === "2", wait);
    },
  };
}
