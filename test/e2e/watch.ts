import { parseArgs } from "node:util";
import { readHead } from "./api-shapes.ts";
import { Cluster, type Member } from "./cluster.ts";
import { type Report, runScript } from "./report.ts";
import { pause, until } from "./wait.ts";
import { messages, WatchClient } from "./watch-client.ts";
import { groups, WatchLoad } from "./watch-load.ts";

/**
 * Watchers over three members while the leader is killed again and again and a snapshot takes the
 * place of one member's state: each is told every event of its range once, in order. The truth is what
 * the writers were answered: every write carries an idempotency key and is repeated until it is, so
 * every revision is known.
 */

function options() {
  const { values } = parseArgs({
    options: {
      short: { type: "boolean", default: false },
      watchers: { type: "string" },
      kills: { type: "string" },
      "writes-per-second": { type: "string", default: "100" },
    },
  });
  return {
    watchers: Number(values.watchers ?? (values.short ? 150 : 1000)),
    kills: Number(values.kills ?? (values.short ? 2 : 5)),
    writesPerSecond: Number(values["writes-per-second"]),
  };
}

const logEntriesMax = 400;

/** One in ten watches everything, one in ten from the first revision on; both forms, all members. */
function openWatchers(cluster: Cluster, count: number): WatchClient[] {
  return Array.from({ length: count }, (_, i) => {
    const { endpoints } = cluster;
    const prefix = i % 10 === 0 ? "w/" : `w/${i % groups}/`;
    const form = i % 2 === 0 ? "sse" : "ndjson";
    return new WatchClient({ endpoints, first: i, form, prefix, ...(i % 10 === 3 && { revision: 2 }) });
  });
}

/** These read the whole history, slice by slice, while it grows. */
function openLateWatchers(cluster: Cluster, count: number): WatchClient[] {
  const { endpoints } = cluster;
  return Array.from({ length: count }, (_, i) => {
    return new WatchClient({
      endpoints,
      first: i,
      form: i % 2 === 0 ? "sse" : "ndjson",
      prefix: "w/",
      revision: 2,
    });
  });
}

async function killLeader(cluster: Cluster, load: WatchLoad, report: Report, number: number): Promise<void> {
  const steady = load.writes + 100;
  await until("100 further writes", () => load.writes >= steady, { timeoutMs: 60_000 });
  const leader = await cluster.leader();
  await leader.kill();
  const killed = load.writes;
  await until("writes after the kill", () => load.writes >= killed + 30, { timeoutMs: 60_000 });
  leader.start();
  await leader.ready();
  report.note(`kill ${number}: ${leader.name}`);
}

/** A member stands still until the others have cut their logs behind it: it needs a snapshot then. */
async function snapshotOn(cluster: Cluster, load: WatchLoad, report: Report): Promise<void> {
  const leader = await cluster.leader();
  const late = cluster.members.find((member) => member !== leader) as Member;
  const installs = (): number => late.tail(5000).split("Installed the snapshot").length - 1;
  const before = installs();
  late.process.signal("SIGSTOP");
  const behind = load.writes + 3 * logEntriesMax;
  await until("many writes without one member", () => load.writes >= behind, { timeoutMs: 120_000 });
  late.process.signal("SIGCONT");
  await until(`a snapshot installed on ${late.name}`, () => installs() > before, { timeoutMs: 60_000 });
  report.note(`a snapshot took the place of the state of ${late.name}, with watches open there`);
}

/** What the watchers were told, held against what happened. */
function judge(report: Report, watchers: readonly WatchClient[], load: WatchLoad): void {
  const truth = load.truth();
  report.equal(truth.gaps, 0, "the writers know every revision");
  let [lost, extra, delivered] = [0, 0, 0];
  const wrong: string[] = [];
  for (const watcher of watchers) {
    delivered += watcher.events.length;
    const { openedRevision, options } = watcher;
    const wanted = truth.events
      .filter(({ revision, key }) => revision > openedRevision && key.startsWith(options.prefix))
      .map(({ text }) => messages.numberOf(text));
    const same = wanted.length === watcher.events.length && wanted.every((n, i) => n === watcher.events[i]);
    if (same) continue;
    const had = new Set(watcher.events);
    const missing = wanted.filter((n) => !had.has(n)).length;
    lost += missing;
    extra += watcher.events.length - (wanted.length - missing);
    if (wrong.length < 3) wrong.push(`${options.form} ${options.prefix} from ${openedRevision}`);
  }
  const faults = watchers.flatMap(({ fault }) => (fault === undefined ? [] : [fault]));
  report.equal(faults.slice(0, 3), [], "no watcher was told something twice, out of order or torn");
  report.equal([lost, extra, wrong], [0, 0, []], "every watcher was told every event once, in order");
  const connections = watchers.reduce((sum, watcher) => sum + watcher.connections, 0);
  const refusals = new Map<string, number>();
  for (const watcher of watchers)
    for (const [what, times] of watcher.refusals) refusals.set(what, (refusals.get(what) ?? 0) + times);
  const rows = [
    ["watchers", watchers.length],
    ["revisions", truth.revision],
    ["events written", truth.events.length],
    ["events told", delivered],
    ["connections", connections],
    ["resumed", connections - watchers.length],
    ["lost", lost],
    ["told twice or out of order", extra + faults.length],
    ...[...refusals].map(([what, times]) => [`refused: ${what}`, times] as const),
  ] as const;
  for (const [name, value] of rows) console.log(`| ${name.padEnd(40)} | ${String(value).padStart(9)} |`);
}

await runScript(async (report) => {
  const chosen = options();
  const flags = ["--log-entries-max", String(logEntriesMax), "--log-tail-entries", "50"];
  const cluster = await Cluster.start({ label: "watch", flags });
  report.onFailure(() => cluster.showLogs());
  const load = new WatchLoad(cluster.endpoints, chosen.writesPerSecond);
  await until("the first writes", () => load.writes >= 50);
  const watchers = openWatchers(cluster, chosen.watchers);
  await until("every watch open", () => watchers.every(({ isOpen }) => isOpen), { timeoutMs: 60_000 });

  // Now and then some do not read for a while.
  const slow = setInterval(() => {
    const watcher = watchers[Math.floor(Math.random() * watchers.length)];
    watcher?.pauseReading(500 + Math.random() * 3000);
  }, 100);
  for (let number = 1; number <= chosen.kills; number++) await killLeader(cluster, load, report, number);
  await snapshotOn(cluster, load, report);
  const late = openLateWatchers(cluster, chosen.watchers / 10);
  watchers.push(...late);
  const steady = load.writes + 100;
  await until("100 further writes", () => load.writes >= steady, { timeoutMs: 60_000 });
  await until("every late watch open", () => late.every(({ isOpen }) => isOpen), { timeoutMs: 60_000 });
  clearInterval(slow);
  await load.stop();

  const { revision } = load.truth();
  for (const member of cluster.members) {
    await until(`${member.name} has everything`, async () => {
      return (await readHead(member.endpoint)).revision >= revision;
    });
  }
  const behind = () =>
    watchers.filter((watcher) => watcher.fault === undefined && watcher.revision < revision);
  await until("every watcher at the last revision", () => behind().length === 0, {
    timeoutMs: 60_000,
  }).catch(() => report.check(false, "every watcher reaches the last revision", `${behind().length} do not`));
  judge(report, watchers, load);
  for (const watcher of watchers) watcher.stop();
  await pause(50);
  await cluster.stop();
});
