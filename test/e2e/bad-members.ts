import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readMembers } from "./api-shapes.ts";
import { isClear } from "./bad-commands.ts";
import { Cluster, type Member } from "./cluster.ts";
import { freePorts } from "./ports.ts";
import type { Report } from "./report.ts";
import { pause, until } from "./wait.ts";

const refusalTimeoutMs = 20_000;

/** Waits for the member to give up; it must say why in words that `names` finds. */
async function mustEnd(report: Report, member: Member, what: string, names: RegExp): Promise<void> {
  const { process } = member;
  const ended = await until("the refused member's end", () => !process.running, {
    timeoutMs: refusalTimeoutMs,
  }).catch(() => false);
  const code = process.exit?.code ?? null;
  const output = process.tail(30);
  const last = output.split("\n").slice(-3).join("\n");
  const ok = ended && code !== null && code !== 0 && names.test(output) && isClear(last);
  report.check(ok, `${what}: ends with exit code ${code}`, ok ? (output.split("\n").at(-1) ?? "") : output);
  await process.stop("SIGKILL");
}

/** Members that do not belong where they want to go. */
export async function badMembers(report: Report, cluster: Cluster, sound: Member): Promise<void> {
  const before = await readMembers(sound.endpoint);
  const { term } = await sound.head();
  const token = ["--token-file", join(sound.plan.folder, "token")];
  const join_ = ["--join", sound.peerAddress];
  const plan = async (label: string, name: string, flags: readonly string[]): Promise<Member> => {
    const [clientPort = 0, peerPort = 0] = await freePorts(2);
    const other = new Cluster({ label });
    return other.add(name, clientPort, peerPort, flags);
  };

  const taken = await plan("taken", sound.name, [...join_, ...token]);
  taken.start();
  await mustEnd(report, taken, "a name that a living member has", new RegExp(`${sound.name}`));

  const wrongToken = join(cluster.folder, "wrong-token");
  writeFileSync(wrongToken, "0123456789abcdef0123456789abcdef\n", { mode: 0o600 });
  const stranger = await plan("stranger", "stranger", [...join_, "--token-file", wrongToken]);
  stranger.start();
  await mustEnd(report, stranger, "a wrong join token", /token/);

  // A member with the data of a cluster of its own, told to join this one.
  const foreign = await plan("foreign", "foreign", []);
  foreign.start();
  await foreign.ready();
  const foreignId = (await foreign.head()).clusterId;
  await foreign.terminate();
  const astray = await plan("astray", "foreign", [...join_, ...token]);
  cpSync(foreign.plan.folder, astray.plan.folder, { recursive: true });
  astray.start();
  await mustEnd(report, astray, `data of another cluster (${foreignId})`, /cluster/);

  await pause(500);
  report.equal(await readMembers(sound.endpoint), before, "the membership is as before");
  report.equal((await sound.head()).term, term, "and so is the term");
}
