import { resolve } from "node:path";
import { denoExecutable } from "../deno.ts";
import { Client, keyPath } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { runScript } from "./report.ts";

/** The same service from source on Deno: three members, put, get, failover. */

const root = resolve(import.meta.dirname, "../..");
await runScript(async (report) => {
  const command = [denoExecutable(), "run", "-A", "--no-check", resolve(root, "src/main.ts")];
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
