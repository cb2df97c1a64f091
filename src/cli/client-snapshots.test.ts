import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { FakeClock } from "../node/fake-clock.test-support.ts";
import { ClientSnapshots } from "./client-snapshots.ts";

const dir = mkdtempSync(join(tmpdir(), "coracle-client-snapshots-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const mebibyte = 1024 * 1024;
let made = 0;

function setUp() {
  const clock = new FakeClock();
  const disk = { freeBytes: 100 * mebibyte, totalBytes: 200 * mebibyte };
  const paths: string[] = [];
  const snapshots = new ClientSnapshots(clock, {
    createSnapshot: async () => {
      const path = join(dir, `copy-${++made}`);
      writeFileSync(path, new Uint8Array(100_000).fill(7));
      paths.push(path);
      const meta = { index: 1, term: 1, conf: { voters: [1], learners: [] } };
      return { path, meta, bytes: 100_000, sha256: "00", release: () => rmSync(path, { force: true }) };
    },
    usedBytes: () => 10 * mebibyte,
    diskSpace: async () => disk,
  });
  return { clock, disk, paths, snapshots };
}

async function read(pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const piece of pieces) bytes += piece.length;
  return bytes;
}

describe("snapshots for clients", () => {
  test("are two at a time, and their files go when they were read or given up", async () => {
    const { paths, snapshots } = setUp();
    const first = await snapshots.create();
    const second = await snapshots.create();
    await assert.rejects(snapshots.create(), { code: "overloaded" });
    assert.equal(await read(first.pieces), 100_000);
    const third = await snapshots.create();
    // Never begun, and begun.
    await second.pieces[Symbol.asyncIterator]().return?.();
    for await (const piece of third.pieces) {
      assert.ok(piece.length > 0);
      break;
    }
    assert.deepEqual(
      paths.filter((path) => existsSync(path)),
      [],
    );
    await Promise.all([snapshots.create(), snapshots.create()]);
  });

  test("are given up when nothing is read of them for a minute", async () => {
    const { clock, paths, snapshots } = setUp();
    const never = await snapshots.create();
    const slow = (await snapshots.create()).pieces[Symbol.asyncIterator]();
    clock.advance(59_000);
    assert.equal((await slow.next()).done, false);
    clock.advance(59_000);
    assert.deepEqual(
      paths.map((path) => existsSync(path)),
      [false, true],
    );
    await assert.rejects(read(never.pieces), { code: "request_timeout" });
    assert.equal((await slow.next()).done, false);
    clock.advance(60_000);
    await assert.rejects(slow.next(), { code: "request_timeout" });
    assert.ok(paths.every((path) => !existsSync(path)));
    await Promise.all([snapshots.create(), snapshots.create()]);
  });

  test("are not made when the disk would have too little room left", async () => {
    const { disk, paths, snapshots } = setUp();
    disk.freeBytes = 29 * mebibyte;
    for (let at = 0; at < 3; at++) await assert.rejects(snapshots.create(), { code: "quota_exceeded" });
    assert.deepEqual(paths, []);
    disk.freeBytes = 31 * mebibyte;
    await snapshots.create();
  });
});
