import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { type MemberView, readMembers } from "./api-shapes.ts";
import { Cluster, coracleCommand, type Member } from "./cluster.ts";
import { Load } from "./load.ts";
import { runToEnd } from "./process.ts";
import { type Report, runScript } from "./report.ts";
import { verifyListing } from "./verify.ts";
import { until } from "./wait.ts";

/**
 * Members come, are lost with their disk, come back and leave, while the cluster holds many keys and
 * is written to: no write fails that a client may not send again, and no election is caused.
 */

const joinTimeoutMs = 60_000;
/** About 2,000 writes a second: load, but not so much that the machine itself is what is tested. */
const liveBytesPerSecond = 200_000;
const valueBytes = 100;

function* writes(prefix: string, count: number) {
  for (let i = 0; i < count; i++) {
    const key = `${prefix}/${String(i).padStart(8, "0")}`;
    yield { key, value: Buffer.from(key.padEnd(valueBytes, ".")) };
  }
}

function loadOf(
  endpoints: readonly string[],
  clients: number,
  prefix: string,
  count: number,
  bytesPerSecond?: number,
) {
  const source = writes(prefix, count);
  return new Load({
    endpoints,
    clients,
    next: () => source.next().value ?? undefined,
    ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
  });
}

/** Waits until the cluster counts `member` as a voter and the member itself serves. */
async function isVoter(through: Member, member: Member, otherThan?: string): Promise<MemberView> {
  const view = await until(
    `${member.name} a voter`,
    async () => {
      if (!member.running) throw new Error(`it ended:\n${member.tail()}`);
      const members = await readMembers(through.endpoint);
      return members.find(({ name, learner, id }) => name === member.name && !learner && id !== otherThan);
    },
    { timeoutMs: joinTimeoutMs },
  );
  await member.ready();
  return view;
}

class Scene {
  readonly report: Report;
  readonly cluster: Cluster;
  readonly first: Member;
  readonly #term: number;

  constructor(report: Report, cluster: Cluster, first: Member, term: number) {
    this.report = report;
    this.cluster = cluster;
    this.first = first;
    this.#term = term;
  }

  async join(name: string): Promise<{ member: Member; id: string }> {
    const member = await this.cluster.addJoining(name);
    const startedMs = performance.now();
    member.start();
    const { id } = await isVoter(this.first, member);
    this.report.check(
      true,
      `${name} joined and is a voter`,
      `${(performance.now() - startedMs).toFixed(0)} ms`,
    );
    await this.sameTerm(`${name} joined`);
    return { member, id };
  }

  async sameTerm(after: string): Promise<void> {
    const { term } = await this.first.head();
    this.report.equal(term, this.#term, `the term after ${after}`);
  }

  async names(expected: readonly string[], after: string): Promise<void> {
    const members = await readMembers(this.first.endpoint);
    this.report.equal(members.map(({ name }) => name).sort(), expected, `the members after ${after}`);
  }
}

async function wipeAndReturn(scene: Scene, member: Member, oldId: string): Promise<void> {
  await member.kill();
  rmSync(member.plan.folder, { recursive: true, force: true });
  const startedMs = performance.now();
  member.start();
  const { id } = await isVoter(scene.first, member, oldId);
  scene.report.check(
    id !== oldId,
    `${member.name} came back with an empty disk under a new id`,
    `${(performance.now() - startedMs).toFixed(0)} ms`,
  );
  await scene.sameTerm(`${member.name} came back`);
}

async function leave(scene: Scene, member: Member): Promise<void> {
  const command = [...coracleCommand(), "leave", "--endpoints", member.endpoint];
  const { code, stderr } = await runToEnd(command, { timeoutMs: 30_000 });
  scene.report.check(
    code === 0,
    `${member.name} leaves by command`,
    code === 0 ? "" : `exit ${code}: ${stderr.trim()}`,
  );
  await until("the end of a member that left", () => !member.running, { timeoutMs: 15_000 }).catch(
    () => false,
  );
  const { exit } = member.process;
  scene.report.equal(exit?.code, 0, `the process of ${member.name} ends with 0 after it left`);
  await scene.sameTerm(`${member.name} left`);
}

await runScript(async (report) => {
  const { values } = parseArgs({
    options: { short: { type: "boolean", default: false }, keys: { type: "string" } },
  });
  const keys = Number(values.keys ?? (values.short ? 10_000 : 100_000));
  // A short log makes the joining members need a snapshot, not only the log.
  const cluster = await Cluster.start({
    label: "join",
    flags: ["--log-entries-max", "2000", "--log-tail-entries", "200"],
  });
  report.onFailure(() => cluster.showLogs());
  const first = cluster.members.slice(0, 3);
  const endpoints = first.map((member) => member.endpoint);

  const fillStartedMs = performance.now();
  const fill = loadOf(endpoints, 64, "fill", keys);
  await fill.done();
  const fillSeconds = (performance.now() - fillStartedMs) / 1000;
  report.equal(fill.acknowledged.size, keys, `${keys} keys written (${fillSeconds.toFixed(1)} s)`);

  const leader = await cluster.leader();
  const scene = new Scene(report, cluster, leader, (await leader.head()).term);
  const live = loadOf(endpoints, 16, "live", Number.POSITIVE_INFINITY, liveBytesPerSecond);
  const fourth = await scene.join("n4");
  const fifth = await scene.join("n5");
  await scene.names(["n1", "n2", "n3", "n4", "n5"], "two joined");
  await wipeAndReturn(scene, fifth.member, fifth.id);
  await scene.names(["n1", "n2", "n3", "n4", "n5"], "one came back");
  await leave(scene, fourth.member);
  await scene.names(["n1", "n2", "n3", "n5"], "one left");
  const atLeast = live.acknowledged.size + 500;
  await until("500 further writes", () => live.acknowledged.size >= atLeast);
  await live.stop();

  report.check(live.refused.length === 0, "no write was refused", live.refused.slice(0, 3).join("; "));
  report.equal(Object.fromEntries(live.unknownReasons()), {}, "no write ended unknown");
  for (const [reason, times] of live.retries) report.note(`sent again ${times} times: ${reason}`);
  const gapMs = live.longestGapMs(live.acknowledgedAtMs[0] ?? 0);
  report.note(`${live.acknowledged.size} writes under way, longest gap ${gapMs.toFixed(0)} ms`);
  for (const member of [leader, fifth.member]) {
    for (const [prefix, load] of [
      ["fill/", fill],
      ["live/", live],
    ] as const) {
      const verdict = await verifyListing(member, prefix, load.acknowledged);
      const what = `${verdict.checked} keys under ${prefix} read from ${member.name}`;
      report.check(verdict.wrong === 0, what, verdict.examples.join("; "));
    }
  }
  await cluster.stop();
});
