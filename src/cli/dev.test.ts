import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { RecordingIo } from "./fake-member.test-support.ts";
import { runProgram } from "./program.ts";

const main = join(import.meta.dirname, "..", "main.ts");
let folder = "";
const running = new Set<ChildProcess>();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coracle-dev-"));
});
afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

class Dev {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  output = "";

  constructor(...flags: string[]) {
    const runtime = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
    const args = [...runtime, main, "dev", "--members", "1", "--data-dir", join(folder, "dev"), ...flags];
    this.child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    running.add(this.child);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    this.exited = new Promise((resolve) => {
      this.child.once("close", (code) => {
        running.delete(this.child);
        resolve(code);
      });
    });
  }

  /** The URL of the member, once the cluster serves. */
  async url(): Promise<string> {
    await until(() => this.output.includes("Ctrl-C ends it") || this.child.exitCode !== null);
    const url = /n1 {2}(http:\S+)/.exec(this.output)?.[1];
    assert.ok(url !== undefined, this.output);
    return url;
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadlineMs, "it did not come about within 30 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function run(...args: string[]) {
  const io = new RecordingIo();
  const exitCode = await runProgram(args, io);
  return { exitCode, output: io.output };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

// Nine members start from source: what is waited for has deadlines of its own.
test("dev runs a cluster, ends it by Ctrl-C that arrives twice, and finds its data again", {
  timeout: 120_000,
}, async () => {
  const first = new Dev("--port-base", "27150");
  const url = await first.url();
  assert.match(first.output, /curl -X PUT http:\S+\/v1\/kv\/greeting -d hello/);
  assert.equal((await run("put", "k", "kept", "--endpoints", url)).exitCode, 0);
  first.child.kill("SIGINT");
  first.child.kill("SIGINT");
  assert.equal(await first.exited, 0, first.output);

  const second = new Dev();
  assert.equal(await second.url(), url);
  assert.equal((await run("get", "k", "--endpoints", url)).output, "kept");
  second.child.kill("SIGTERM");
  assert.equal(await second.exited, 0, second.output);

  const third = new Dev("--fresh", "--port-base", "27150");
  const freshUrl = await third.url();
  assert.equal((await run("get", "k", "--endpoints", freshUrl)).exitCode, 5);
  // When dev itself is gone without a word, its members stop by themselves.
  third.child.kill("SIGKILL");
  await until(() => isFree(Number(new URL(freshUrl).port)));
});
