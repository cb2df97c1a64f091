import type { Mutant } from "./mutant.ts";

/** Bugs in the log and in the state machine. */
export const storeMutants: readonly Mutant[] = [
  {
    name: "applied-index-apart",
    about: "the applied index is stored after the data, not with it",
    edits: [
      {
        file: "src/kv/state-machine.ts",
        find: "      this.#stateTable.save(this.#state);\n      this.#checkOpen();\n      this.#commit.run();\n",
        replace:
          "      this.#checkOpen();\n      this.#commit.run();\n      this.#stateTable.save(this.#state);\n",
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
    name: "revision-from-the-rows",
    about: "a restart takes the newest row's revision for the store's, and compaction removes that row too",
    edits: [
      {
        file: "src/kv/compaction.ts",
        find: "return this.#store.lastSeqOf(this.#state.compactRevision - 1);",
        replace: "return this.#store.lastSeqOf(this.#state.compactRevision);",
      },
      {
        file: "src/kv/state-machine.ts",
        find: "      machine.#members.load();\n      return machine;\n",
        replace:
          '      machine.#members.load();\n      const newest = db.prepare("SELECT max(mod_revision) FROM revision").get()?.[0];\n      machine.#state.revision = Math.max(1, Number(newest ?? 1));\n      return machine;\n',
      },
    ],
  },
  {
    name: "compaction-drops-a-delete",
    about: "compaction removes rows of the compact revision too, where a watcher may begin",
    edits: [
      {
        file: "src/kv/compaction.ts",
        find: "return this.#store.lastSeqOf(this.#state.compactRevision - 1);",
        replace: "return this.#store.lastSeqOf(this.#state.compactRevision);",
      },
    ],
  },
  {
    name: "transaction-reads-what-is-compacted",
    about: "a transaction reads a compacted revision from whatever rows this member still has",
    edits: [
      {
        file: "src/kv/executor.ts",
        find: "return error && refuse(error.code, error.message);",
        replace: 'return error?.code === "revision_future" ? refuse(error.code, error.message) : undefined;',
      },
    ],
  },
];
