import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { CoracleError } from "../base/errors.ts";
import { seededRandom } from "../base/prng.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { lockDataFolder } from "./data-lock.ts";
import { History, historyIdentity, historyStart } from "./history.test-support.ts";
import { logSql } from "./log-schema.ts";
import { verifyLog } from "./log-verify.ts";
import { SqliteLogStore } from "./sqlite-log.ts";

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const flips = Number(process.env.FLIPS ?? 200);
const replay = `replay with SEED=${seed}`;
const names = ["raft.db", "raft.db-wal", "raft.mark"] as const;

mkdirSync(join(tmpdir(), "storage"), { recursive: true });
const root = mkdtempSync(join(tmpdir(), "storage", "damage-"));
/** What a killed process leaves: with entries in the database and in the write-ahead log. */
const left = join(root, "left");
/** The mark as it was before the last write. */
let earlierMark: Uint8Array;
/** Where the last write begins in the write-ahead log, and where it ends. */
let lastFrom: number;
let lastTo: number;
let written: History;

/** A folder with a copy of the files. */
let copies = 0;
function copyOf(dir: string): string {
  const copy = join(root, `copy-${++copies}`);
  mkdirSync(copy);
  for (const name of names) cpSync(join(dir, name), join(copy, name));
  return copy;
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function contentOf(dir: string): string {
  return (
    readdirSync(dir)
      .filter((name) => !name.endsWith("-shm") && name !== "coracle.lock")
      .sort()
      .map((name) => `${name}:${digest(readFileSync(join(dir, name)))}`)
      // SQLite makes an empty write-ahead log where there is none.
      .filter((line) => line !== `raft.db-wal:${digest(new Uint8Array(0))}`)
      .join("\n")
  );
}

const frameBytes = 24 + 4096;

function flipBit(path: string, at: number, bit: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] as number) ^ (1 << bit);
  writeFileSync(path, bytes);
}

/** Where the frames end that have the salts of the header. */
function walEnd(wal: Buffer): number {
  let at = 32;
  while (at + frameBytes <= wal.length && wal.subarray(at + 8, at + 16).equals(wal.subarray(16, 24)))
    at += frameBytes;
  return at;
}

/** Whether opening refuses for damage; then no file may have changed. Else all content must be there. */
function refuses(dir: string, history: History): boolean {
  const files = contentOf(dir);
  try {
    const { database, header, identity } = verifyLog(dir);
    try {
      assert.deepEqual(identity, historyIdentity);
      assert.equal(header.hardState.commit, history.taken);
      const rows = database.prepare(logSql.entriesFrom).all(header.cutIndex + 1, Number.MAX_SAFE_INTEGER);
      assert.deepEqual(
        rows.map(([index, term, kind, data]) => ({ index, term, kind, data })),
        history.entries.map((entry) => ({ ...entry })),
      );
      return false;
    } finally {
      database.close();
    }
  } catch (error) {
    if (!(error instanceof CoracleError)) throw error;
    assert.equal(error.code, "storage_damaged", error.message);
    assert.match(error.message, /raft\.(db|mark) is damaged: .+--join/);
    assert.equal(contentOf(dir), files, "files changed");
    return true;
  }
}

before(async () => {
  const dir = join(root, "live");
  let log = await SqliteLogStore.create(dir, historyIdentity, historyStart, { walBytesMax: 256 * 1024 });
  written = new History(99);
  const write = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const step = written.next();
      log.write(step.write, (error) => (error ? reject(error) : resolve()));
    });
  // Some in the database, and ten in the write-ahead log, which no checkpoint touches any more.
  for (let count = 0; count < 39; count++) await write();
  await log.close();
  ({ log } = await SqliteLogStore.open(dir));
  for (let count = 0; count < 10; count++) await write();
  earlierMark = readFileSync(join(dir, "raft.mark"));
  lastFrom = walEnd(readFileSync(join(dir, "raft.db-wal")));
  await write();
  lastTo = walEnd(readFileSync(join(dir, "raft.db-wal")));
  assert.ok(lastFrom < lastTo, "the last write began the file anew: choose another history");
  mkdirSync(left);
  for (const name of names) cpSync(join(dir, name), join(left, name));
  await log.close();
});
after(() => rmSync(root, { recursive: true, force: true }));

