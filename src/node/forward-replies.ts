import type { ForwardOutcome, PeerMessage } from "../peer/types.ts";
import type { MemberId } from "../raft/types.ts";

/** Ends of commands that other members forwarded to this one; those of a turn go as one message a member. */
export class ForwardReplies {
  readonly #send: (to: MemberId, message: PeerMessage) => boolean;
  readonly #wake: () => void;
  readonly #waiting = new Map<MemberId, [number, ForwardOutcome][]>();

  constructor(send: (to: MemberId, message: PeerMessage) => boolean, wake: () => void) {
    this.#send = send;
    this.#wake = wake;
  }

  add(to: MemberId, number: number, outcome: ForwardOutcome): void {
    const outcomes = this.#waiting.get(to);
    if (outcomes === undefined) this.#waiting.set(to, [[number, outcome]]);
    else outcomes.push([number, outcome]);
    this.#wake();
  }

  /** An answer that cannot be sent is dropped: the asker then sees its connection break, and reports "unknown". */
  flush(): void {
    if (this.#waiting.size === 0) return;
    for (const [to, outcomes] of this.#waiting) this.#send(to, { type: "forward-result", outcomes });
    this.#waiting.clear();
  }
}
