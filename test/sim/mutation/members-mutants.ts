import type { Mutant } from "./mutant.ts";

const node = "src/node";

const brokenForward = `      proposal.end(
        unknown("The connection to the leader broke before it answered; the write may have taken effect."),
      );`;

/** Bugs in a member around the core: proposals, reads, membership, snapshots. */
export const membersMutants: readonly Mutant[] = [
  {
    name: "write-without-fsync",
    about: "every write counts as durable at once, on a lone member too",
    edits: [
      {
        file: `${node}/driver.ts`,
        find: "    this.#lastWriteId = write.id;\n",
        replace:
          '    this.#log.write(write, () => {});\n    this.step({ type: "stored", writeId: write.id });\n    if (write.id > 0) return;\n    this.#lastWriteId = write.id;\n',
      },
    ],
  },
  {
    name: "removed-member-ends-at-once",
    about: "a removed member ends before a majority of the others knows of the removal",
    edits: [
      {
        file: `${node}/farewell.ts`,
        find: "if (this.#context.others().length === 0) this.#end();",
        replace: "this.#end();",
      },
    ],
  },
  {
    name: "freshness-survives-a-rollback",
    about: "a state that was rolled back on a full disk still counts as fresh",
    edits: [
      {
        file: `${node}/node.ts`,
        find: "undone: () => this.#reads.forgetFreshness(),",
        replace: "undone: () => {},",
      },
    ],
  },
  {
    name: "read-before-applied",
    about: "a confirmed read is served before its index is applied",
    edits: [
      {
        file: `${node}/reads.ts`,
        find: "if (confirmed.index > appliedIndex) {",
        replace: "if (confirmed.index < 0) {",
      },
      {
        file: `${node}/reads.ts`,
        find: "waiter.ready(confirmed.index)",
        replace: "waiter.ready(0)",
      },
    ],
  },
  {
    name: "freshness-from-the-answer",
    about: "a bounded-staleness read dates the state by the end of the last round, not by its start",
    edits: [
      {
        file: `${node}/reads.ts`,
        find: "this.#freshAtMs = Math.max(this.#freshAtMs, confirmed.round.startedMs);",
        replace: "this.#freshAtMs = this.#context.clock.nowMs();",
      },
    ],
  },
  {
    name: "log-cut-before-durable",
    about: "the log is cut up to what is applied, durable or not",
    edits: [
      {
        file: `${node}/log-keeper.ts`,
        find: "const durable = await this.#context.store.checkpoint();",
        replace: "const durable = await Promise.resolve(this.#context.log.hardState.commit);",
      },
    ],
  },
  {
    name: "membership-steps-as-one",
    about: "changes of membership that are applied together are told to Raft as one",
    edits: [
      {
        file: `${node}/applier.ts`,
        find: "const group = change < 0 ? this.#queue : this.#queue.slice(0, change + 1);",
        replace: "const group = change < -1 ? [] : this.#queue;",
      },
    ],
  },
  {
    name: "numbers-begin-anew",
    about: "forwarded writes, requests and reads are numbered from 1 in every life of a member",
    edits: [
      {
        file: "src/base/prng.ts",
        find: "return 1 + random.below(0x1_0000_0000) * 0x1_0000;",
        replace: "return 1 + random.below(1) * 0x1_0000;",
      },
    ],
  },
  {
    name: "unknown-told-as-not-proposed",
    about: "a write whose connection to the leader broke is reported as not proposed",
    edits: [
      {
        file: `${node}/proposals.ts`,
        find: brokenForward,
        replace: 'proposal.end(notProposed("not_proposed", "planted"));',
      },
    ],
  },
  {
    name: "unknown-sent-again",
    about: "a write whose connection to the leader broke is proposed once more",
    edits: [
      {
        file: `${node}/proposals.ts`,
        find: brokenForward,
        replace: "this.#queued.push(proposal);",
      },
    ],
  },
  {
    name: "wiped-member-under-its-old-id",
    about: "a member that lost its disk comes back under its old id, and votes",
    edits: [
      {
        file: `${node}/membership.ts`,
        find: "      await this.remove(holder.id);\n",
        replace:
          "      const { clusterId, members } = this.#context.membership();\n      return { clusterId, memberId: holder.id, members };\n",
      },
    ],
  },
];