describe("a damaged log", () => {
  test("is told from a sound one, whichever bit flips", { timeout: 300_000 }, () => {
    const random = seededRandom(seed);
    let refused = 0;
    for (let flip = 0; flip < flips; flip++) {
      const name = names[flip % 3] as string;
      const { length } = readFileSync(join(left, name));
      // Every other one near the beginning, where the headers are.
      const at = random.below(flip % 2 === 0 ? Math.min(length, 132) : length);
      const dir = copyOf(left);
      flipBit(join(dir, name), at, random.below(8));
      try {
        if (refuses(dir, written)) refused++;
      } catch (error) {
        throw new Error(`flipped a bit at ${at} of ${name}; ${replay}`, { cause: error });
      }
      rmSync(dir, { recursive: true });
    }
    // Some flips hit free space or frames of former days.
    assert.ok(refused > flips / 3, `${refused} of ${flips} refused; ${replay}`);
  });

  test("is refused when a file is missing, empty or cut short", () => {
    for (const name of names) {
      for (const action of ["remove", "empty", "half"]) {
        const dir = copyOf(left);
        const path = join(dir, name);
        if (action === "remove") rmSync(path);
        else truncateSync(path, action === "empty" ? 0 : Math.floor(readFileSync(path).length / 2));
        // A missing raft.db is no log at all: the caller asks `exists` first.
        assert.ok(refuses(dir, written), `${action} ${name}`);
      }
    }
  });

  test("is refused by open, and the folder is free again afterwards", async () => {
    const dir = copyOf(left);
    truncateSync(join(dir, "raft.db"), 5000);
    await assert.rejects(SqliteLogStore.open(dir), { code: "storage_damaged" });
    lockDataFolder(dir).release();
  });
});

describe("a power loss", () => {
  /** The files as they are when the last transaction was not acknowledged, some of it not written. */
  function torn(from: number, to: number): string {
    const dir = copyOf(left);
    writeFileSync(join(dir, "raft.mark"), earlierMark);
    const path = join(dir, "raft.db-wal");
    const bytes = readFileSync(path);
    for (let at = from; at < Math.min(to, bytes.length); at++) bytes[at] = (bytes[at] as number) ^ 0x55;
    writeFileSync(path, bytes);
    return dir;
  }

  test("that tears the last, unacknowledged write leaves the log before it", { timeout: 60_000 }, () => {
    const history = new History(99);
    history.skipTo(written.taken - 1);
    for (let at = lastFrom; at < lastTo; at += 1000) {
      assert.equal(refuses(torn(at, at + 1), history), false, `torn at ${at} alone`);
      assert.equal(refuses(torn(at, lastTo), history), false, `torn from ${at} on`);
    }
  });

  test("is no excuse for damage before the last write, however old the mark", { timeout: 60_000 }, () => {
    assert.ok(lastFrom > 32 + 3 * frameBytes);
    for (let at = 32; at < lastFrom; at += frameBytes) {
      assert.ok(refuses(torn(at + 100, at + 4000), written), `page of the frame at ${at}`);
      assert.ok(refuses(torn(at + 8, at + 9), written), `salt of the frame at ${at}`);
    }
  });
});

describe("the data folder", () => {
  test("belongs to one process at a time", async () => {
    const dir = join(root, "one");
    const log = await SqliteLogStore.create(dir, historyIdentity, historyStart);
    await assert.rejects(SqliteLogStore.open(dir), {
      code: "config_invalid",
      message: /in use by another process/,
    });
    await assert.rejects(SqliteLogStore.create(dir, historyIdentity, historyStart), {
      code: "config_invalid",
    });
    await log.close();
    const again = await SqliteLogStore.open(dir);
    assert.deepEqual(again.identity, historyIdentity);
    await again.log.close();
    await assert.rejects(SqliteLogStore.create(dir, historyIdentity, historyStart), {
      code: "config_invalid",
    });
  });
});

describe("a failed write", () => {
  test("is told to all that wait, and nothing is written afterwards", async () => {
    const dir = join(root, "failing");
    const log = await SqliteLogStore.create(dir, historyIdentity, historyStart);
    const history = new History(5);
    const write = (): Promise<Error | undefined> =>
      new Promise((resolve) => log.write(history.next().write, resolve));
    assert.equal(await write(), undefined);
    // Somebody else's hand in the file: the next transaction cannot be carried out.
    const vandal = openSqlite(join(dir, "raft.db"));
    vandal.exec("DROP TABLE entry");
    vandal.close();
    const ends = await Promise.all([write(), write(), write()]);
    for (const end of [...ends, await write()]) {
      assert.ok(end instanceof CoracleError && end.code === "storage_failed", `${end}`);
      assert.match(end.message, /raft\.db failed/);
    }
    await log.close();
    lockDataFolder(dir).release();
  });
});
