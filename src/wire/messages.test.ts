import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { encodeCbor } from "./cbor.ts";
import { commandItems, decodeBatch, encodeBatch } from "./commands.ts";
import { FrameDecoder } from "./frame.ts";
import { FrameWriter } from "./frame-writer.ts";
import { decodeMembershipCommand, encodeMembershipCommand } from "./membership.ts";
import { decodeMessage, writeMessage } from "./messages.ts";
import { frameType, negotiateVersion, protocolVersion } from "./protocol.ts";
import {
  sampleBatch,
  sampleCommands,
  sampleMembershipCommands,
  sampleMessages,
} from "./samples.test-support.ts";
import { WireError } from "./wire-error.ts";

const zeros = (length: number): Uint8Array => new Uint8Array(length);

function framesOf(bytes: Uint8Array): Uint8Array[] {
  const decoder = new FrameDecoder();
  decoder.push(bytes);
  const frames: Uint8Array[] = [];
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
  assert.equal(decoder.bufferedBytes, 0);
  return frames;
}

describe("messages", () => {
  for (const message of sampleMessages) {
    test(`a ${message.type} comes back as it was`, () => {
      const writer = new FrameWriter();
      writeMessage(writer, message, protocolVersion);
      const [frame] = framesOf(writer.takeCopy());
      assert.ok(frame !== undefined);
      assert.deepEqual(decodeMessage(frame, protocolVersion), message);
    });
  }

  test("decoded byte strings do not share memory with the frame", () => {
    const writer = new FrameWriter();
    for (const message of sampleMessages) writeMessage(writer, message, protocolVersion);
    const frames = framesOf(writer.takeCopy());
    const decoded = frames.map((frame) => decodeMessage(frame, protocolVersion));
    for (const frame of frames) frame.fill(0);
    assert.deepEqual(decoded, sampleMessages);
  });

  test("another version, type, length or field type is refused", () => {
    const refused = (value: unknown): void => {
      assert.throws(() => decodeMessage(encodeCbor(value), 1), WireError);
    };
    const heartbeat = [1, frameType.heartbeat, 1, 2, 3, 4, 5];
    assert.equal(decodeMessage(encodeCbor(heartbeat), 1).type, "heartbeat");
    refused([2, ...heartbeat.slice(1)]);
    refused([1, 99, ...heartbeat.slice(2)]);
    refused([1, frameType.ping, 1]);
    refused(heartbeat.slice(0, -1));
    refused([...heartbeat, 1]);
    refused([1, frameType.heartbeat, 0, 2, 3, 4, 5]);
    refused([1, frameType.heartbeat, 1, 2, -3, 4, 5]);
    refused([1, frameType.heartbeat, 1, 2, 3, 4.5, 5]);
    refused([1, frameType.heartbeat, 1, 2, 3, 4, "5"]);
    refused([1, frameType["read-index"], 1, 2, 3, null]);
    refused([1, frameType.append, 1, 2, 3, 4, 5, 6, [[7, 1, 0, new Uint8Array(1)]]]);
    refused([1, frameType.append, 1, 2, 3, 4, 5, 6, [[5, 1, 3, new Uint8Array(1)]]]);
    refused([1, frameType.append, 1, 2, 3, 4, 5, 6, [[5, 1, 0, "text"]]]);
    refused([1, frameType.forward, 1, [[0]]]);
    refused([1, frameType.forward, 1, new Uint8Array(1)]);
    refused({});
    refused([]);
  });
});

describe("log entries", () => {
  test("a batch comes back as it was, and as the same bytes", () => {
    const bytes = encodeBatch(sampleBatch);
    assert.equal(bytes.byteLength, bytes.buffer.byteLength);
    const batch = decodeBatch(bytes);
    assert.deepEqual(batch, sampleBatch);
    assert.deepEqual(encodeBatch(batch), bytes);
  });

  test("a batch has the bytes that cbor-x gives it", () => {
    const put = fc.record({
      body: fc.record({
        type: fc.constant("put" as const),
        key: fc.uint8Array({ minLength: 1, maxLength: 300, size: "max" }),
        value: fc.oneof(fc.uint8Array(), fc.constantFrom(23, 24, 255, 256, 65_535, 65_536).map(zeros)),
        lease: fc.constantFrom(0, 7),
        previous: fc.boolean(),
      }),
    });
    const command = fc.oneof({ arbitrary: put, weight: 9 }, fc.constantFrom(...sampleCommands));
    const commands = fc.array(command, { maxLength: 300 });
    fc.assert(
      fc.property(commands, fc.nat(2 ** 31), (list, timeMs) => {
        assert.deepEqual(
          encodeBatch({ timeMs, commands: list }),
          encodeCbor([1, timeMs, commandItems(list)]),
        );
      }),
    );
  });

  test("a batch may be read from a Buffer at an odd place", () => {
    const bytes = encodeBatch(sampleBatch);
    const holder = Buffer.alloc(bytes.length + 7);
    holder.set(bytes, 3);
    assert.deepEqual(decodeBatch(holder.subarray(3, 3 + bytes.length)), sampleBatch);
  });

  test("membership commands come back as they were", () => {
    for (const command of sampleMembershipCommands) {
      assert.deepEqual(decodeMembershipCommand(encodeMembershipCommand(command)), command);
    }
    const change = { op: "remove", id: 2 ** 53 } as const;
    assert.throws(() => encodeMembershipCommand({ change }), WireError);
    assert.throws(() => decodeMembershipCommand(encodeCbor([1, 1, ["no"]])), WireError);
    assert.throws(() => decodeMembershipCommand(encodeCbor([2, 1, 5])), WireError);
    assert.throws(() => decodeMembershipCommand(encodeCbor([1, 4, 5])), WireError);
  });

  test("a batch cut short anywhere is refused", () => {
    const bytes = encodeBatch(sampleBatch);
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => decodeBatch(bytes.subarray(0, length)), WireError);
    }
  });
});

test("the highest version of both sides is agreed on", () => {
  assert.equal(negotiateVersion({ min: 1, max: 2 }, { min: 2, max: 3 }), 2);
  assert.equal(negotiateVersion({ min: 1, max: 1 }, { min: 1, max: 2 }), 1);
  assert.equal(negotiateVersion({ min: 1, max: 1 }, { min: 2, max: 3 }), undefined);
  assert.equal(negotiateVersion({ min: 3, max: 4 }, { min: 1, max: 2 }), undefined);
});
