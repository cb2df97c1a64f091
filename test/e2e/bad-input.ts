import { chmodSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { badCommands } from "./bad-commands.ts";
import { damagedFiles } from "./bad-files.ts";
import { badMembers } from "./bad-members.ts";
import { badRequests } from "./bad-requests.ts";
import { Cluster } from "./cluster.ts";
import { freePorts } from "./ports.ts";
import { runScript } from "./report.ts";

/** Every mistake is answered by one clear sentence and a code, and changes nothing. */

/** Files in a data folder, its own name left out, that the group or others may do something with. */
function openToOthers(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => {
    return ((statSync(join(folder, name), { throwIfNoEntry: false })?.mode ?? 0) & 0o077) !== 0;
  });
}

await runScript(async (report) => {
  const cluster = new Cluster({ label: "bad-input" });
  const [clientPort = 0, peerPort = 0] = await freePorts(2);
  const member = cluster.add("sound", clientPort, peerPort, []);
  report.onFailure(() => cluster.showLogs());
  // As a careless administrator may have made it: the files must not rely on the folder's mode.
  mkdirSync(member.plan.folder, { recursive: true });
  chmodSync(member.plan.folder, 0o755);
  member.start();
  await member.ready();
  report.equal(openToOthers(member.plan.folder), [], "no file of a member is open to others than its owner");
  await report.part("requests", () => badRequests(report, member));
  await report.part("commands", () => badCommands(report, cluster.folder));
  await report.part("members", () => badMembers(report, cluster, member));
  await cluster.stop();
  await report.part("files", () => damagedFiles(report));
});
