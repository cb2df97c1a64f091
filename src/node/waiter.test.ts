import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import type { Command } from "../kv/types.ts";
import { encodeBatch } from "../wire/commands.ts";
import { sampleCommands } from "../wire/samples.test-support.ts";
import { commandBytes } from "./waiter.ts";

test("a command is never counted smaller than it is encoded", () => {
  const long = new Uint8Array(5000).fill(7);
  const compares: Command = {
    body: {
      type: "txn",
      compare: [{ key: long, end: long, target: "value", result: "equal", operand: long }],
      success: [{ type: "range", key: long, end: long, revision: 0, limit: 0 }],
      failure: [
        {
          type: "txn",
          compare: [],
          success: [{ type: "delete", key: long, end: long, previous: true }],
          failure: [],
        },
      ],
    },
    idempotencyKey: "ü".repeat(60),
  };
  const empty: Command = {
    body: { type: "put", key: utf8("k"), value: utf8(""), lease: 2 ** 52, previous: true },
  };
  for (const command of [...sampleCommands, compares, empty]) {
    const encoded = encodeBatch({ timeMs: 0, commands: [command] }).length;
    assert.ok(commandBytes(command) >= encoded - 16, `${commandBytes(command)} for ${encoded} bytes`);
  }
});
