import type { Clock } from "../base/clock.ts";
import type { MemberId } from "../raft/types.ts";

/** A removed member that hears nothing any more ends after so many election timeouts. */
const patienceElections = 10;

export interface FarewellContext {
  readonly clock: Clock;
  readonly electionMs: number;
  /** The other members, as far as this one knows. */
  others(): readonly MemberId[];
  /** Called once: this member is not needed any more. */
  end(): void;
}

/**
 * The last moments of a removed member. It goes on answering until a majority of those that stay
 * knows of the removal: should the leader fail before it told them, they still count this one's vote,
 * and could elect nobody without it.
 */
export class Farewell {
  readonly #context: FarewellContext;
  readonly #refusedBy = new Set<MemberId>();
  #begun = false;
  #over = false;

  constructor(context: FarewellContext) {
    this.#context = context;
  }

  /** This member's own log says that it is removed. */
  removed(): void {
    this.#begin();
    if (this.#context.others().length === 0) this.#end();
  }

  /** An authenticated member refuses this one because it is removed: that member knows. */
  refusedBy(member: MemberId): void {
    this.#begin();
    this.#refusedBy.add(member);
    const others = this.#context.others();
    const knowing = others.filter((other) => this.#refusedBy.has(other)).length;
    if (knowing * 2 > others.length) this.#end();
  }

  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#context.clock.after(patienceElections * this.#context.electionMs, () => this.#end());
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#context.end();
  }
}
