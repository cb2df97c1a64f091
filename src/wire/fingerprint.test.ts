import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { handshakeSchemas } from "../peer/hello.ts";
import { commandLayouts, encodeBatch } from "./commands.ts";
import { FrameWriter } from "./frame-writer.ts";
import { linkFieldSchemas, writeLinkFrame } from "./link-frames.ts";
import { encodeMembershipCommand, membershipSchema } from "./membership.ts";
import { fieldSchemas, writeMessage } from "./messages.ts";
import { operationLayouts } from "./operations.ts";
import { frameType, protocolVersion } from "./protocol.ts";
import { resultLayouts } from "./results.ts";
import { sampleBatch, sampleMembershipCommands, sampleMessages } from "./samples.test-support.ts";

/**
 * What each protocol version looks like. When this test fails, messages have changed: raise
 * `protocolVersion`, keep reading and writing the version before it, and add a line.
 */
const fingerprints: Readonly<Record<number, string>> = {
  1: "f911fb7cfac05b3471fa8b24815f1306f0066402dd51c4d9683b16549686ec9e",
};

/** A schema without its functions and order of properties. */
function describeSchema(value: unknown): unknown {
  if (value instanceof RegExp) return String(value);
  if (typeof value === "function") return value.name;
  if (Array.isArray(value)) return value.map(describeSchema);
  if (typeof value !== "object" || value === null) return value;
  const ignored = new Set(["~standard", "~run", "reference", "async", "expects", "kind", "message"]);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, item]) => !ignored.has(key) && item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, describeSchema(item)]),
  );
}

function bytesOfSamples(): Uint8Array[] {
  const writer = new FrameWriter();
  const sha256 = "a".repeat(64);
  const meta = { index: 1, term: 2, conf: { voters: [3], learners: [4] } };
  for (const message of sampleMessages) writeMessage(writer, message, protocolVersion);
  writeLinkFrame(writer, { type: "ping", number: 1 }, protocolVersion);
  writeLinkFrame(writer, { type: "pong", number: 1 }, protocolVersion);
  const offer = { meta, bytes: 5, sha256, senderTerm: 6 };
  writeLinkFrame(writer, { type: "snapshot-offer", offer }, protocolVersion);
  writeLinkFrame(writer, { type: "snapshot-offset", offset: 1 }, protocolVersion);
  writeLinkFrame(writer, { type: "snapshot-chunk", offset: 1, data: new Uint8Array(2) }, protocolVersion);
  writeLinkFrame(writer, { type: "snapshot-verdict", stored: true, message: "" }, protocolVersion);
  return [
    writer.takeCopy(),
    encodeBatch(sampleBatch),
    ...sampleMembershipCommands.map((command) => encodeMembershipCommand(command)),
  ];
}

test("what is sent and stored is what this protocol version stands for", () => {
  const hash = createHash("sha256");
  const schemas = { fieldSchemas, linkFieldSchemas, membershipSchema, handshakeSchemas, frameType };
  hash.update(JSON.stringify(describeSchema(schemas)));
  hash.update(JSON.stringify([operationLayouts, commandLayouts, resultLayouts]));
  for (const bytes of bytesOfSamples()) hash.update(bytes);
  const found = hash.digest("hex");
  assert.equal(
    found,
    fingerprints[protocolVersion],
    `messages have changed since version ${protocolVersion} was fixed: raise protocolVersion and add its fingerprint, ${found}`,
  );
});
