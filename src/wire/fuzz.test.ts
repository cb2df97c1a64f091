import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { decodeCbor, encodeCbor, plain } from "./cbor.ts";
import { decodeBatch, encodeBatch } from "./commands.ts";
import { FrameDecoder } from "./frame.ts";
import { FrameWriter } from "./frame-writer.ts";
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

const plainValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.maxSafeInteger(),
    fc.integer(),
    fc.double({ noNaN: true }).map((value) => (value === 0 ? 0 : value)),
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

  test("gives plain Uint8Arrays: views of the source, or copies", () => {
    const source = Buffer.from(encodeCbor([new Uint8Array([1, 2, 3])]));
    const first = (value: unknown): Uint8Array => {
      assert.ok(Array.isArray(value) && value[0] instanceof Uint8Array);
      assert.equal(Object.getPrototypeOf(value[0]), Uint8Array.prototype);
      return value[0];
    };
    const view = first(decodeCbor(source));
    const copy = first(decodeCbor(source, "copies"));
    source.fill(9);
    assert.deepEqual([...view], [9, 9, 9]);
    assert.deepEqual([...copy], [1, 2, 3]);
    assert.deepEqual(Object.keys(Buffer.from(source)), Object.keys(source), "the source is as it was");
  });

  test("replaces lone surrogates, which no decoder would take, and leaves out what is undefined", () => {
    const value = { text: "a\ud800", long: `${"x".repeat(80)}\udc00`, gone: undefined };
    const expected = { text: "a\ufffd", long: `${"x".repeat(80)}\ufffd` };
    assert.deepEqual(decodeCbor(encodeCbor(plain(value))), expected);
  });

  test("keeps integers up to 2^53 - 1 and refuses those beyond", () => {
    for (const value of [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
      assert.equal(decodeCbor(encodeCbor(value)), value);
      assert.equal(decodeCbor(encodeCbor(-value - 0.5)), -value - 0.5);
      if (value > 0) assert.equal(decodeCbor(encodeCbor(-value)), -value);
    }
    assert.throws(() => decodeCbor(new Uint8Array([0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0])), WireError);
    assert.throws(() => decodeCbor(new Uint8Array([0x3b, 0, 0x1f, 255, 255, 255, 255, 255, 255])), WireError);
    assert.throws(() => decodeCbor(new Uint8Array([0xfb, 0x80, 0, 0, 0, 0, 0, 0, 0])), WireError, "-0");
    assert.throws(() => decodeCbor(new Uint8Array([0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0])), WireError, "1.0");
  });

  test("with tags, open lengths, odd keys, bad text, huge lengths or deep nesting is refused", () => {
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
    refused(0xa1, 0x00, 0x00);
    refused(0x9a, 0xff, 0xff, 0xff, 0xff);
    refused(0x5b, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    refused(0xba, 0xff, 0xff, 0xff, 0xff);
    refused(0x7a, 0xff, 0xff, 0xff, 0xff);
    refused(0x5a, 0xff, 0xff, 0xff, 0xff);
    refused(...new Array<number>(100_000).fill(0x81));
  });

  test("with what cbor-x would act on while it reads is refused before", () => {
    // A cycle, an explicit map, a regular expression, packed strings, a record, bundled strings.
    for (const hostile of [
      "d81c81d81d00",
      "d90103a0",
      "d81b82665265674578706128",
      "d83384810081616180d8e06162",
      "d9dfff8319e000816161 01",
      "d9dff9821a00000005",
    ]) {
      const bytes = Buffer.from(hostile.replaceAll(" ", ""), "hex");
      assert.throws(() => decodeCbor(bytes), /a tag stands where none is known/);
    }
    const bigInteger = new Uint8Array(1024 * 1024).fill(0xff);
    bigInteger.set([0xc2, 0x5a, 0x00, 0x0f, 0xff, 0xfa]);
    const start = performance.now();
    assert.throws(() => decodeCbor(bigInteger), WireError);
    assert.ok(performance.now() - start < 1000, "its digits are never added up");
  });

  test("cannot reach an object's prototype", () => {
    const bytes = new Uint8Array([
      0xa1,
      0x69,
      ...new TextEncoder().encode("__proto__"),
      0xa1,
      0x61,
      0x61,
      0x01,
    ]);
    const value = decodeCbor(bytes);
    assert.ok(typeof value === "object" && value !== null);
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
    assert.ok(!("a" in value));
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
    const writer = new FrameWriter();
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
        const writer = new FrameWriter();
        for (const content of contents) writer.frame(content);
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

  test("say when the other side speaks HTTP", () => {
    for (const [text, expected] of [
      [
        "HTTP/1.1 400 Bad Request",
        /speaks HTTP, as a member's client port does; name the member's peer port/,
      ],
      ["GET / HTTP/1.1", /sent an HTTP request; clients use the client port/],
    ] as const) {
      const decoder = new FrameDecoder(4096);
      decoder.push(new TextEncoder().encode(text));
      assert.throws(() => decoder.next(), expected);
    }
  });

  test("refuse a frame over the limit by its length alone", () => {
    const decoder = new FrameDecoder(1000);
    decoder.push(new Uint8Array([0, 0, 3, 0xe9]));
    assert.throws(() => decoder.next(), /a frame of 1001 bytes is over the limit of 1000/);
  });
});
