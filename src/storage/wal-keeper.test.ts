import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openSqlite } from "../runtime/sqlite.ts";
import { prepareState } from "./state-sql.ts";
import { WalKeeper } from "./wal-keeper.ts";

test("a writer that never rests pauses once, and the write-ahead log begins anew", async () => {
  mkdirSync(join(tmpdir(), "storage"), { recursive: true });
  const dir = mkdtempSync(join(tmpdir(), "storage", "wal-"));
  const path = join(dir, "state.db");
  const writer = openSqlite(path);
  const worker = openSqlite(path);
  const reader = openSqlite(path);
  prepareState(writer, 1024 * 1024);
  prepareState(worker, 1024 * 1024);
  writer.exec("CREATE TABLE t (a)");
  const insert = writer.prepare("INSERT INTO t VALUES (zeroblob(3000))");
  const walBytesMax = 1024 * 1024;
  let paused = false;
  let pauses = 0;
  let finished = 0;
  const write = (rows: number): void => {
    for (let row = 0; row < rows; row++) insert.run();
  };
  const keeper = new WalKeeper({
    walBytesMax,
    database: () => writer,
    // The writer appends while the checkpoint runs: a reader of the moment before stands for that.
    checkpoint: async () => {
      reader.exec("BEGIN; SELECT count(*) FROM t");
      if (!paused) write(5);
      const [, frames, moved] = worker.prepare("PRAGMA wal_checkpoint(PASSIVE)").get() ?? [];
      reader.exec("COMMIT");
      return { applied: 0, frames: Number(frames), moved: Number(moved) };
    },
    finish: async () => {
      assert.ok(!paused, "what nobody waits for was done in the pause");
      finished++;
    },
    whilePaused: async (work) => {
      pauses++;
      paused = true;
      try {
        return await work();
      } finally {
        paused = false;
      }
    },
  });
  try {
    for (let round = 0; round < 20; round++) {
      write(400);
      keeper.check();
      await keeper.idle();
    }
    assert.ok(pauses > 0, "it never paused");
    assert.ok(finished > 0, "it never finished");
    // One round writes about 5 MB, all of them 100.
    assert.ok(statSync(`${path}-wal`).size < 12 * walBytesMax);
  } finally {
    writer.close();
    worker.close();
    reader.close();
    rmSync(dir, { recursive: true });
  }
});
