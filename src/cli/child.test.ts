import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, test } from "node:test";

const script = join(import.meta.dirname, "child-run.test-support.ts");
const hasSetpriv = spawnSync("setpriv", ["--pdeathsig", "KILL", "true"]).status === 0;

/** A process that runs `words` as its child; the child prints its id first, and waits for long. */
async function parentOf(...words: string[]): Promise<{ parent: ChildProcess; child: number }> {
  const runtimeArgs = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  const program = [...words, "sh", "-c", "echo $$; exec sleep 60"];
  const parent = spawn(process.execPath, [...runtimeArgs, script, ...program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  assert.ok(parent.stdout !== null);
  const [line] = await once(parent.stdout, "data");
  return { parent, child: Number(String(line)) };
}

/** What docs/cli.md says of `lock` and `elect` that are killed themselves. */
describe("when the process that runs a program is killed", () => {
  test("the program goes on", async () => {
    const { parent, child } = await parentOf();
    const exited = once(parent, "exit");
    parent.kill("SIGKILL");
    await exited;
    process.kill(child, "SIGKILL");
  });

  test("the program ends too when setpriv asks the kernel for that", { skip: !hasSetpriv }, async () => {
    const { parent } = await parentOf("setpriv", "--pdeathsig", "KILL");
    // Their common stdout closes when the last of them has ended.
    const closed = once(parent, "close");
    parent.kill("SIGKILL");
    await closed;
  });
});
