import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { seededRandom } from "../base/prng.ts";
import { History } from "./history.test-support.ts";
import { SqliteLogStore } from "./sqlite-log.ts";

const crashes = Number(process.env.CRASHES ?? 10);
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const child = fileURLToPath(new URL("./crash-child.test-support.ts", import.meta.url));
const script = process.versions.bun === undefined ? ["run", "-A", "--no-check", child] : [child];

/** Lets a process write, kills it after some acknowledgements, and gives the last one. */
async function writeAndKill(dir: string, inFlight: number, acknowledgements: number): Promise<number> {
  const args = [...script, dir, String(seed), String(inFlight)];
  const writer = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let last = 0;
  let seen = 0;
  for await (const line of createInterface({ input: writer.stdout })) {
    last = Number(line);
    if (++seen === acknowledgements) writer.kill("SIGKILL");
  }
  assert.ok(seen >= acknowledgements, `the writer ended by itself after ${seen} writes`);
  return last;
}

test("what was acknowledged survives kill -9, whenever it comes", { timeout: 120_000 }, async () => {
  mkdirSync(join(tmpdir(), "storage"), { recursive: true });
  const dir = mkdtempSync(join(tmpdir(), "storage", "crash-"));
  const random = seededRandom(seed);
  try {
    for (let crash = 0; crash < crashes; crash++) {
      const acknowledged = await writeAndKill(dir, 1 + random.below(32), 1 + random.below(400));
      const message = `crash ${crash}: replay with SEED=${seed} CRASHES=${crashes}`;
      const { log } = await SqliteLogStore.open(dir);
      const found = log.hardState.commit;
      assert.ok(found >= acknowledged, `write ${acknowledged} lost, ${found} found; ${message}`);
      const history = new History(seed);
      history.skipTo(found);
      assert.equal(log.lastIndex(), history.last, message);
      for (const entry of history.entries) {
        // A cut may be on disk before the write that it came after.
        if (entry.index < log.firstIndex()) continue;
        assert.deepEqual(log.entries(entry.index, entry.index + 1, 0), [entry], message);
      }
      await log.close();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
