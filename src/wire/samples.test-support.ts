import { utf8 } from "../base/bytes.ts";
import type { Batch, Command, CommandResult, KeyValue, MembershipCommand } from "../kv/types.ts";
import type { PeerMessage } from "../peer/types.ts";

/*
 * One of everything that is written. The fingerprint is made of their bytes, so a sample is only
 * ever changed together with the protocol version.
 */

const key = utf8("a/key");
const value = new Uint8Array([0, 1, 2, 255]);
const envelope = { from: 11, to: 2 ** 53 - 1, term: 70_000 };
const pair: KeyValue = { key, value, createRevision: 2, modRevision: 300, version: 4, lease: 2 ** 40 };
const wide: KeyValue = { ...pair, lease: -(2n ** 63n) };

export const sampleCommands: readonly Command[] = [
  { body: { type: "put", key, value, lease: 0, previous: false } },
  { body: { type: "put", key, value, lease: -1, previous: false } },
  { body: { type: "put", key, value, lease: 2n ** 63n - 1n, previous: false } },
  { body: { type: "put", key, value, lease: 2 ** 33, previous: true, keepValue: true, keepLease: true } },
  { body: { type: "delete", key, previous: true } },
  { body: { type: "delete", key, end: null, previous: false } },
  { body: { type: "delete", key, end: value, previous: false }, idempotencyKey: "once-é" },
  { body: { type: "compact", revision: 9 } },
  { body: { type: "lease-grant", id: 2n ** 60n, ttlSeconds: 9_000_000_000 }, idempotencyKey: "grant" },
  { body: { type: "lease-revoke", id: -7 } },
  { body: { type: "lease-revoke", id: 2 ** 40, term: 70_000 } },
  {
    body: {
      type: "lease-checkpoint",
      term: 3,
      leases: [
        { id: 1, remainingSeconds: 60 },
        { id: -(2n ** 63n), remainingSeconds: 2 ** 33 },
      ],
    },
  },
  {
    body: {
      type: "txn",
      compare: [
        { key, target: "version", result: "equal", operand: -5 },
        { key, end: null, target: "value", result: "less", operand: value },
        { key, end: value, target: "lease", result: "not-equal", operand: 2 ** 53 - 1 },
        { key, target: "lease", result: "equal", operand: 2n ** 53n },
      ],
      success: [
        { type: "range", key, revision: 0, limit: 0 },
        {
          type: "range",
          key,
          end: value,
          revision: 3,
          limit: 10,
          sort: { target: "mod", descending: true },
          keysOnly: true,
          countOnly: true,
          minModRevision: 1,
          maxModRevision: 2,
          minCreateRevision: 3,
          maxCreateRevision: 4,
        },
        { type: "txn", compare: [], success: [], failure: [{ type: "delete", key, previous: false }] },
      ],
      failure: [],
    },
  },
];

export const sampleBatch: Batch = { timeMs: 1_700_000_000_000, commands: sampleCommands };

const results: readonly CommandResult[] = [
  { type: "put", revision: 5 },
  { type: "put", revision: 5, previous: pair },
  { type: "put", revision: 5, previous: wide },
  { type: "delete", revision: 6, deleted: 1, previous: [pair] },
  { type: "compact", revision: 7 },
  { type: "lease-grant", revision: 7, id: 2n ** 60n, ttlSeconds: 9_000_000_000 },
  { type: "lease-revoke", revision: 8, deleted: 2 },
  { type: "lease-checkpoint", revision: 8 },
  { type: "refused", code: "key_empty", message: "no key" },
  {
    type: "txn",
    revision: 8,
    succeeded: true,
    responses: [
      { type: "range", revision: 8, keys: [pair, pair], count: 3, more: true },
      { type: "txn", revision: 8, succeeded: false, responses: [{ type: "put", revision: 8 }] },
    ],
  },
];

export const sampleMessages: readonly PeerMessage[] = [
  { type: "append", ...envelope, prevIndex: 4, prevTerm: 3, commit: 4, entries: [] },
  {
    type: "append",
    ...envelope,
    prevIndex: 4,
    prevTerm: 3,
    commit: 4,
    entries: [
      { index: 5, term: 3, kind: 0, data: value },
      { index: 6, term: 3, kind: 1, data: new Uint8Array(0) },
      { index: 7, term: 3, kind: 2, data: new Uint8Array(300).fill(7) },
    ],
  },
  { type: "append-response", ...envelope, index: 7, rejected: true, hintIndex: 3, hintTerm: 2 },
  {
    type: "vote",
    ...envelope,
    pre: true,
    lastIndex: 9,
    lastTerm: 8,
    transfer: false,
    commit: 7,
    commitTerm: 6,
  },
  { type: "vote-response", ...envelope, pre: false, granted: false, commit: 7, commitTerm: 6 },
  { type: "heartbeat", ...envelope, commit: 1, readRound: 2 },
  { type: "heartbeat-response", ...envelope, readRound: 2 },
  {
    type: "snapshot",
    ...envelope,
    snapshot: { index: 100, term: 6, conf: { voters: [1, 2, 3], learners: [4] } },
  },
  { type: "timeout-now", ...envelope },
  { type: "read-index", ...envelope, context: 12 },
  { type: "read-index-response", ...envelope, context: 12, index: 100 },
  { type: "forward", first: 17, commands: sampleCommands },
  {
    type: "forward-result",
    outcomes: [
      ...results.map((result, i) => [i, { status: "done", result }] as const),
      [20, { status: "not-proposed", code: "no_leader", message: "no leader" }],
      [21, { status: "unknown", message: "lost" }],
    ],
  },
  { type: "request", id: 3, name: "status", body: { list: [1, -1, 1.5, "ä", true, null], bytes: value } },
  { type: "response", id: 3, body: null },
  { type: "request-failed", id: 3, code: "not_found", message: "no such member" },
];

const member = {
  id: 77,
  name: "n1",
  peerAddress: "127.0.0.1:2380",
  clientUrls: ["http://127.0.0.1:2379"],
  grpcUrls: [],
  learner: true,
};

export const sampleMembershipCommands: readonly MembershipCommand[] = [
  { change: { op: "add-learner", member } },
  { change: { op: "promote", id: 77 } },
  { change: { op: "remove", id: 2 ** 53 - 1 } },
  { change: { op: "update", member: { ...member, learner: false, name: "nürnberg" } } },
];
