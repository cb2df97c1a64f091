import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { Client, keyPath } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { runScript } from "./report.ts";

/** The same service from source on Deno: three members, put, get, failover. */

const root = resolve(import.meta.dirname, "../..");
// Where no install script ran, the installed command is a wrapper that starts Deno as its child: to
// kill it would leave the member alive. So the members are started by the path that Deno says of itself.
const deno = execFileSync(resolve(root, "node_modules/.bin/deno"), ["eval", "console.log(Deno.execPath())"], {
  encoding: "utf8",
}).trim();

await runScript(async (report) => {
  const command = [deno, "run", "-A", "--no-check", resolve(root, "src/main.ts")];
  const cluster = await Cluster.start({ label: "deno", command });
  report.onFailure(() => cluster.showLogs());
  const client = new Client(cluster.endpoints);
  const put = async (key: string, value: string): Promise<void> => {
    const ended = await client.putUntilProposed(key, Buffer.from(value));
    report.check(
      ended.outcome === "acknowledged",
      `put ${key}`,
      ended.outcome === "acknowledged" ? "" : `${ended.outcome} ${ended.reason}`,
    );
  };
  const readEverywhere = async (key: string, value: string): Promise<void> => {
    for (const member of cluster.running) {
      const response = await new Client([member.endpoint]).read(keyPath(key));
      report.equal(response.body.toString(), value, `get ${key} from ${member.name}`);
    }
  };
  await put("a", "one");
  await readEverywhere("a", "one");

  const leader = await cluster.leader();
  await leader.kill();
  const killedAtMs = performance.now();
  await put("b", "two");
  report.note(
    `${leader.name} was killed; served again after ${(performance.now() - killedAtMs).toFixed(0)} ms`,
  );
  const next = await cluster.leader();
  report.check(next !== leader, "another member leads");
  await readEverywhere("a", "one");
  await readEverywhere("b", "two");
  leader.start();
  await leader.ready();
  await readEverywhere("b", "two");
  for (const member of cluster.members) {
    const exit = await member.terminate();
    report.equal(exit.code, 0, `${member.name} ends with 0 after SIGTERM`);
  }
  client.close();
});
