/** A planted bug: text of the product that is replaced when a module is loaded, in tests only. */
export interface Mutant {
  readonly name: string;
  readonly about: string;
  readonly edits: readonly Edit[];
}

export interface Edit {
  /** Below the root of the repository. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

const raft = "src/raft";
const node = "src/node";

const brokenForward = `      proposal.end(
        unknown("The connection to the leader broke before it answered; the write may have taken effect."),
      );`;

/**
 * The simulator is as good as what it catches. Each of these breaks one rule; where an assertion of
 * the product would notice at once, that is removed too, so that the checkers have to.
 */
export const mutants: readonly Mutant[] = [
  {
    name: "vote-before-durable",
    about: "a vote is sent before it is on disk",
    edits: [
      {
        file: `${raft}/election.ts`,
        find: "core.sendAfterStored(response);",
        replace: "core.send(response);",
      },
    ],
  },
  {
    name: "ack-before-fsync",
    about: "a follower acknowledges entries before they are on disk",
    edits: [
      {
        file: `${raft}/append.ts`,
        find: "function acknowledge(core: Core, leader: MemberId, index: number): void {\n  core.sendAfterStored({",
        replace: "function acknowledge(core: Core, leader: MemberId, index: number): void {\n  core.send({",
      },
    ],
  },
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
    name: "own-append-counts-at-once",
    about: "the leader counts its own entries for the commit before they are on its disk",
    edits: [
      {
        file: `${raft}/replication.ts`,
        find: "voter === core.id ? core.log.stable :",
        replace: "voter === core.id ? core.log.lastIndex :",
      },
    ],
  },
  {
    name: "prior-term-commit",
    about: "an entry of an earlier term is committed by counting (figure 8 of the paper)",
    edits: [
      {
        file: `${raft}/replication.ts`,
        find: "if (index > core.commit && core.log.matches(index, core.term)) core.commitTo(index);",
        replace: "if (index > core.commit) core.commitTo(index);",
      },
    ],
  },
  {
    name: "two-membership-changes",
    about: "a membership change is proposed while another is under way",
    edits: [
      {
        file: `${raft}/conf.ts`,
        find: 'return leadership.pendingConfIndex > core.applied ? "conf-change-pending" : undefined;',
        replace: "return undefined;",
      },
    ],
  },
  {
    name: "membership-before-term-commit",
    about: "a membership change is proposed before an entry of the term is committed",
    edits: [
      {
        file: `${raft}/conf.ts`,
        find: 'if (core.commit < leadership.termStart) return "no-commit-in-term";',
        replace: "",
      },
    ],
  },
  {
    name: "membership-announced-before-durable",
    about: "others hear that a membership change is committed before this member's disk knows it",
    edits: [
      {
        file: `${raft}/core.ts`,
        find: "if (this.guardedIndex <= durable) return this.commit;",
        replace: "if (this.guardedIndex >= 0) return this.commit;",
      },
    ],
  },
  {
    name: "second-change-unguards-the-first",
    about: "a second membership change lets others hear of the first before it is durable here",
    edits: [
      {
        file: `${raft}/core.ts`,
        find: "if (this.guardedIndex <= this.log.durable.commit) this.guardedFrom = change;",
        replace: "this.guardedFrom = change;",
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
    name: "learner-in-quorum",
    about: "learners count for the commit",
    edits: [
      {
        file: `${raft}/replication.ts`,
        find: "const index = quorumIndex(core.conf.voters, (voter) =>",
        replace: "const index = quorumIndex([...core.conf.voters, ...core.conf.learners], (voter) =>",
      },
    ],
  },
  {
    name: "campaign-with-unapplied-membership",
    about: "a member campaigns with a committed membership change that it has not applied",
    edits: [
      {
        file: `${raft}/election.ts`,
        find: "if (core.log.pendingSnapshot || core.hasUnappliedConfChange()) return",
        replace: "if (core.log.pendingSnapshot) return",
      },
    ],
  },
  {
    name: "pre-vote-resets-timer",
    about: "being asked for a pre-vote restarts the election timer",
    edits: [
      {
        file: `${raft}/dispatch.ts`,
        find: "      if (isSticky(core) && !message.transfer) return false;\n",
        replace:
          "      if (message.pre) core.elapsedTicks = 0;\n      if (isSticky(core) && !message.transfer) return false;\n",
      },
    ],
  },
  {
    name: "read-before-term-commit",
    about: "a new leader answers ReadIndex before an entry of its term is committed",
    edits: [
      {
        file: `${raft}/read-index.ts`,
        find: "    core.commit >= leadership.termStart\n",
        replace: "    core.commit >= 0\n",
      },
    ],
  },
  {
    name: "read-without-confirmation",
    about: "the leader answers ReadIndex without asking whether it still leads",
    edits: [
      {
        file: `${raft}/read-index.ts`,
        find: "if (core.conf.voters.length === 1 && core.isVoter(core.id)) {\n    answer(core, round);",
        replace: "if (core.isMember(core.id)) {\n    answer(core, round);",
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
    name: "applied-index-apart",
    about: "the applied index is stored after the data, not with it",
    edits: [
      {
        file: "src/kv/state-machine.ts",
        find: "      this.#stateTable.save(this.#state);\n      this.#commit.run();\n",
        replace: "      this.#commit.run();\n      this.#stateTable.save(this.#state);\n",
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
    name: "damaged-entry-accepted",
    about: "an entry of the log that was damaged at rest is taken as it is",
    edits: [
      {
        file: "src/storage/memory-disk.ts",
        find: "if (entryChecksum(entry.index, entry.term, entry.kind, entry.data) !== checksum) {",
        replace: "if (checksum === -1) {",
      },
    ],
  },
  {
    name: "torn-tail-accepted",
    about: "a write of the log that a crash tore counts as far as it is there",
    edits: [
      {
        file: "src/storage/memory-disk.ts",
        find: "    this.#torn = undefined;\n",
        replace: "    if (this.#torn !== undefined) this.#apply(this.#torn);\n    this.#torn = undefined;\n",
      },
    ],
  },
  {
    name: "snapshot-over-newer-state",
    about: "a snapshot is installed over a state that is newer",
    edits: [
      {
        file: `${raft}/append.ts`,
        find: "if (snapshot.index <= core.commit) {",
        replace: "if (snapshot.index < 0) {",
      },
      {
        file: `${raft}/append.ts`,
        find: "} else if (core.log.matches(snapshot.index, snapshot.term)) {",
        replace: "} else if (snapshot.index < 0) {",
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
    name: "idempotent-retry-applied-twice",
    about: "an Idempotency-Key is ignored",
    edits: [
      {
        file: "src/kv/state-machine.ts",
        find: "if (idempotencyKey === undefined) return this.#executor.execute(body);",
        replace: "if (idempotencyKey !== null) return this.#executor.execute(body);",
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
  {
    name: "vote-for-a-shorter-log",
    about: "a vote is given without looking at the candidate's log",
    edits: [
      {
        file: `${raft}/election.ts`,
        find: "if (!free || !core.log.isUpToDate(request.lastIndex, request.lastTerm)) {",
        replace: "if (!free) {",
      },
    ],
  },
  {
    name: "append-without-match",
    about: "entries are appended although the one before them is of another term",
    edits: [
      {
        file: `${raft}/append.ts`,
        find: "if (!core.log.matches(prevIndex, prevTerm)) {",
        replace: "if (prevIndex > core.log.lastIndex) {",
      },
    ],
  },
  {
    name: "heartbeat-commits-too-much",
    about: "a heartbeat says the leader's commit index, whatever the follower holds",
    edits: [
      {
        file: `${raft}/replication.ts`,
        find: "commit: Math.min(progress.match, core.announcedCommit),",
        replace: "commit: core.announcedCommit,",
      },
      {
        file: `${raft}/append.ts`,
        find: "core.commitTo(heartbeat.commit);",
        replace: "core.commitTo(Math.min(heartbeat.commit, core.log.lastIndex));",
      },
    ],
  },
];
