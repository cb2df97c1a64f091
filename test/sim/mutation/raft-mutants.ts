import type { Mutant } from "./mutant.ts";

const raft = "src/raft";

/** Bugs in the core of Raft. */
export const raftMutants: readonly Mutant[] = [
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
        find: "return this.guardedIndex <= durable ? this.commit : durable;",
        replace: "return this.guardedIndex >= 0 ? this.commit : durable;",
      },
    ],
  },
  {
    name: "membership-applied-before-durable",
    about: "a member applies a membership change that its disk would forget in a crash",
    edits: [
      {
        file: `${raft}/ready.ts`,
        find: "kind === entryKind.confChange && index > durable);",
        replace: "kind === entryKind.confChange && index < 0 * durable);",
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
    name: "snapshot-keeps-what-was-durable",
    about: "after a snapshot the log counts as durable as far as it reached before, cut or not",
    edits: [
      {
        file: `${raft}/log.ts`,
        find: "    this.#stable = Math.min(this.#stable, committed);\n",
        replace: "",
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
