import assert from "node:assert/strict";
import { describe, test } from "node:test";
// Not the default entry: its native part crashes both runtimes.
import { Encoder } from "cbor-x/index-no-eval";
import fc from "fast-check";
import { decodeCbor } from "./cbor-reader.ts";
import { CborWriter, encodeCbor } from "./cbor-writer.ts";
import { decodeBatch, encodeBatch } from "./commands.ts";
import { FrameDecoder, writeFrame } from "./frame.ts";
import { decodeLinkFrame } from "./link-frames.ts";
import { decodeMembershipCommand } from "./membership.ts";
import { decodeMessage, writeMessage } from "./messages.ts";
import { frameType } from "./protocol.ts";
import { sampleBatch, sampleMessages } from "./samples.test-support.ts";
import { WireError } from "./wire-error.ts";

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const runs = 2_000;
const parameters = { seed, numRuns: runs };
console.log(`replay: SEED=${seed} bun test src/wire/fuzz.test.ts`);

const general = new Encoder({ useRecords: false, tagUint8Array: false });

const plainValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.maxSafeInteger(),
    fc.integer(),
    fc.double({ noNaN: true }),
    fc.string({ unit: "grapheme" }),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 30 }),
    fc.dictionary(
      fc.string().filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 5, noNullPrototype: true },
    ),
  ),
})).value;

/** Every decoder must give a value or a WireError, whatever it is given. */
function decodersStand(bytes: Uint8Array): void {
  const decoders = [
    decodeCbor,
    decodeBatch,
    decodeMembershipCommand,
    (input: Uint8Array) => decodeMessage(input, 1),
    (input: Uint8Array) => decodeLinkFrame(input, 1),
  ];
  for (const decode of decoders) {
    try {
      decode(bytes);
    } catch (error) {
      assert.ok(error instanceof WireError, String(error));
    }
  }
}

describe("CBOR", () => {
  test("comes back as it was", () => {
    fc.assert(
      fc.property(plainValue, (value) => assert.deepEqual(decodeCbor(encodeCbor(value)), value)),
      parameters,
    );
  });

  test("is what another implementation reads, and reads what another writes", () => {
    fc.assert(
      fc.property(plainValue, (value) => {
        const plain = (item: unknown) => (Buffer.isBuffer(item) ? new Uint8Array(item) : item);
        assert.deepEqual(normal(general.decode(encodeCbor(value))), normal(value));
        assert.deepEqual(normal(decodeCbor(general.encode(value))), normal(value));
        function normal(item: unknown): unknown {
          const bare = plain(item);
          if (bare instanceof Uint8Array) return [...bare];
          if (Array.isArray(bare)) return bare.map(normal);
          if (typeof bare === "object" && bare !== null) {
            return Object.fromEntries(Object.entries(bare).map(([key, inner]) => [key, normal(inner)]));
          }
          // The other implementation gives some large integers as bigint, and tells -0 from 0.
          if (typeof bare === "bigint") return Number(bare);
          return bare === 0 ? 0 : bare;
        }
      }),
      parameters,
    );
  });

  test("keeps integers up to 2^53 - 1 and refuses those beyond", () => {
    for (const value of [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
      assert.equal(decodeCbor(encodeCbor(value)), value);
      assert.equal(decodeCbor(encodeCbor(-value - 0.5)), -value - 0.5);
      if (value > 0) assert.equal(decodeCbor(encodeCbor(-value)), -value);
    }
    assert.throws(() => decodeCbor(new Uint8Array([0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0])), WireError);
    assert.throws(() => decodeCbor(new Uint8Array([0x3b, 0, 0x1f, 255, 255, 255, 255, 255, 255])), WireError);
  });

  test("with tags, open lengths, doubled keys, bad text, huge lengths or deep nesting is refused", () => {
    const refused = (...bytes: number[]) =>
      assert.throws(() => decodeCbor(new Uint8Array(bytes)), WireError, bytes.join());
    refused();
    refused(0xc0, 0x00);
    refused(0xd9, 0xdf, 0xff, 0x80);
    refused(0x9f, 0xff);
    refused(0x5f, 0x41, 0x00, 0xff);
    refused(0x00, 0x00);
    refused(0xe0);
    refused(0xf9, 0x3c, 0x00);
    refused(0x61, 0xff);
    refused(0xa2, 0x61, 0x61, 0x00, 0x61, 0x61, 0x00);
    refused(0xa1, 0x69, ...new TextEncoder().encode("__proto__"), 0x00);
    refused(0xa1, 0x00, 0x00);
    refused(0x9a, 0xff, 0xff, 0xff, 0xff);
    refused(0x5b, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    refused(...new Array<number>(100_000).fill(0x81));
  });
});

describe("decoders", () => {
  test("stand any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), decodersStand), parameters);
  });

  test("stand any CBOR in the place of a message", () => {
    const types = Object.values(frameType);
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.array(plainValue, { maxLength: 8 }), (type, fields) => {
        decodersStand(encodeCbor([1, type, ...fields]));
      }),
      parameters,
    );
  });

  test("stand damaged messages and batches", () => {
    const writer = new CborWriter();
    const originals = sampleMessages.map((message) => {
      writeMessage(writer, message, 1);
      return writer.takeCopy().slice(4);
    });
    originals.push(encodeBatch(sampleBatch).slice());
    fc.assert(
      fc.property(fc.constantFrom(...originals), fc.nat(), fc.nat(255), fc.nat(), (bytes, at, byte, cut) => {
        const damaged: Uint8Array = bytes.slice(0, bytes.length - (cut % 4 === 0 ? cut % bytes.length : 0));
        if (damaged.length > 0) damaged[at % damaged.length] = byte;
        decodersStand(damaged);
      }),
      parameters,
    );
  });

  test("find the same frames however the stream is cut", () => {
    const frames = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 });
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }), (contents, cuts) => {
        const writer = new CborWriter();
        for (const content of contents) writeFrame(writer, () => writer.raw(content));
        const stream = writer.takeCopy();
        const decoder = new FrameDecoder();
        const found: Uint8Array[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const length = cuts[i % cuts.length] ?? 1;
          decoder.push(stream.subarray(at, at + length));
          at += length;
          for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) found.push(frame);
        }
        assert.deepEqual(found, contents);
        assert.equal(decoder.bufferedBytes, 0);
      }),
      parameters,
    );
  });

  test("refuse a frame over the limit by its length alone", () => {
    const decoder = new FrameDecoder(1000);
    decoder.push(new Uint8Array([0, 0, 3, 0xe9]));
    assert.throws(() => decoder.next(), /a frame of 1001 bytes is over the limit of 1000/);
  });
});
