import { getLogger } from "@logtape/logtape";
import { messageOf } from "../base/errors.ts";
import type { MemberId, RaftEvent } from "../raft/types.ts";
import type { SnapshotFile } from "../storage/types.ts";
import type { SnapshotCarrier, StateStore } from "./state-store.ts";

const log = getLogger(["coracle", "snapshot"]);

export interface SnapshotContext {
  readonly self: MemberId;
  readonly store: Pick<StateStore, "createSnapshot">;
  readonly carrier: SnapshotCarrier;
  /** The term that this member leads now, or `undefined`. */
  leadingTerm(): number | undefined;
  step(event: RaftEvent): void;
  observe(milliseconds: number): void;
  nowMs(): number;
}

interface Copy {
  readonly file: Promise<SnapshotFile>;
  users: number;
}

/** Snapshots on their way to followers that the log cannot serve any more; one copy serves all that wait. */
export class SnapshotTransfers {
  readonly #context: SnapshotContext;
  readonly #active = new Set<MemberId>();
  #copy: Copy | undefined;
  /** The oldest index that a transfer under way stands for: the log after it must stay. */
  readonly #indexes = new Map<MemberId, number>();

  constructor(context: SnapshotContext) {
    this.#context = context;
  }

  /** The log must keep what follows this index, or `undefined` when no transfer is under way. */
  oldestIndex(): number | undefined {
    return this.#indexes.size === 0 ? undefined : Math.min(...this.#indexes.values());
  }

  wanted(members: readonly MemberId[]): void {
    const term = this.#context.leadingTerm();
    if (term === undefined) return;
    for (const member of members) {
      if (this.#active.has(member)) continue;
      this.#active.add(member);
      void this.#send(member, term);
    }
  }

  /** For the receiver the sender leads in `term`: only the term in which Raft asked for it is true. */
  async #send(member: MemberId, term: number): Promise<void> {
    const startMs = this.#context.nowMs();
    const copy = this.#acquire();
    let index: number | undefined;
    try {
      const file = await copy.file;
      if (this.#context.leadingTerm() !== term) throw new Error("leadership was lost while it was made");
      this.#indexes.set(member, file.meta.index);
      log.info("Sending the snapshot at index {index} ({bytes} bytes) to member {member}.", {
        index: file.meta.index,
        bytes: file.bytes,
        member,
      });
      const origin = { term, from: this.#context.self };
      index = await this.#context.carrier.sendSnapshot(member, file, origin);
      this.#context.observe(this.#context.nowMs() - startMs);
    } catch (error) {
      log.warn("The snapshot for member {member} did not arrive: {reason}", {
        member,
        reason: messageOf(error),
      });
    } finally {
      this.#release(copy);
      this.#active.delete(member);
      this.#indexes.delete(member);
      this.#context.step({ type: "snapshot-sent", member, index });
    }
  }

  #acquire(): Copy {
    this.#copy ??= { file: this.#context.store.createSnapshot(), users: 0 };
    this.#copy.users++;
    return this.#copy;
  }

  #release(copy: Copy): void {
    copy.users--;
    if (copy.users > 0) return;
    if (this.#copy === copy) this.#copy = undefined;
    copy.file.then(
      (file) => file.release(),
      () => {},
    );
  }
}
