import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { CoracleError } from "../base/errors.ts";
import { lockDataFolder } from "./data-lock.ts";
import { History, historyIdentity, historyStart } from "./history.test-support.ts";
import { logSql } from "./log-schema.ts";
import { verifyLog } from "./log-verify.ts";
import { SqliteLogStore } from "./sqlite-log.ts";

/*
 * A file system of a few MiB, filled up and emptied again. Needs the right to mount one.
 */

const root = mkdtempSync(join(tmpdir(), "full-disk-"));
const disk = join(root, "disk");
mkdirSync(disk);
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=8m", "none", disk]).status === 0;
const skip = mounted ? false : "this user may not mount a tmpfs";
if (!mounted) console.log(`full-disk.test.ts: skipped, ${skip}`);

after(() => {
  if (mounted) spawnSync("umount", ["-l", disk]);
  rmSync(root, { recursive: true, force: true });
});

const ballast = join(disk, "ballast");

function fill(): void {
  const portion = new Uint8Array(4096);
  const file = openSync(ballast, "w");
  try {
    for (;;) writeSync(file, portion);
  } catch {
    // Full.
  } finally {
    closeSync(file);
  }
}

function makeRoom(): void {
  rmSync(ballast);
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const options = { walBytesMax: 256 * 1024, cacheBytesMax: 64 * 1024 };

describe("a log on a full disk", { skip }, () => {
  let dir: string;
  let log: SqliteLogStore;
  let history: History;
  let acknowledged = 0;
  let failed: Error | undefined;

  /** Writes without end, at most some at a time, until nothing is acknowledged for want of room. */
  function writeOne(): void {
    const { write, cut } = history.next();
    log.write(write, (error) => {
      if (error !== undefined) {
        failed ??= error;
        return;
      }
      assert.equal(write.id, ++acknowledged, "acknowledged in order");
    });
    if (cut !== undefined) log.cut(cut);
  }

  /** Whether every byte of what was written is on the disk, and nothing else. */
  function assertStored(): void {
    const { database, header } = verifyLog(dir);
    const rows = database.prepare(logSql.entriesFrom).all(header.cutIndex + 1, Number.MAX_SAFE_INTEGER);
    database.close();
    assert.equal(header.hardState.commit, history.taken);
    assert.deepEqual(
      rows.map(([index, term, kind, data]) => ({ index, term, kind, data })),
      history.entries.map((entry) => ({ ...entry })),
    );
  }

  before(async () => {
    dir = join(disk, "member");
    history = new History(3);
    log = await SqliteLogStore.create(dir, historyIdentity, historyStart, options);
  });

  test("waits, says so, and goes on by itself when there is room", { timeout: 60_000 }, async () => {
    for (let round = 1; round <= 3; round++) {
      for (let count = 0; count < 40; count++) writeOne();
      await until(() => acknowledged === history.taken);
      fill();
      while (log.health().full === undefined) {
        writeOne();
        writeOne();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      const before = acknowledged;
      assert.ok(before < history.taken, "something waits");
      for (let count = 0; count < 5; count++) writeOne();
      await new Promise((resolve) => setTimeout(resolve, 450));
      assert.equal(acknowledged, before, "nothing is acknowledged while nothing is stored");
      makeRoom();
      await until(() => acknowledged === history.taken || failed !== undefined);
      assert.equal(failed, undefined);
      assert.equal(log.health().full, undefined);
    }
  });

  test("closes without a word of success, and holds what it acknowledged", { timeout: 60_000 }, async () => {
    await log.close();
    assertStored();
    ({ log } = await SqliteLogStore.open(dir, options));
    fill();
    const sure = history.taken;
    while (log.health().full === undefined) {
      writeOne();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await log.close();
    const waiting = failed as Error | undefined;
    assert.ok(waiting instanceof CoracleError && waiting.code === "storage_failed", `${waiting}`);
    makeRoom();
    const { database, header } = verifyLog(dir);
    database.close();
    // The write under way may have reached the disk whole, as before a crash.
    assert.ok(header.hardState.commit >= acknowledged && acknowledged >= sure, `${header.hardState.commit}`);
  });
});

test("a data folder that cannot be taken for want of room says so, and not that it is broken", {
  skip,
}, () => {
  const dir = join(disk, "lock");
  mkdirSync(dir, { recursive: true });
  fill();
  try {
    assert.throws(() => lockDataFolder(dir), {
      code: "storage_failed",
      message: /no room on the disk .*make room/,
    });
  } finally {
    makeRoom();
  }
  lockDataFolder(dir).release();
});
