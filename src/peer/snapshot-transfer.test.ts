import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { SnapshotFile } from "../storage/types.ts";
import type { SnapshotOffer } from "../wire/link-frames.ts";
import { closeAll, introduce, startMember, type TestMember, until } from "./network.test-support.ts";
import type { PeerLimits } from "./peer-limits.ts";
import type { SnapshotSink, SnapshotTarget } from "./snapshot-receiver.ts";

const limits: Partial<PeerLimits> = { snapshotChunkBytes: 10_000, snapshotWindowBytes: 30_000, pingMs: 20 };

/** Keeps what arrives in memory, as storage would in a file. */
class MemorySink implements SnapshotSink {
  readonly offers: SnapshotOffer[] = [];
  readonly parts: Uint8Array[] = [];
  aborts = 0;
  finished = 0;
  beforeWrite: () => Promise<void> = async () => undefined;
  beforeFinish: () => Promise<void> = async () => undefined;

  get length(): number {
    return this.parts.reduce((sum, part) => sum + part.length, 0);
  }

  async begin(offer: SnapshotOffer, from: number): Promise<SnapshotTarget> {
    assert.equal(from, 1);
    this.offers.push(offer);
    const sink = this;
    return {
      offset: this.length,
      async write(chunk) {
        await sink.beforeWrite();
        sink.parts.push(chunk.slice());
      },
      async finish() {
        await sink.beforeFinish();
        const hash = createHash("sha256");
        for (const part of sink.parts) hash.update(part);
        if (hash.digest("hex") !== offer.sha256) throw new Error("the checksum is wrong");
        sink.finished++;
      },
      abort() {
        sink.aborts++;
      },
    };
  }
}

async function withTransfer(
  bytes: number,
  body: (parts: {
    readonly file: SnapshotFile;
    readonly content: Uint8Array;
    readonly sink: MemorySink;
    readonly sender: TestMember;
    readonly receiver: TestMember;
    send(): Promise<number>;
  }) => Promise<void>,
): Promise<void> {
  mkdirSync("/tmp/coracle-peer", { recursive: true });
  const folder = mkdtempSync("/tmp/coracle-peer/");
  const content = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) content[i] = (i * 31) ^ (i >> 8);
  const path = join(folder, "snapshot");
  writeFileSync(path, content);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const meta = { index: 42, term: 3, conf: { voters: [1], learners: [2] } };
  const file: SnapshotFile = { path, meta, bytes, sha256, release() {} };
  const sink = new MemorySink();
  const sender = await startMember(1, { limits });
  const receiver = await startMember(2, { limits, snapshots: sink });
  introduce([sender, receiver]);
  try {
    const send = () => sender.network.sendSnapshot(2, file, { term: 5 });
    await body({ file, content, sink, sender, receiver, send });
  } finally {
    await closeAll([sender, receiver]);
    rmSync(folder, { recursive: true });
  }
}

function contentOf(sink: MemorySink): Buffer {
  return Buffer.concat(sink.parts);
}

describe("a snapshot", () => {
  for (const bytes of [1, 10_000, 1_234_567]) {
    test(`of ${bytes} bytes arrives as it was, and its index is told`, () =>
      withTransfer(bytes, async ({ send, sink, content, file }) => {
        assert.equal(await send(), 42);
        assert.ok(contentOf(sink).equals(content));
        const { meta, sha256 } = file;
        assert.deepEqual(sink.offers, [{ meta, bytes, sha256, senderTerm: 5 }]);
        assert.deepEqual([sink.finished, sink.aborts], [1, 0]);
      }));
  }

  test("goes on where an earlier attempt ended", () =>
    withTransfer(500_000, async ({ send, sink, content }) => {
      sink.parts.push(content.slice(0, 123_456));
      assert.equal(await send(), 42);
      assert.ok(contentOf(sink).equals(content));
      assert.equal(sink.parts.length, 1 + Math.ceil((500_000 - 123_456) / 10_000));
    }));

  test("that is there already is only verified", () =>
    withTransfer(50_000, async ({ send, sink, content }) => {
      sink.parts.push(content);
      assert.equal(await send(), 42);
      assert.equal(sink.parts.length, 1);
    }));

  test("with a wrong checksum is refused, and the sender told why", () =>
    withTransfer(50_000, async ({ send, sink }) => {
      sink.parts.push(new Uint8Array(100));
      await assert.rejects(send(), /the checksum is wrong/);
      assert.deepEqual([sink.finished, sink.aborts], [0, 1]);
    }));

  test("that is not wanted is refused before its data", () =>
    withTransfer(50_000, async ({ send, sink }) => {
      sink.begin = () => Promise.reject(new Error("another one is on its way"));
      await assert.rejects(send(), /another one is on its way/);
      assert.equal(sink.length, 0);
    }));

  test("waits for a slow disk without gathering it in memory, and is not given up", () =>
    withTransfer(2_000_000, async ({ send, sink }) => {
      let open: (() => void) | undefined;
      let waits = 0;
      sink.beforeWrite = () => {
        waits++;
        if (waits !== 5) return Promise.resolve();
        const { promise, resolve } = Promise.withResolvers<void>();
        open = resolve;
        return promise;
      };
      const sent = send();
      await until(() => open !== undefined, "the disk is busy");
      const before = process.memoryUsage().rss;
      assert.equal(sink.parts.length, 4);
      assert.ok(process.memoryUsage().rss - before < 50_000_000);
      open?.();
      assert.equal(await sent, 42);
    }));

  test("breaks off with its receiver, which may go on later", () =>
    withTransfer(2_000_000, async ({ send, sink, receiver }) => {
      sink.beforeWrite = async () => {
        if (sink.parts.length === 20) await receiver.network.close();
      };
      await assert.rejects(send());
      await until(() => sink.aborts === 1, "the receiver was told to end it");
      assert.equal(sink.finished, 0);
    }));

  // Far more than the system's buffers hold: what is in them arrives after the sender's end, and 2 MB
  // may be all of it, which is then rightly stored.
  test("breaks off with its sender", () =>
    withTransfer(16_000_000, async ({ send, sink, sender }) => {
      sink.beforeWrite = async () => {
        if (sink.parts.length === 20) await sender.network.close();
      };
      await assert.rejects(send());
      await until(() => sink.aborts === 1, "the receiver ended it");
    }));

  test("goes to members only", () =>
    withTransfer(10, async ({ sender, file }) => {
      await assert.rejects(sender.network.sendSnapshot(77, file, { term: 1 }), { code: "member_not_found" });
    }));
});
