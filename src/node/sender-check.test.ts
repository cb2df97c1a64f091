import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "../raft/types.ts";
import { isCredible } from "./sender-check.ts";

test("Raft is given what a member says for itself, and no snapshot without its data", () => {
  const heartbeat: Message = { type: "heartbeat", from: 2, to: 1, term: 3, commit: 0, readRound: 0 };
  assert.equal(isCredible(heartbeat, 2, 1), true);
  assert.equal(isCredible(heartbeat, 3, 1), false, "in the name of another");
  assert.equal(isCredible(heartbeat, 2, 4), false, "for another");
  const snapshot = { index: 9, term: 3, conf: { voters: [1, 2], learners: [] } };
  assert.equal(isCredible({ type: "snapshot", from: 2, to: 1, term: 3, snapshot }, 2, 1), false);
});
