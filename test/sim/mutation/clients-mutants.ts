import type { Mutant } from "./mutant.ts";

const node = "src/node";

/** Bugs in what watches, leases and locks promise. */
export const clientsMutants: readonly Mutant[] = [
  {
    name: "watch-event-lost",
    about: "a full queue is dropped together with what a watch was just caught up with",
    edits: [
      {
        file: "src/watch/watcher.ts",
        find: "this.after = Math.max(this.#start, this.#given);",
        replace: "this.after = Math.max(this.after, this.#given);",
      },
    ],
  },
  {
    name: "watch-event-duplicated",
    about: "a watch that resumes at a member that is behind is told what it knows already",
    edits: [
      {
        file: "src/watch/hub.ts",
        find: "const wanted = watcher.after < first ? queued : after(queued, watcher.after);",
        replace: "const wanted = watcher.after < first + 1e9 ? queued : after(queued, watcher.after);",
      },
    ],
  },
  {
    name: "watch-event-reordered",
    about: "what waits for a slow watch is given newest first",
    edits: [
      {
        file: "src/watch/watcher.ts",
        find: "this.#queue.push(queued);",
        replace: "this.#queue.unshift(queued);",
      },
    ],
  },
  {
    name: "watch-revision-split",
    about: "a slice of history may end inside a revision",
    edits: [
      {
        file: "src/kv/changes.ts",
        find: "if (current?.revision === parsed.modRevision) current.rows.push(parsed);",
        replace:
          "if (count >= rowsMax) return changes;\n        if (current?.revision === parsed.modRevision) current.rows.push(parsed);",
      },
    ],
  },
  {
    name: "watch-progress-ahead",
    about: "a watch promises what still waits in its queue",
    edits: [
      {
        file: "src/watch/watcher.ts",
        find: 'if (this.#queue.length > 0 || this.state === "ended") return this.#given;',
        replace: 'if (this.state === "ended") return this.#given;',
      },
    ],
  },
  {
    name: "watch-forgets-at-a-snapshot",
    about: "after the install of a snapshot the watches go on from its revision",
    edits: [
      {
        file: "src/watch/hub.ts",
        find: "if (this.#synced === 0) this.#head = Math.max(this.#head, source.revision);",
        replace: "this.#head = Math.max(this.#head, source.revision);",
      },
    ],
  },
  {
    name: "lease-revoked-by-a-deposed-leader",
    about: "a leader ends leases without proving that it leads, through whoever leads, in any term",
    edits: [
      {
        file: `${node}/lessor.ts`,
        find: "leads = this.#leads(term);\n    } catch (error) {",
        replace: "leads = true;\n    } catch (error) {\n      leads = true;",
      },
      {
        file: `${node}/lessor.ts`,
        find: "await this.#node.proposeHere({ body });",
        replace: "await this.#node.propose({ body });",
      },
      {
        file: "src/kv/executor.ts",
        find: "if (term === undefined || term === this.#state.appliedTerm) return undefined;",
        replace: "if (term !== 0) return undefined;",
      },
    ],
  },
  {
    name: "lease-renewed-without-proof",
    about:
      "renewals are confirmed without a proof of leadership, and the next leader adds no time to what is left",
    edits: [
      {
        file: `${node}/lessor.ts`,
        find: "sinceMs + lease.remainingSeconds * 1000 + options.electionMs",
        replace: "sinceMs + lease.remainingSeconds * 1000 + options.electionMs * 0",
      },
      {
        file: `${node}/lessor.ts`,
        find: "    const term = await this.#proveLeading();\n    const nowMs",
        replace: "    const term = this.#term ?? (await this.#proveLeading());\n    const nowMs",
      },
    ],
  },
  {
    name: "lease-renewal-not-recorded",
    about: "a renewal leaves what the log recorded as left, and the next leader begins with that",
    edits: [
      {
        file: `${node}/lessor.ts`,
        find: "if (restored.length > 0) await this.#restore(term, restored);",
        replace: "if (restored.length < 0) await this.#restore(term, restored);",
      },
    ],
  },
  {
    name: "lease-outlives-its-leader",
    about: "a new leader does not begin to keep the leases that there are",
    edits: [
      {
        file: `${node}/lessor.ts`,
        find: "if (term !== undefined) this.#load(term, undefined, this.#node.clock.nowMs());",
        replace: "if (term === 0) this.#load(term, undefined, this.#node.clock.nowMs());",
      },
    ],
  },
  {
    name: "lease-keys-stay",
    about: "the end of a lease leaves a key that was moved to it from another lease",
    edits: [
      {
        file: "src/kv/lease-table.ts",
        find: "if (to !== 0) this.#attach.run(packInt64(to), key);",
        replace: "if (to !== 0 && from === 0) this.#attach.run(packInt64(to), key);",
      },
    ],
  },
  {
    name: "lock-answered-after-its-lease-ended",
    about: "a claim whose key is gone when it is its turn is answered as the holder",
    edits: [
      {
        file: "src/concurrency/queue.ts",
        find: 'if (stands === "gone") return "gone";',
        replace: 'if (stands === "gone") return place.revision;',
      },
    ],
  },
  {
    name: "lock-by-a-watch",
    about: "a claim counts as first when the one before it is deleted",
    edits: [
      {
        file: "src/concurrency/queue.ts",
        find: 'if (woken.because === "watch-ended" &&',
        replace:
          'if (woken.because === "deleted") return place.revision;\n      if (woken.because === "watch-ended" &&',
      },
    ],
  },
];
