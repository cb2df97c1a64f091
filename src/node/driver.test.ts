import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../base/bytes.ts";
import { seededRandom } from "../base/prng.ts";
import { Raft } from "../raft/raft.ts";
import { type Entry, entryKind, type Message } from "../raft/types.ts";
import { MemoryLogStore } from "../storage/memory-log.ts";
import { RaftDriver } from "./driver.ts";

function follower() {
  const sent: Message[] = [];
  const fsyncs: (() => void)[] = [];
  const log = new MemoryLogStore({
    initial: { index: 1, term: 1, hardState: { term: 1, votedFor: 0, commit: 1 } },
    schedule: (action) => fsyncs.push(action),
  });
  const conf = { voters: [1, 2, 3], learners: [] };
  const raft = new Raft({
    id: 1,
    hardState: log.hardState,
    applied: 1,
    conf,
    log,
    random: seededRandom(1),
    electionTicks: 10,
  });
  const driver = new RaftDriver(raft, log, {
    send: (message) => sent.push(message),
    apply: () => {},
    readsReady: () => {},
    readsRefused: () => {},
    snapshotsWanted: () => {},
    install: () => Promise.reject(new Error("no snapshot was sent")),
    after: () => ({ cancel: () => {} }),
    wake: () => {},
    fatal: (error) => {
      throw error;
    },
  });
  const append = (
    from: number,
    term: number,
    prev: readonly [number, number],
    ...indexes: number[]
  ): void => {
    const entries = indexes.map((index): Entry => {
      return { index, term, kind: entryKind.normal, data: utf8(`${index}/${term}`) };
    });
    const [prevIndex, prevTerm] = prev;
    driver.step({
      type: "message",
      message: { type: "append", from, to: 1, term, prevIndex, prevTerm, commit: 1, entries },
    });
  };
  const store = (): void => {
    for (const fsync of fsyncs.splice(0)) fsync();
    driver.pump();
  };
  const acknowledged = (): string[] =>
    sent.flatMap((message) =>
      message.type === "append-response" && !message.rejected ? [`${message.index} in ${message.term}`] : [],
    );
  return { driver, append, store, acknowledged };
}

test("entries that another leader replaced in the same turn are not acknowledged to the earlier one", () => {
  const { driver, append, store, acknowledged } = follower();
  append(2, 2, [1, 1], 2, 3);
  append(3, 3, [2, 2], 3);
  driver.pump();
  store();
  assert.deepEqual(acknowledged(), ["3 in 3"]);
});

test("nor are those that were on their way to the disk when they were replaced", () => {
  const { driver, append, store, acknowledged } = follower();
  append(2, 2, [1, 1], 2, 3, 4);
  driver.pump();
  append(3, 3, [2, 2], 3);
  driver.pump();
  store();
  assert.deepEqual(acknowledged(), ["3 in 3"]);
});
