import { badCommands } from "./bad-commands.ts";
import { damagedFiles } from "./bad-files.ts";
import { badMembers } from "./bad-members.ts";
import { badRequests } from "./bad-requests.ts";
import { Cluster } from "./cluster.ts";
import { freePorts } from "./ports.ts";
import { runScript } from "./report.ts";

/** Every mistake is answered by one clear sentence and a code, and changes nothing. */

await runScript(async (report) => {
  const cluster = new Cluster({ label: "bad-input" });
  const [clientPort = 0, peerPort = 0] = await freePorts(2);
  const member = cluster.add("sound", clientPort, peerPort, []);
  report.onFailure(() => cluster.showLogs());
  member.start();
  await member.ready();
  await report.part("requests", () => badRequests(report, member));
  await report.part("commands", () => badCommands(report, cluster.folder));
  await report.part("members", () => badMembers(report, cluster, member));
  await cluster.stop();
  await report.part("files", () => damagedFiles(report));
});
