import type { MemberId } from "../raft/types.ts";
import type { DiskReport } from "./hand-over.ts";
import type { NodeAccess } from "./part.ts";

/**
 * Finds out, as the leader, why nothing is committed any more: when so many voters have a full disk that
 * the others are no majority, writes can be refused before they are proposed. Else each of them would
 * wait for its time to run out, and end as unknown.
 */
export class FullVoters {
  readonly #node: NodeAccess;
  readonly #ask: (member: MemberId) => Promise<DiskReport>;
  #commit = -1;
  #asking = false;
  #tooMany = false;

  constructor(node: NodeAccess, ask: (member: MemberId) => Promise<DiskReport>) {
    this.#node = node;
    this.#ask = ask;
  }

  /** Whether nothing can be committed because disks are full. */
  get tooMany(): boolean {
    return this.#tooMany;
  }

  forget(): void {
    this.#tooMany = false;
    this.#commit = -1;
  }

  /** Called once a second while this member leads. */
  consider(): void {
    const { commit, lastIndex, term } = this.#node.raft();
    const stuck = commit < lastIndex && commit === this.#commit;
    this.#commit = commit;
    // What waits may be committed at last while writes are still refused.
    if (this.#asking || (!stuck && !this.#tooMany)) return;
    this.#asking = true;
    void this.#count()
      .then((tooMany) => {
        if (this.#node.raft().term === term) this.#tooMany = tooMany;
      })
      .finally(() => {
        this.#asking = false;
      });
  }

  async #count(): Promise<boolean> {
    const { self } = this.#node;
    const { voters } = this.#node.raft().conf;
    const full = await Promise.all(
      voters.map(async (voter) => {
        if (voter === self) return false;
        const report = await this.#ask(voter).catch(() => undefined);
        return report?.full === true;
      }),
    );
    const others = full.filter((isFull) => !isFull).length;
    return others * 2 <= voters.length;
  }
}
