import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { StateMachine } from "../kv/state-machine.ts";
import { MemoryLogStore } from "./memory-log.ts";
import { reconcile } from "./reconcile.ts";
import { StateFiles, type StateFilesOptions } from "./state-files.ts";
import type { SnapshotFile } from "./types.ts";

const member = {
  id: 7,
  name: "n1",
  peerAddress: "127.0.0.1:1",
  clientUrls: [],
  grpcUrls: [],
  learner: false,
};
const first = { membership: { clusterId: 5, members: [member], removed: [] }, index: 1, term: 1 };

const folders: string[] = [];
function folder(): string {
  mkdirSync(join(tmpdir(), "storage"), { recursive: true });
  const dir = mkdtempSync(join(tmpdir(), "storage", "state-"));
  folders.push(dir);
  return dir;
}
afterEach(() => {
  for (const dir of folders.splice(0)) rmSync(dir, { recursive: true, force: true });
});

interface Member {
  readonly dir: string;
  readonly files: StateFiles;
  state: StateMachine;
}

function start(dir = folder(), options: StateFilesOptions = {}): Member {
  const found = StateFiles.exists(dir);
  const files = new StateFiles(dir, options);
  return {
    dir,
    files,
    state: found ? StateMachine.open(files.open()) : StateMachine.create(files.open(), first),
  };
}

async function stop({ files, state }: Member): Promise<void> {
  state.close();
  await files.close();
}

/** Applies one entry of many puts. */
function put(state: StateMachine, count: number, bytes: number, name = "key"): void {
  const commands = Array.from({ length: count }, (_, at) => ({
    body: {
      type: "put" as const,
      key: utf8(`${name}-${state.appliedIndex}-${at}`),
      value: new Uint8Array(bytes).fill(at),
      lease: 0,
      previous: false,
    },
  }));
  const index = state.appliedIndex + 1;
  state.apply([{ index, term: 2, content: { type: "batch", batch: { timeMs: index, commands } } }]);
}

/** Carries a snapshot file over, from `from` on. */
async function carry(file: SnapshotFile, to: StateFiles, chunkBytes = 10_000): Promise<number> {
  const content = readFileSync(file.path);
  const target = await to.inbox.begin(file);
  const begun = target.offset;
  for (let at = begun; at < content.length; at += chunkBytes) {
    await target.write(content.subarray(at, at + chunkBytes));
  }
  await target.finish();
  return begun;
}

const code = (expected: string) => (error: unknown) =>
  error instanceof CoracleError && error.code === expected;

