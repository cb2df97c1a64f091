import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { seededRandom } from "../../src/base/prng.ts";
import { readMembers } from "./api-shapes.ts";
import { Client, keyPath } from "./client.ts";
import { Cluster, temporaryFolder } from "./cluster.ts";
import { freePort, freePorts } from "./ports.ts";
import { ManagedProcess, runToEnd } from "./process.ts";
import { type Report, runScript } from "./report.ts";
import { pause, until } from "./wait.ts";

/** Three members that know nothing but a domain become one cluster, in whatever order they start. */

const domain = "example.test";
const startDelayMsMax = 1_500;

/** Debian's dnsmasq, installed when this is possible. `undefined`, and the reason printed, when not. */
async function findDnsmasq(report: Report): Promise<string | undefined> {
  const places = ["/usr/sbin/dnsmasq", "/usr/local/sbin/dnsmasq", "/sbin/dnsmasq"];
  const find = (): string | undefined => places.find((place) => existsSync(place));
  if (find() === undefined && process.getuid?.() === 0)
    await runToEnd(["apt-get", "install", "-y", "--no-install-recommends", "dnsmasq-base"], {
      timeoutMs: 120_000,
      env: { DEBIAN_FRONTEND: "noninteractive" },
    });
  if (find() === undefined)
    report.note("skipped: there is no dnsmasq (Debian's dnsmasq-base), and it cannot be installed");
  return find();
}

interface Planned {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

async function startDns(program: string, folder: string, members: readonly Planned[]) {
  const port = await freePort();
  const lines = members.flatMap(({ name, clientPort, peerPort }) => [
    `host-record=${name}.${domain},127.0.0.1`,
    `srv-host=_coracle-peer._tcp.${domain},${name}.${domain},${peerPort}`,
    `srv-host=_coracle-client._tcp.${domain},${name}.${domain},${clientPort}`,
  ]);
  const configuration = join(folder, "dnsmasq.conf");
  writeFileSync(
    configuration,
    [
      "no-resolv",
      "no-hosts",
      "no-daemon",
      "bind-interfaces",
      "listen-address=127.0.0.1",
      `port=${port}`,
      ...lines,
      "",
    ].join("\n"),
  );
  const dns = new ManagedProcess({
    command: [program, `--conf-file=${configuration}`, "--pid-file", "--user=", "--group="],
    logPath: join(folder, "dnsmasq.log"),
  });
  await until("dnsmasq answering", () => {
    if (!dns.running) throw new Error(dns.tail());
    return dns.tail().includes("started");
  });
  return { dns, server: `127.0.0.1:${port}` };
}

async function round(report: Report, program: string, number: number, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const folder = temporaryFolder("dns");
  const ports = await freePorts(6);
  const planned = ["n1", "n2", "n3"].map((name, i) => ({
    name,
    clientPort: ports[i * 2] ?? 0,
    peerPort: ports[i * 2 + 1] ?? 0,
  }));
  const { dns, server } = await startDns(program, folder, planned);
  const cluster = new Cluster({ label: "discovery" });
  try {
    for (const { name, clientPort, peerPort } of planned) {
      const flags = ["--discovery-srv", domain, "--bootstrap-expect", "3", "--dns-server", server];
      cluster.add(name, clientPort, peerPort, flags);
    }
    const order = cluster.members
      .map((member) => ({ member, delayMs: random.below(startDelayMsMax) }))
      .sort((a, b) => a.delayMs - b.delayMs);
    await Promise.all(order.map(({ member, delayMs }) => pause(delayMs).then(() => member.start())));
    await cluster.ready();
    await cluster.leader();
    const heads = await Promise.all(cluster.members.map((member) => member.head()));
    const ids = new Set(heads.map((head) => head.clusterId));
    const views = await Promise.all(cluster.members.map((member) => readMembers(member.endpoint)));
    const voters = views.map((view) =>
      view
        .filter(({ learner }) => !learner)
        .map(({ name }) => name)
        .sort(),
    );
    const ok = ids.size === 1 && voters.every((names) => names.join() === "n1,n2,n3");
    const steps = order.map(({ member, delayMs }) => `${member.name}+${delayMs}ms`).join(" ");
    report.check(
      ok,
      `round ${number} (${steps}): one cluster of three voters`,
      ok ? "" : `cluster ids ${[...ids].join(",")}; voters ${JSON.stringify(voters)}`,
    );
    const client = new Client(cluster.endpoints);
    const value = Buffer.from(`round ${number}`);
    const ended = await client.putUntilProposed("discovered", value);
    const reads = await Promise.all(
      cluster.endpoints.map((endpoint) => new Client([endpoint]).read(keyPath("discovered"))),
    );
    const same = ended.outcome === "acknowledged" && reads.every((read) => read.body.equals(value));
    report.check(same, `round ${number}: a value put through one member is read from each`);
    client.close();
  } catch (error) {
    cluster.showLogs();
    throw error;
  } finally {
    await cluster.stop();
    await dns.stop("SIGTERM");
  }
}

await runScript(async (report) => {
  const { values } = parseArgs({
    options: {
      short: { type: "boolean", default: false },
      rounds: { type: "string" },
      seed: { type: "string" },
    },
  });
  const rounds = Number(values.rounds ?? (values.short ? 2 : 10));
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
  report.note(`seed ${seed}; again with: npm run e2e:discovery -- --seed ${seed}`);
  const program = await findDnsmasq(report);
  if (program === undefined) {
    console.log("0 passed, 0 failed");
    process.exit(0);
  }
  for (let number = 1; number <= rounds; number++)
    await report.part(`round ${number}`, () => round(report, program, number, seed + number));
});
