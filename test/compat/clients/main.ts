import { parseArgs } from "node:util";
import { runToEnd } from "../../e2e/process.ts";
import { type Client, failed, type Outcome, outcomeOf } from "./checks.ts";
import { Etcdctl } from "./etcdctl.ts";
import { cluster, slow } from "./etcdctl-cluster.ts";
import { basic } from "./etcdctl-keys.ts";
import { patroni } from "./patroni.ts";
import { programAmong, scriptClient } from "./script-client.ts";
import { etcdBinary, type System, startCoracle, startEtcd } from "./systems.ts";

/**
 * etcd's clients against three members of Debian's etcd and three members of coracle: each check on both.
 * Prints a table, and the reasons of what failed. `--systems coracle --clients etcdctl` choose, and `--checks NAME` one check of etcdctl; `--short`
 * is what the whole suite runs.
 */

const { values: flags } = parseArgs({
  options: {
    systems: { type: "string", default: "etcd,coracle" },
    clients: { type: "string" },
    checks: { type: "string", default: "" },
    short: { type: "boolean", default: false },
    "no-slow": { type: "boolean", default: false },
  },
});

const etcdctl: Client = {
  name: "etcdctl",
  missing: async () =>
    (await runToEnd(["etcdctl", "version"])).code === 0 ? undefined : "apt-get install etcd-client",
  run: async (system, tell) => {
    const ctl = new Etcdctl(system);
    const rest = flags.short ? {} : flags["no-slow"] ? cluster : { ...cluster, ...slow };
    for (const [name, check] of Object.entries({ ...basic, ...rest })) {
      if (name.includes(flags.checks)) tell(name, await outcomeOf(() => check(ctl)));
    }
  },
};

const python = programAmong("/usr/bin/python3");
const clients: readonly Client[] = [
  etcdctl,
  scriptClient({
    name: "npm etcd3",
    program: programAmong("/usr/bin/node", "/usr/local/bin/node", process.execPath),
    script: "npm-etcd3.mjs",
    endpoints: (system) => system.grpc,
    probe: ["-e", "import('etcd3')"],
    hint: "npm install",
    timeoutMs: 180_000,
  }),
  scriptClient({
    name: "python3-etcd3",
    program: python,
    script: "python-etcd3.py",
    endpoints: (system) => system.grpc,
    probe: ["-c", "import etcd3"],
    hint: "apt-get install python3-etcd3",
    timeoutMs: 120_000,
  }),
  scriptClient({
    name: "python3-etcd3gw",
    program: python,
    script: "python-etcd3gw.py",
    endpoints: (system) => system.gateway,
    probe: ["-c", "import etcd3gw"],
    hint: "apt-get install python3-etcd3gw",
    timeoutMs: 120_000,
  }),
  patroni,
];

const starts: Readonly<Record<string, () => Promise<System>>> = { etcd: startEtcd, coracle: startCoracle };

async function main(): Promise<number> {
  const systems = (flags.short ? "coracle" : flags.systems).split(",");
  const wanted = flags.short ? ["etcdctl"] : flags.clients?.split(",");
  const table = new Map<string, Map<string, Outcome>>();
  const skipped: string[] = [];
  const runnable: Client[] = [];
  for (const client of clients.filter(({ name }) => wanted?.includes(name) ?? true)) {
    const missing = await client.missing();
    if (missing === undefined) runnable.push(client);
    else skipped.push(`${client.name}: ${missing}`);
  }
  for (const reason of skipped) console.log(`skipped: ${reason}`);
  for (const name of systems) {
    if (runnable.length === 0) continue;
    if ((await runToEnd(["etcdctl", "version"])).code !== 0) {
      console.log(`skipped: ${name}, because etcdctl is missing, which watches over the clusters`);
      continue;
    }
    if (name === "etcd" && (await runToEnd([etcdBinary, "--version"])).code !== 0) {
      console.log(`skipped: etcd, because there is no ${etcdBinary} (apt-get install etcd-server)`);
      continue;
    }
    for (const client of runnable) await runOne(client, name, table);
  }
  return report(table, systems);
}

/** Each client gets a cluster of its own: what one leaves behind is not another's. */
async function runOne(client: Client, name: string, table: Map<string, Map<string, Outcome>>): Promise<void> {
  const tell = (check: string, outcome: Outcome): void => {
    const row = `${client.name}: ${check}`;
    const outcomes = table.get(row) ?? new Map<string, Outcome>();
    outcomes.set(name, outcome);
    table.set(row, outcomes);
    const reason = outcome.kind === "ok" ? "" : `: ${outcome.reason}`;
    console.log(`${name}  ${row}  ${outcome.kind}${reason}`);
  };
  let system: System | undefined;
  try {
    system = await starts[name]?.();
    if (system === undefined) throw new Error(`there is no system ${name}`);
    await client.run(system, tell);
  } catch (error) {
    tell("(the run)", failed(error));
  } finally {
    await system?.stop();
  }
}

function report(table: Map<string, Map<string, Outcome>>, systems: readonly string[]): number {
  const width = Math.max(10, ...[...table.keys()].map((row) => row.length));
  let passed = 0;
  let failures = 0;
  console.log(`\n${"check".padEnd(width)}  ${systems.map((name) => name.padEnd(8)).join("  ")}`);
  for (const [row, outcomes] of table) {
    const cells = systems.map((name) => outcomes.get(name)?.kind ?? "-");
    console.log(`${row.padEnd(width)}  ${cells.map((cell) => cell.padEnd(8)).join("  ")}`);
    const ours = outcomes.get("coracle")?.kind ?? outcomes.get("etcd")?.kind;
    if (ours === "ok") passed++;
    if (ours === "failed") failures++;
  }
  console.log(`\n${passed} passed, ${failures} failed`);
  return failures === 0 ? 0 : 1;
}

process.exit(await main());