describe("snapshots", () => {
  test("a copy holds the state of one moment while the state goes on changing", async () => {
    const from = start();
    put(from.state, 200, 1000);
    const hash = from.state.hash();
    const copying = from.files.createSnapshot();
    const copy = await copying;
    for (let i = 0; i < 20; i++) put(from.state, 50, 1000);
    assert.deepEqual(copy.meta, { index: 2, term: 2, conf: { voters: [7], learners: [] } });
    assert.equal(statSync(copy.path).size, copy.bytes);

    const to = start();
    assert.equal(await carry(copy, to.files), 0);
    to.state = await to.files.install(copy.meta, to.state);
    assert.equal(to.state.hash(), hash);
    assert.equal(to.state.appliedIndex, 2);
    put(to.state, 1, 10);
    copy.release();
    copy.release();
    assert.ok(!existsSync(copy.path));
    await stop(to);
    const again = start(to.dir);
    assert.equal(again.state.appliedIndex, 3);
    await stop(again);
    await stop(from);
  });

  test("an attempt that broke off goes on where it ended, also after a restart", async () => {
    const from = start();
    put(from.state, 300, 1000);
    const copy = await from.files.createSnapshot();
    const content = readFileSync(copy.path);
    const to = start();
    const attempt = await to.files.inbox.begin(copy);
    await assert.rejects(to.files.inbox.begin(copy), code("peer_refused"));
    await attempt.write(content.subarray(0, 70_000));
    attempt.abort();
    await stop(to);
    const again = start(to.dir);
    assert.equal(await carry(copy, again.files), 70_000);
    // It is here already: nothing is sent twice.
    assert.equal(await carry(copy, again.files), copy.bytes);
    again.state = await again.files.install(copy.meta, again.state);
    assert.equal(again.state.appliedIndex, 2);
    await stop(again);
    await stop(from);
  });

  test("what arrives damaged, too long, too short or with another content is refused and removed", async () => {
    const from = start();
    put(from.state, 100, 1000);
    const copy = await from.files.createSnapshot();
    const content = new Uint8Array(readFileSync(copy.path));
    const to = start();
    const snapshots = join(to.dir, "snapshots");

    content[5000] = (content[5000] as number) ^ 1;
    let target = await to.files.inbox.begin(copy);
    await target.write(content);
    await assert.rejects(target.finish(), code("peer_refused"));
    assert.deepEqual(readdirSync(snapshots), []);
    content[5000] = (content[5000] as number) ^ 1;

    target = await to.files.inbox.begin(copy);
    await target.write(content.subarray(0, 100));
    await assert.rejects(target.finish(), code("peer_refused"));
    await assert.rejects(target.write(new Uint8Array(copy.bytes)), code("peer_refused"));
    target.abort();

    const lie = { ...copy, meta: { ...copy.meta, index: 99 } };
    await assert.rejects(carry(lie, to.files), code("peer_refused"));
    await assert.rejects(to.files.install(lie.meta, to.state), code("storage_failed"));
    assert.equal(to.state.appliedIndex, 1);
    await assert.rejects(to.files.inbox.begin({ ...copy, sha256: "../../etc" }), code("invalid_argument"));

    await carry(copy, to.files);
    to.state = await to.files.install(copy.meta, to.state);
    assert.equal(to.state.appliedIndex, 2);
    await stop(to);
    await stop(from);
  });

  test("an install keeps its file while another snapshot arrives", async () => {
    const from = start();
    put(from.state, 20, 100);
    const first = await from.files.createSnapshot();
    put(from.state, 20, 100);
    const second = await from.files.createSnapshot();
    const to = start();
    await carry(first, to.files);
    const installing = to.files.install(first.meta, to.state);
    await carry(second, to.files);
    to.state = await installing;
    assert.equal(to.state.appliedIndex, 2);
    to.state = await to.files.install(second.meta, to.state);
    assert.equal(to.state.appliedIndex, 3);
    await stop(to);
    await stop(from);
  });

  test("a received snapshot keeps its place until it is installed or not wanted", async () => {
    const from = start();
    put(from.state, 20, 100);
    const first = await from.files.createSnapshot();
    put(from.state, 20, 100);
    const second = await from.files.createSnapshot();
    const to = start();
    await carry(first, to.files);
    await assert.rejects(to.files.inbox.begin(second), code("peer_refused"));
    // Another than the one that waits takes nothing away.
    await to.files.inbox.forget(second.meta);
    await to.files.inbox.forget(first.meta);
    await assert.rejects(to.files.install(first.meta, to.state), code("storage_failed"));
    assert.deepEqual(readdirSync(join(to.dir, "snapshots")), []);
    await carry(second, to.files);
    to.state = await to.files.install(second.meta, to.state);
    assert.equal(to.state.appliedIndex, 3);
    await stop(to);
    await stop(from);
  });

  test("checkpoints and copies made beside an install are of the state that they find after it", async () => {
    const from = start();
    for (let i = 0; i < 20; i++) put(from.state, 10, 100);
    const copy = await from.files.createSnapshot();
    const to = start();
    put(to.state, 10, 100);
    await carry(copy, to.files);
    let installed = false;
    const installing = to.files.install(copy.meta, to.state).finally(() => {
      installed = true;
    });
    const copied = to.files.createSnapshot();
    const beside: Promise<number>[] = [];
    // So often that some come between the steps of the install.
    while (!installed) {
      beside.push(to.files.checkpoint());
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    to.state = await installing;
    for (const index of await Promise.all(beside)) assert.equal(index, 21);
    assert.equal((await copied).meta.index, 21);
    put(to.state, 10, 3000);
    assert.equal(await to.files.checkpoint(), 22);
    assert.equal((await to.files.createSnapshot()).meta.index, 22);
    to.state.verify();
    await stop(to);
    const again = start(to.dir);
    assert.equal(again.state.appliedIndex, 22);
    await stop(again);
    await stop(from);
  });

  test("after an install that failed nobody touches the state before the next start", async () => {
    const from = start();
    put(from.state, 20, 100);
    const copy = await from.files.createSnapshot();
    const to = start();
    await carry(copy, to.files);
    // Damage after it was verified, so that it is found when it is opened as the state.
    writeFileSync(join(to.dir, "snapshots", `received-${copy.sha256}.db`), "");
    await assert.rejects(to.files.install(copy.meta, to.state));
    await assert.rejects(to.files.checkpoint());
    await assert.rejects(to.files.createSnapshot());
    await to.files.close();
    await stop(from);
  });

  test("an install that crashed at any step ends with the whole old or the whole new state", async () => {
    const from = start();
    put(from.state, 100, 1000, "new");
    put(from.state, 100, 1000, "new");
    const copy = await from.files.createSnapshot();
    const kept = join(folder(), "kept.db");
    copyFileSync(copy.path, kept);
    await stop(from);

    for (const step of ["received", "marked", "wal removed", "renamed"]) {
      // A state with a write-ahead log that must never meet the new database.
      const live = start();
      put(live.state, 50, 2000, "old");
      const dir = folder();
      for (const name of ["state.db", "state.db-wal"]) copyFileSync(join(live.dir, name), join(dir, name));
      await stop(live);
      const mark = join(dir, "state.install");
      if (step !== "received") copyFileSync(kept, mark);
      if (step === "wal removed" || step === "renamed") rmSync(join(dir, "state.db-wal"));
      if (step === "renamed") renameSync(mark, join(dir, "state.db"));
      const member = start(dir);
      assert.equal(member.state.appliedIndex, step === "received" ? 2 : 3, step);
      const { count } = member.state.range({
        type: "range",
        key: utf8("new"),
        end: utf8("nex"),
        revision: 0,
        limit: 1,
      });
      assert.equal(count, step === "received" ? 0 : 200, step);
      await stop(member);
    }
  });

  test("files that nobody needs any more are removed at start", async () => {
    const dir = folder();
    mkdirSync(join(dir, "snapshots"));
    const part = `incoming-${"a".repeat(64)}.part`;
    for (const name of ["outgoing-1.db", `received-${"b".repeat(64)}.db`, part]) {
      writeFileSync(join(dir, "snapshots", name), "x");
    }
    const files = new StateFiles(dir);
    assert.deepEqual(readdirSync(join(dir, "snapshots")), [part]);
    await files.close();
  });
});

describe("checkpoints", () => {
  test("tell what is durable, and leave the writer alone", async () => {
    const member = start();
    put(member.state, 10, 100);
    const { appliedIndex } = member.state;
    const checkpoint = member.files.checkpoint();
    put(member.state, 10, 100);
    assert.ok((await checkpoint) >= appliedIndex);
    assert.equal(await member.files.checkpoint(), member.state.appliedIndex);
    await stop(member);
  });

  test("under constant writes the write-ahead log begins anew again and again", async () => {
    let paused = false;
    const walBytesMax = 1024 * 1024;
    const member = start(folder(), {
      walBytesMax,
      walCheckMs: 5,
      whilePaused: async (work) => {
        paused = true;
        try {
          return await work();
        } finally {
          paused = false;
        }
      },
    });
    const wal = join(member.dir, "state.db-wal");
    /** Changes whenever the file begins anew. */
    const salts = new Set<string>();
    while (salts.size < 4) {
      if (!paused) put(member.state, 32, 4000);
      salts.add(readFileSync(wal).subarray(16, 24).toString("hex"));
      assert.ok(statSync(wal).size < 256 * walBytesMax, "the write-ahead log grows");
      await new Promise((resolve) => setImmediate(resolve));
    }
    await stop(member);
  });
});

describe("a damaged write-ahead log of the state", () => {
  /** What a killed process leaves right after a checkpoint, and a little more. */
  async function killed(): Promise<{ dir: string; marked: number }> {
    const live = start();
    put(live.state, 50, 2000);
    put(live.state, 50, 2000);
    await live.files.checkpoint();
    const marked = statSync(join(live.dir, "state.db-wal")).size;
    // No more than the writer may add without beginning the file anew: a checkpoint is complete.
    const dir = folder();
    for (const name of ["state.db", "state.db-wal", "state.mark"]) {
      copyFileSync(join(live.dir, name), join(dir, name));
    }
    await stop(live);
    return { dir, marked };
  }

  test("is found when it lost what a checkpoint may have moved", async () => {
    const { dir, marked } = await killed();
    const wal = join(dir, "state.db-wal");
    const sound = readFileSync(wal);
    for (const at of [4, 18, 40, Math.floor(marked / 2), marked - 10]) {
      const bytes = Buffer.from(sound);
      bytes[at] = (bytes[at] as number) ^ 4;
      writeFileSync(wal, bytes);
      assert.throws(() => new StateFiles(dir), code("storage_damaged"), `bit at ${at}`);
      assert.ok(readFileSync(wal).equals(bytes), "the file was changed");
    }
    writeFileSync(wal, sound);
    const again = start(dir);
    assert.equal(again.state.appliedIndex, 3);
    await stop(again);
  });

  test("a mark of another write-ahead log, or a damaged one, means nothing", async () => {
    const { dir } = await killed();
    const mark = join(dir, "state.mark");
    for (const text of ["coracle state mark 1-2 999 00000000\n", "", "x"]) {
      writeFileSync(mark, text);
      await new StateFiles(dir).close();
    }
    const again = start(dir);
    put(again.state, 1, 10);
    await again.files.checkpoint();
    await stop(again);
    await stop(start(dir));
  });
});

describe("reconcile", () => {
  const hardState = { term: 3, votedFor: 9, commit: 4 };
  const logAt = (index: number, term: number): MemoryLogStore =>
    new MemoryLogStore({
      initial: { index, term, hardState },
      schedule: (action) => setImmediate(() => action()),
    });
  /** Entries of one term from 6 to `last`. */
  const logOf = (last: number, term: number): MemoryLogStore => {
    const log = logAt(5, 2);
    const entries = Array.from({ length: last - 5 }, (_, at) => {
      return { index: at + 6, term, kind: 0 as const, data: new Uint8Array(1) };
    });
    log.write({ id: 1, entries, mustSync: true }, () => {});
    return log;
  };
  const stateAt = (appliedIndex: number, appliedTerm: number) => ({
    appliedIndex,
    appliedTerm,
    confState: () => ({ voters: [1], learners: [] }),
  });

  test("leaves a log alone that fits, but for the commit index", async () => {
    const log = logAt(5, 2);
    assert.deepEqual(await reconcile(log, stateAt(5, 2)), { ...hardState, commit: 5 });
    assert.deepEqual([log.firstIndex(), log.lastIndex()], [6, 5]);
  });

  test("begins the log anew after a state that is ahead of it, or of another history", async () => {
    for (const log of [logAt(5, 2), logOf(50, 3)]) {
      const found = await reconcile(log, stateAt(50, 4));
      assert.deepEqual(found, { term: 4, votedFor: 0, commit: 50 });
      assert.deepEqual([log.firstIndex(), log.lastIndex(), log.term(50)], [51, 50, 4]);
      assert.deepEqual(log.hardState, found);
    }
  });

  test("refuses a state that lacks what the log has dropped", async () => {
    await assert.rejects(reconcile(logAt(5, 2), stateAt(3, 2)), code("storage_damaged"));
  });
});
