import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { CoracleError } from "../base/errors.ts";
import { type Random, seededRandom } from "../base/prng.ts";
import { StateMachine } from "../kv/state-machine.ts";
import type { Command } from "../kv/types.ts";
import { changedPages } from "./page-sums.ts";
import { StateFiles } from "./state-files.ts";

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const flips = Number(process.env.FLIPS ?? 60);
const replay = `replay with SEED=${seed}`;
const root = mkdtempSync(join(tmpdir(), "state-damage-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** A member's state, with what it must hold. */
class Life {
  readonly dir: string;
  readonly random: Random;
  readonly expected = new Map<string, string>();
  files: StateFiles;
  machine: StateMachine;
  #copies = 0;

  constructor(name: string, random: Random) {
    this.dir = join(root, name);
    this.random = random;
    mkdirSync(this.dir);
    this.files = new StateFiles(this.dir, { walCheckMs: 1e9 });
    const membership = { clusterId: 9, members: [], removed: [] };
    this.machine = StateMachine.create(this.files.open(), { membership, index: 1, term: 1 });
  }

  write(count: number): void {
    const commands: Command[] = [];
    for (let at = 0; at < count; at++) {
      const key = `key/${this.random.below(1500)}`;
      if (this.random.below(10) === 0) {
        this.expected.delete(key);
        commands.push({ body: { type: "delete", key: utf8(key), previous: false } });
        continue;
      }
      const value = `${at}`.padEnd(this.random.below(300), "v");
      this.expected.set(key, value);
      commands.push({
        body: { type: "put", key: utf8(key), value: utf8(value), lease: 0, previous: false },
      });
    }
    const content = { type: "batch" as const, batch: { timeMs: 1, commands } };
    this.machine.apply([{ index: this.machine.appliedIndex + 1, term: 1, content }]);
  }

  /** The files as a killed process would leave them now. */
  killedCopy(): string {
    const copy = `${this.dir}-copy-${++this.#copies}`;
    cpSync(this.dir, copy, { recursive: true });
    rmSync(join(copy, "state.db-shm"), { force: true });
    return copy;
  }

  async close(): Promise<void> {
    this.machine.close();
    await this.files.close();
  }

  async reopen(): Promise<void> {
    await this.close();
    this.files = new StateFiles(this.dir, { walCheckMs: 1e9 });
    this.machine = StateMachine.open(this.files.open());
    this.files.prove(this.machine);
  }
}

function changedIn(dir: string): readonly number[] {
  return changedPages(join(dir, "state.db"), join(dir, "state.sums"));
}

/** Opens a copy as a start does, and reads all of it. @returns whether it was refused. */
async function refuses(dir: string, expected: ReadonlyMap<string, string>): Promise<boolean> {
  let files: StateFiles | undefined;
  let machine: StateMachine | undefined;
  try {
    files = new StateFiles(dir, { walCheckMs: 1e9 });
    machine = StateMachine.open(files.open());
    files.prove(machine);
    for (const [key, value] of expected) {
      const { keys } = machine.range({ type: "range", key: utf8(key), revision: 0, limit: 1 });
      assert.equal(keys[0] && fromUtf8(keys[0].value), value, key);
    }
    const all = machine.range({ type: "range", key: utf8("key/"), end: null, revision: 0, limit: 0 });
    assert.equal(all.count, expected.size);
    return false;
  } catch (error) {
    if (error instanceof CoracleError && error.code === "storage_damaged") return true;
    // What is no database any more is told in SQLite's words; the start adds which file it is.
    if (error instanceof Error && error.name !== "AssertionError") return true;
    throw error;
  } finally {
    machine?.close();
    await files?.close();
  }
}

describe("the sums of pages", () => {
  test("fit after any course of writes, checkpoints, restarts and kills", { timeout: 60_000 }, async () => {
    const life = new Life("life", seededRandom(seed));
    let told = 0;
    for (let step = 0; step < 120; step++) {
      const dice = life.random.below(10);
      if (dice < 5) life.write(1 + life.random.below(200));
      else if (dice < 7) {
        const work = life.files.checkpoint();
        if (life.random.below(2) === 0) life.write(50);
        await work;
      } else if (dice === 7) await life.reopen();
      else {
        const copy = life.killedCopy();
        if (existsSync(join(copy, "state.sums"))) told++;
        assert.deepEqual(changedIn(copy), [], `after step ${step}; ${replay}`);
        rmSync(copy, { recursive: true });
      }
    }
    await life.close();
    assert.deepEqual(changedIn(life.dir), [], replay);
    assert.ok(told > 0, `there were sums to compare; ${replay}`);
  });

  test("tell flipped bits: a wrong value is never read", { timeout: 120_000 }, async () => {
    const life = new Life("flipped", seededRandom(seed + 1));
    for (let round = 0; round < 20; round++) life.write(200);
    await life.files.checkpoint();
    life.write(20);
    const sound = life.killedCopy();
    await life.close();
    assert.equal(await refuses(life.killedCopy(), life.expected), false);
    const { length } = readFileSync(join(sound, "state.db"));
    assert.ok(length > 100 * 4096, "the tables have inner pages");
    let refused = 0;
    for (let flip = 0; flip < flips; flip++) {
      const dir = join(root, `flip-${flip}`);
      cpSync(sound, dir, { recursive: true });
      const path = join(dir, "state.db");
      const bytes = readFileSync(path);
      const at = life.random.below(length);
      bytes[at] = (bytes[at] as number) ^ (1 << life.random.below(8));
      writeFileSync(path, bytes);
      assert.deepEqual(changedIn(dir), [Math.floor(at / 4096) + 1]);
      try {
        if (await refuses(dir, life.expected)) refused++;
      } catch (error) {
        throw new Error(`flipped a bit at ${at} of state.db; ${replay}`, { cause: error });
      }
      rmSync(dir, { recursive: true });
    }
    assert.ok(refused > flips / 3, `${refused} of ${flips} refused; ${replay}`);
  });

  test("that are missing, damaged or under way say nothing", async () => {
    const life = new Life("unsaid", seededRandom(1));
    life.write(500);
    await life.files.checkpoint();
    await life.close();
    const path = join(life.dir, "state.sums");
    const sums = readFileSync(path);
    const database = readFileSync(join(life.dir, "state.db"));
    database[5000] = (database[5000] as number) ^ 1;
    writeFileSync(join(life.dir, "state.db"), database);
    assert.deepEqual(changedIn(life.dir), [2]);
    for (const at of [0, 4, 9, 13, 20]) {
      const damaged = Buffer.from(sums);
      damaged[at] = (damaged[at] as number) ^ 1;
      writeFileSync(path, damaged);
      assert.deepEqual(changedIn(life.dir), [], `byte ${at}`);
    }
    rmSync(path);
    assert.deepEqual(changedIn(life.dir), []);
  });
});

test("a state is condemned even when that cannot be written down", async () => {
  const life = new Life("condemned-full", seededRandom(1));
  life.write(10);
  mkdirSync(join(life.dir, "state.condemned"));
  assert.match(life.files.condemn("it differs.").message, /must not be used any more: it differs/);
  rmdirSync(join(life.dir, "state.condemned"));
  await life.close();
});

test("a state that was condemned is not opened again", async () => {
  const life = new Life("condemned", seededRandom(1));
  life.write(10);
  const error = life.files.condemn("it differs.");
  assert.match(error.message, /state\.db must not be used any more: it differs\. Delete .*--join/);
  await life.close();
  assert.throws(() => new StateFiles(life.dir), { code: "storage_damaged", message: error.message });
});
